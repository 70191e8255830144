package moderation

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
)

// auditLog is who did what: the newest auditMax events in memory, the store has the
// same, and each as a line of JSON in a file if there is one. Any goroutine but
// those of the loops.
type auditLog struct {
	failed atomic.Uint64 // lines that could not be written to the file

	mu sync.Mutex
	// Guarded by mu.
	ring []Event // of auditMax; next is the oldest once it is full
	next int
	file *os.File // nil = none
}

// add notes an event, and writes it to the file.
func (a *auditLog) add(e Event) {
	line, err := json.Marshal(e)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.remember(e)
	if a.file == nil {
		return
	}
	if err == nil { // one write, so that a line is never cut by another process
		_, err = a.file.Write(append(line, '\n'))
	}
	if err != nil {
		a.failed.Add(1)
	}
}

// remember is add without the file. With a.mu, or before anybody has a.
func (a *auditLog) remember(e Event) {
	if len(a.ring) < auditMax {
		a.ring = append(a.ring, e)
		return
	}
	a.ring[a.next] = e
	a.next = (a.next + 1) % auditMax
}

// newest returns the last n events, newest first.
func (a *auditLog) newest(n int) []Event {
	a.mu.Lock()
	defer a.mu.Unlock()
	n = min(max(0, n), len(a.ring))
	list := make([]Event, 0, n)
	for i := range n {
		list = append(list, a.ring[(a.next+len(a.ring)-1-i)%len(a.ring)])
	}
	return slices.Clip(list)
}

// openAudit opens the file of a path to append to it; "" is none.
func openAudit(path string) (*os.File, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return nil, fmt.Errorf("--audit-log: %w", err)
	}
	return f, nil
}

// reopen has what follows written to f, which may be the file of another name or
// nil, and closes the one before.
func (a *auditLog) reopen(f *os.File) error {
	a.mu.Lock()
	before := a.file
	a.file = f
	a.mu.Unlock()
	if before == nil {
		return nil
	}
	return before.Close()
}
