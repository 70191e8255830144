package archive

import "sync"

// entry is the comments of one batch on their way to the disk.
type entry struct {
	room     string
	text     []byte // JSON objects separated by commas; shared, read only
	comments int
}

// queue is what has been appended and not been written yet. It is bounded by
// entries and by bytes, which stay taken until release, so that the bound covers
// what the writer holds, too.
type queue struct {
	// Fixed after construction.
	entriesMax, bytesMax int
	wake                 chan struct{} // has a token when something has come into an empty queue

	mu sync.Mutex // innermost; held for some assignments only
	// Guarded by mu.
	waiting        []entry
	entries, bytes int // waiting or held by the writer
	closed         bool
}

func newQueue(entries, bytes int) *queue {
	return &queue{entriesMax: entries, bytesMax: bytes, wake: make(chan struct{}, 1)}
}

// put adds e, or reports that there is no place. Any goroutine. The writer is woken
// for the first entry, to take all that has come in a while at once, and earlier if
// the half is taken.
func (q *queue) put(e entry) bool {
	q.mu.Lock()
	if q.closed || q.entries >= q.entriesMax || q.bytes+len(e.text) > q.bytesMax {
		q.mu.Unlock()
		return false
	}
	wake := len(q.waiting) == 0 || q.bytes > q.bytesMax/2
	q.waiting = append(q.waiting, e)
	q.entries++
	q.bytes += len(e.text)
	q.mu.Unlock()
	if wake {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
	return true
}

// take returns all that waits. spare is the result of the take before, whose
// memory is used again. Writer only.
func (q *queue) take(spare []entry) []entry {
	clear(spare)
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := q.waiting
	q.waiting = spare[:0]
	return taken
}

// release gives the places of entries back.
func (q *queue) release(entries, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.entries -= entries
	q.bytes -= bytes
}

// held is how many entries are waiting or with the writer.
func (q *queue) held() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.entries
}

// heldBytes is held in bytes.
func (q *queue) heldBytes() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}

// close refuses all that comes from now on.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}
