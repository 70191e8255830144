package archive

import (
	"container/list"
	"errors"
	"path/filepath"
	"sync"
)

func parent(path string) string { return filepath.Dir(path) }

// handles are the files open for writing, at most so many: the one used longest ago
// is closed for another. The writer uses them; the keeper asks before it removes.
type handles struct {
	// Fixed after construction.
	disk disk
	most int

	mu sync.Mutex // held while a file is opened, closed or removed; no loop takes it
	// Guarded by mu.
	open map[string]*list.Element // by path
	used *list.List               // of *handle, the newest first
}

type handle struct {
	path string
	file file
}

func newHandles(d disk, most int) *handles {
	return &handles{disk: d, most: most, open: make(map[string]*list.Element), used: list.New()}
}

// create makes a new file and keeps it open.
func (h *handles) create(path string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	f, err := h.disk.create(path)
	if err == nil {
		h.keepLocked(path, f)
	}
	return err
}

// get returns the file of that path, opened again if need be. It is good until the
// next call.
func (h *handles) get(path string) (file, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.open[path]; e != nil {
		h.used.MoveToFront(e)
		return e.Value.(*handle).file, nil
	}
	f, err := h.disk.reopen(path)
	if err != nil {
		return nil, err
	}
	h.keepLocked(path, f)
	return f, nil
}

func (h *handles) keepLocked(path string, f file) {
	for h.used.Len() >= h.most {
		h.closeLocked(h.used.Back())
	}
	h.open[path] = h.used.PushFront(&handle{path, f})
}

// closeLocked closes a file that will be written to again. Its error is not for
// us: what counts was written before, and Write answered for it.
func (h *handles) closeLocked(e *list.Element) {
	one := h.used.Remove(e).(*handle)
	delete(h.open, one.path)
	one.file.Close()
}

// drop closes a file that is in doubt.
func (h *handles) drop(path string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.open[path]; e != nil {
		h.closeLocked(e)
	}
}

// finish syncs a file and closes it. One that is not open is finished already: it
// was closed to make place, long enough ago for the kernel to write it on its own.
func (h *handles) finish(path string) error {
	h.mu.Lock()
	e := h.open[path]
	if e == nil {
		h.mu.Unlock()
		return nil
	}
	one := h.used.Remove(e).(*handle)
	delete(h.open, path)
	h.mu.Unlock()
	return errors.Join(one.file.Sync(), one.file.Close())
}

// finishAll is finish for every open file.
func (h *handles) finishAll() error {
	h.mu.Lock()
	paths := make([]string, 0, len(h.open))
	for path := range h.open {
		paths = append(paths, path)
	}
	h.mu.Unlock()
	var errs []error
	for _, path := range paths {
		errs = append(errs, h.finish(path))
	}
	return errors.Join(errs...)
}

// remove deletes a file unless it is open, and reports whether it did.
func (h *handles) remove(path string) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open[path] != nil {
		return false, nil
	}
	err := h.disk.remove(path)
	return err == nil, err
}

// count is how many files are open.
func (h *handles) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.used.Len()
}
