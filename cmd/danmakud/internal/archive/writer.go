package archive

import (
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"
	"time"
)

const (
	// chunkBytes are written at once, or what has come within flushEvery.
	chunkBytes = 256 << 10
	// roomBytes bounds the lines of a room that its file does not take, so that
	// they do not use up the places of all others.
	roomBytes = 8 << 20
	// forgetAfter is how long nothing is said in a room until its file is finished.
	forgetAfter = time.Hour
	// sparesMax bounds the buffers kept for the next round.
	sparesMax = 16
	// namesMax is how many names are tried for a new file, each a millisecond later.
	namesMax = 1000
)

// writer brings what is in the queue into the files of the rooms. All of it
// belongs to its goroutine.
type writer struct {
	archive *Archive
	rooms   map[string]*roomFile
	pending []*roomFile // those that have lines
	spares  [][]byte
	forgot  time.Time // when quiet rooms were last forgotten
	trouble trouble
}

// roomFile is the newest file of a room and the lines on their way into it.
type roomFile struct {
	room string
	path string // "" = none yet
	size int64
	day  string
	used time.Time // when something was written last

	queued   bool // among the pending
	lines    []byte
	batches  int // in lines
	comments int // in lines
	held     int // bytes of the queue that lines take up

	failing time.Time // since when the file takes nothing; zero = all is well
	retry   time.Time
}

func newWriter(a *Archive) *writer {
	return &writer{archive: a, rooms: make(map[string]*roomFile), forgot: a.options.now()}
}

// run writes until the archive is closed.
func (w *writer) run() {
	defer close(w.archive.written)
	q, o := w.archive.queue, &w.archive.options
	timer := time.NewTimer(0)
	<-timer.C
	var taken []entry
	for open := true; open; {
		var retry <-chan time.Time
		if len(w.pending) > 0 {
			timer.Reset(o.retryEvery)
			retry = timer.C
		}
		select {
		case <-q.wake:
			open = w.gather(timer)
		case <-retry:
		case <-w.archive.closing:
			open = false
		}
		taken = q.take(taken)
		w.round(taken)
	}
	w.finish(q.take(taken))
}

// gather lets more come in, so that one write serves many comments. It reports
// whether the archive is still open.
func (w *writer) gather(timer *time.Timer) bool {
	timer.Reset(w.archive.options.flushEvery)
	select {
	case <-timer.C:
	case <-w.archive.queue.wake: // half of the queue is full
	case <-w.archive.closing:
		return false
	}
	return true
}

// round takes entries over and writes all lines there are.
func (w *writer) round(entries []entry) {
	now := w.archive.options.now()
	for i := range entries {
		w.file(&entries[i], now)
	}
	left := w.pending[:0]
	for _, r := range w.pending {
		w.flush(r, now)
		if r.queued = len(r.lines) > 0; r.queued {
			left = append(left, r)
		}
	}
	clear(w.pending[len(left):])
	w.pending = left
	if len(left) == 0 {
		w.trouble.over(w.archive.options.Log)
	}
	if now.Sub(w.forgot) >= forgetAfter {
		w.forget(now)
	}
}

// file adds the comments of e to the lines of its room.
func (w *writer) file(e *entry, now time.Time) {
	r := w.rooms[e.room]
	if r == nil {
		r = &roomFile{room: e.room}
		w.rooms[e.room] = r
	}
	if len(r.lines)+len(e.text) > roomBytes {
		if w.flush(r, now); len(r.lines) > 0 {
			w.archive.counts.dropped.Add(uint64(e.comments))
			w.archive.queue.release(1, len(e.text))
			return
		}
	}
	if len(r.lines) == 0 {
		r.lines = w.buffer()
	}
	if !r.queued {
		r.queued = true
		w.pending = append(w.pending, r)
	}
	r.lines = appendLines(r.lines, e.text)
	r.batches++
	r.comments += e.comments
	r.held += len(e.text)
	if len(r.lines) >= chunkBytes {
		w.flush(r, now)
	}
}

// flush writes the lines of a room, unless that has just failed. Lines that were
// refused for too long are dropped.
func (w *writer) flush(r *roomFile, now time.Time) {
	if len(r.lines) == 0 || now.Before(r.retry) {
		return
	}
	err := w.write(r, now)
	if err == nil {
		r.failing, r.retry, r.used = time.Time{}, time.Time{}, now
		w.written(r, true)
		return
	}
	w.archive.counts.errors.Add(1)
	w.trouble.say(w.archive.options.Log, r.room, err, now)
	if r.failing.IsZero() {
		r.failing = now
	}
	r.retry = now.Add(w.archive.options.retryEvery)
	if now.Sub(r.failing) >= w.archive.options.patience {
		w.written(r, false)
		r.failing = time.Time{}
	}
}

// written settles the account of a room's lines: they are in the file, or lost.
func (w *writer) written(r *roomFile, ok bool) {
	c := &w.archive.counts
	if ok {
		c.comments.Add(uint64(r.comments))
		c.batches.Add(uint64(r.batches))
	} else {
		c.dropped.Add(uint64(r.comments))
	}
	w.archive.queue.release(r.batches, r.held)
	w.giveBack(r.lines)
	r.lines, r.batches, r.comments, r.held = nil, 0, 0, 0
}

// write appends the lines to the room's file. After an error all whole lines that
// got into it are off r.lines, and what is torn is off the file, or the file is
// given up.
func (w *writer) write(r *roomFile, now time.Time) error {
	f, err := w.openFile(r, now)
	if err != nil {
		return err
	}
	n, err := f.Write(r.lines)
	if n == len(r.lines) {
		r.size += int64(n)
		w.archive.counts.bytes.Add(uint64(n))
		return nil
	}
	whole := bytes.LastIndexByte(r.lines[:n], '\n') + 1
	lines := bytes.Count(r.lines[:whole], []byte{'\n'})
	r.size += int64(whole)
	r.comments -= lines
	r.lines = r.lines[:copy(r.lines, r.lines[whole:])]
	w.archive.counts.comments.Add(uint64(lines))
	w.archive.counts.bytes.Add(uint64(whole))
	if whole < n {
		if cut := f.Truncate(r.size); cut != nil {
			err = errors.Join(err, cut)
			w.archive.handles.drop(r.path)
			r.path = "" // the torn line stays the last of that file
		}
	}
	return err
}

// openFile returns the file for the lines of r: the present one, or a new one when
// a day or the file's size is over.
func (w *writer) openFile(r *roomFile, now time.Time) (file, error) {
	first := now
	if ms, ok := lineTime(r.lines); ok {
		first = time.UnixMilli(ms)
	}
	day := first.UTC().Format(time.DateOnly)
	if r.path != "" && (day != r.day || r.size > 0 && r.size+int64(len(r.lines)) > w.archive.options.FileSize) {
		w.close(r)
	}
	if r.path != "" {
		f, err := w.archive.handles.get(r.path)
		if !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
	folder := filepath.Join(w.archive.options.Dir, folderName(r.room))
	for range namesMax {
		path := filepath.Join(folder, fileName(first))
		err := w.archive.handles.create(path)
		if err == nil {
			r.path, r.size, r.day = path, 0, day
			return w.archive.handles.get(path)
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		first = first.Add(time.Millisecond)
	}
	return nil, errors.New("no name left for a new file")
}

// close finishes a room's file.
func (w *writer) close(r *roomFile) {
	if err := w.archive.handles.finish(r.path); err != nil {
		w.archive.failed("a file was not synced", err)
	}
	r.path, r.size = "", 0
}

// forget finishes the files of rooms where nothing was said for long.
func (w *writer) forget(now time.Time) {
	w.forgot = now
	for name, r := range w.rooms {
		if len(r.lines) == 0 && now.Sub(r.used) >= forgetAfter {
			if r.path != "" {
				w.close(r)
			}
			delete(w.rooms, name)
		}
	}
}

// finish writes what is left as well as it can be done and closes the files.
func (w *writer) finish(entries []entry) {
	o, dropped := &w.archive.options, w.archive.counts.dropped.Load()
	until := time.Now().Add(min(o.patience, closePatience/2))
	for w.round(entries); len(w.pending) > 0 && time.Now().Before(until); w.round(nil) {
		time.Sleep(min(o.retryEvery, 100*time.Millisecond))
	}
	for _, r := range w.pending {
		w.written(r, false)
	}
	if w.archive.counts.dropped.Load() > dropped { // by us: nothing is appended any more
		w.archive.unwritten.Store(true)
	}
	if err := w.archive.handles.finishAll(); err != nil {
		w.archive.failed("a file was not synced", err)
	}
}

// buffer returns memory for lines, giveBack takes it for the next.
func (w *writer) buffer() []byte {
	if n := len(w.spares); n > 0 {
		b := w.spares[n-1]
		w.spares = w.spares[:n-1]
		return b
	}
	return nil
}

func (w *writer) giveBack(b []byte) {
	if len(w.spares) < sparesMax && cap(b) <= 2*chunkBytes {
		w.spares = append(w.spares, b[:0])
	}
}
