package archive

import (
	"bytes"
	"context"
	"slices"
	"sync"
)

// takenBack is what the retracts of a span say.
type takenBack struct {
	ids       []uint64 // sorted
	clearedIn int      // index of the part in which the room was cleared last; -1 = none
	clearedAt int64    // and where in it
}

// has reports whether the line at that place says something that counts no more:
// it is a retract itself, or was taken back by one, or by the room being cleared.
func (t *takenBack) has(line []byte, part int, at int64) bool {
	if part < t.clearedIn || part == t.clearedIn && at <= t.clearedAt || bytes.Contains(line, markRetract) {
		return true
	}
	if len(t.ids) == 0 {
		return false
	}
	id, _, ok := lineID(line)
	if !ok {
		return false
	}
	_, found := slices.BinarySearch(t.ids, id)
	return found
}

// retracts remembers of files what is taken back in them, so that each is searched
// once and a file that grows only for what is new.
type retracts struct {
	mu sync.Mutex // no loop takes it; held while maps and lists are read or changed
	// Guarded by mu.
	files map[string]fileRetracts
}

// fileRetracts are those of one file. ids is never changed, only replaced.
type fileRetracts struct {
	searched int64 // bytes
	ids      []uint64
	cleared  int64 // where the room was cleared last; -1 = nowhere
}

// retractFilesMax bounds the files that are remembered.
const retractFilesMax = 16 << 10

func newRetracts() *retracts { return &retracts{files: make(map[string]fileRetracts)} }

func (r *retracts) of(path string) fileRetracts {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.files[path]
	if !ok {
		known.cleared = -1
	}
	return known
}

func (r *retracts) set(path string, f fileRetracts) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.files) >= retractFilesMax {
		clear(r.files) // simple, and rare; they will be searched again
	}
	r.files[path] = f
}

// unread is how many bytes of the parts have not been searched.
func (r *retracts) unread(parts []part) (n int64) {
	for _, p := range parts {
		n += max(0, p.size-r.of(p.path).searched)
	}
	return n
}

// collect searches the parts.
func (r *retracts) collect(ctx context.Context, parts []part) (takenBack, error) {
	t := takenBack{clearedIn: -1}
	for i, p := range parts {
		known := r.of(p.path)
		if p.size > known.searched {
			var err error
			if known, err = search(ctx, p, known); err != nil {
				return t, err
			}
			r.set(p.path, known)
		}
		t.ids = append(t.ids, known.ids...)
		if known.cleared >= 0 {
			t.clearedIn, t.clearedAt = i, known.cleared
		}
	}
	slices.Sort(t.ids)
	return t, nil
}

// search goes on where the last search of the file ended.
func search(ctx context.Context, p part, known fileRetracts) (fileRetracts, error) {
	ids, begun := slices.Clip(known.ids), known.searched
	err := scan(ctx, p, begun, func(line []byte, at int64) error {
		end := at + int64(len(line)) + 1
		if end > p.size {
			return nil // not complete yet: it is searched another time
		}
		known.searched = end
		if !bytes.Contains(line, markRetract) {
			return nil
		}
		switch id, everything, ok := lineID(line); {
		case everything:
			known.cleared = at
		case ok:
			ids = append(ids, id)
		}
		return nil
	})
	known.ids = ids
	return known, err
}
