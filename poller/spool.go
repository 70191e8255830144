package poller

import (
	"os"
	"slices"
	"sync"
	"sync/atomic"
)

// A Spool is anonymous memory out of which sockets are written by reference: the
// kernel takes its pages as they are, where [Loop.Write] copies every byte for
// every socket. It pays from about 8 KiB on. Linux only. All methods may be called
// by any goroutine.
//
//	segment (memfd)   segment            segment, the current one
//	[region|region]   [region|region]    [region|region|free    ]
//	     freed all: closed                             ▲ Add
//
// No byte of a segment is ever written twice, nor is any part of one given back:
// sockets may hold its pages long after the call. A segment is closed as a whole
// when its last region is freed, and its pages live on until the last socket has
// sent them.
type Spool struct {
	limit int64

	mu sync.Mutex
	// Guarded by mu.
	current  *segment // where Add goes on; nil = with the next segment
	segments []*segment
	bytes    int64 // of all segments
	closed   bool

	// Atomic; any goroutine.
	failed atomic.Bool  // the system does not send out of such files after all
	held   atomic.Int64 // bytes of all regions
}

// segment is one memfd. Guarded by Spool.mu, but for fd, which is fixed.
type segment struct {
	fd        int
	size, end int64
	regions   int // not freed yet
}

// A Region is a copy of some bytes in a spool. It is good until Free.
type Region struct {
	// Fixed after construction.
	spool   *Spool
	segment *segment
	off     int64
	n       int
}

const (
	// segmentSize is what a segment has at least, in bytes: some dozen large frames,
	// and little next to the limit, since one region keeps all of it.
	segmentSize = 4 << 20
	// spoolPage is what regions are aligned to, so that they take as few pages as
	// possible.
	spoolPage = 4 << 10
)

// NewSpool makes a spool that takes at most limit bytes. The error is that of a
// system that has no such files, or forbids them.
func NewSpool(limit int64) (*Spool, error) {
	fd, err := newSpoolFile()
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	s := &Spool{limit: limit}
	s.open(fd, segmentSize)
	return s, nil
}

// Add copies p into the spool. It returns nil when there is no place.
func (s *Spool) Add(p []byte) *Region {
	r := s.reserve(p)
	if r == nil {
		return nil
	}
	if err := fillSpool(r.segment.fd, p, r.off); err != nil {
		r.Free()
		return nil
	}
	return r
}

// reserve finds a place for p.
func (s *Spool) reserve(p []byte) *Region {
	size := (int64(len(p)) + spoolPage - 1) &^ (spoolPage - 1)
	if s.failed.Load() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || !s.ensure(size) {
		return nil
	}
	g := s.current
	r := &Region{spool: s, segment: g, off: g.end, n: len(p)}
	g.end += size
	g.regions++
	s.held.Add(int64(len(p)))
	return r
}

// ensure makes the current segment one with room for size bytes. Guarded by mu.
func (s *Spool) ensure(size int64) bool {
	if g := s.current; g != nil {
		if g.end+size <= g.size {
			return true
		}
		s.current = nil
		s.retire(g)
	}
	capacity := max(size, segmentSize)
	if s.bytes+capacity > s.limit {
		return false
	}
	fd, err := newSpoolFile()
	if err != nil {
		return false
	}
	s.open(fd, capacity)
	return true
}

// open makes fd the current segment. Guarded by mu.
func (s *Spool) open(fd int, size int64) {
	s.current = &segment{fd: fd, size: size}
	s.segments = append(s.segments, s.current)
	s.bytes += size
}

// retire closes a segment that nobody needs any more. Guarded by mu.
func (s *Spool) retire(g *segment) {
	if g.regions > 0 || g == s.current {
		return
	}
	i := slices.Index(s.segments, g)
	s.segments = slices.Delete(s.segments, i, i+1)
	s.bytes -= g.size
	closeSpoolFile(g.fd)
}

// Free gives the region back: nobody may write it any more. What was sent of it is
// not affected. Call it once.
func (r *Region) Free() {
	s := r.spool
	s.held.Add(-int64(r.n))
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.segment.regions--; !s.closed {
		s.retire(r.segment)
	}
}

// Held returns how many bytes are in the spool and not freed.
func (s *Spool) Held() int64 { return s.held.Load() }

// Close frees everything. Of all else only Free may still be called.
func (s *Spool) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.segments {
		closeSpoolFile(g.fd)
	}
	s.closed, s.segments, s.current = true, nil, nil
}
