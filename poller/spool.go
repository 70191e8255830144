package poller

import (
	"os"
	"sync"
	"sync/atomic"
)

// A Spool is an anonymous file in memory out of which sockets are written by
// reference: the kernel takes its pages as they are, where [Loop.Write] copies
// every byte for every socket. It pays from about 8 KiB on. Linux only. All
// methods may be called by any goroutine.
//
// No byte of it is ever written twice, since the kernel may hold pages that a
// slow peer has not taken yet: Add goes on behind everything there was before,
// and what was freed stays a hole.
type Spool struct {
	// Fixed after construction.
	fd    int
	limit int64

	mu sync.RWMutex
	// Guarded by mu.
	closed bool // the number fd may be somebody else's

	// Atomic; any goroutine.
	end  atomic.Int64 // where the next Add begins
	held atomic.Int64 // bytes in pages, those only the kernel still holds aside
}

// spoolPage is what regions are aligned to, so that freeing one leaves the others whole.
const spoolPage = 4 << 10

// NewSpool makes a spool that holds at most limit bytes. The error is that of a
// system that has no such files, or forbids them.
func NewSpool(limit int64) (*Spool, error) {
	fd, err := newSpoolFile()
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	return &Spool{fd: fd, limit: limit}, nil
}

// Add copies p into the spool and returns where it is. It reports false when the
// spool is full, or there is no memory.
func (s *Spool) Add(p []byte) (off int64, ok bool) {
	size := spoolSize(len(p))
	if s.held.Add(size) > s.limit {
		s.held.Add(-size)
		return 0, false
	}
	off = s.end.Add(size) - size
	if err := fillSpool(s.fd, p, off); err != nil {
		s.Free(off, len(p))
		return 0, false
	}
	return off, true
}

// Free gives back the n bytes that Add put at off. What was sent of them is not
// affected.
func (s *Spool) Free(off int64, n int) {
	size := spoolSize(n)
	s.held.Add(-size)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.closed {
		punchSpool(s.fd, off, size)
	}
}

// Held returns how many bytes the spool holds, in whole pages.
func (s *Spool) Held() int64 { return s.held.Load() }

// Close frees everything. Only Free may be called after it.
func (s *Spool) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		closeSpool(s.fd)
	}
}

// spoolSize is n in whole pages.
func spoolSize(n int) int64 { return (int64(n) + spoolPage - 1) &^ (spoolPage - 1) }
