package room

import (
	"runtime"
	"sync"
	"testing"
	"time"
)

// memorySpool is a Spool whose freed bytes are poisoned.
type memorySpool struct {
	mu    sync.Mutex
	bytes []byte
	live  int // bytes held
	limit int
}

func (s *memorySpool) Add(p []byte) (int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live+len(p) > s.limit {
		return 0, false
	}
	s.live += len(p)
	s.bytes = append(s.bytes, p...)
	return int64(len(s.bytes) - len(p)), true
}

func (s *memorySpool) Free(off int64, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live -= n
	clear(s.bytes[off : off+int64(n)])
}

// read returns a copy, since Free may run at any time.
func (s *memorySpool) read(off int64, n int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]byte(nil), s.bytes[off:off+int64(n)]...)
}

func (s *memorySpool) held() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live
}

// spoolWriter counts both ways of writing.
type spoolWriter struct {
	sink
	spooled int
}

func (w *spoolWriter) WriteSpooled(uint32, int64, int) (int, error) {
	w.spooled++
	return 1 << 30, nil
}

func TestSpoolRule(t *testing.T) {
	for _, c := range []struct {
		name           string
		bytes, members int
		limit, want    int
	}{
		{"large, to many", 5000, 10, 1 << 20, 1},
		{"small", 100, 10, 1 << 20, 0},
		{"to few", 5000, 9, 1 << 20, 0},
		{"no place", 5000, 10, 4999, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := NewHub(Config{Spool: &memorySpool{limit: c.limit}, SpoolMin: 4096, SpoolMembers: 10})
			w := &spoolWriter{}
			s := NewShard(h, 0, w)
			for slot := range uint32(c.members) {
				s.Join(slot, "r", EncodingJSON, 0, 0)
			}
			r := h.Find("r")
			mustPublish(t, r, chat(string(make([]byte, c.bytes))), 0)
			b := r.Seal(0, 0)
			b.Encode()
			s.Deliver([]*Batch{b}, 0)
			for s.Broadcast(256, 0) {
			}
			if w.spooled != c.want*c.members || w.writes != (1-c.want)*c.members {
				t.Errorf("%d spooled and %d plain writes to %d members", w.spooled, w.writes, c.members)
			}
			in, full := h.Spooled()
			if int(in) != c.want || (full > 0) != (c.name == "no place") {
				t.Errorf("counted %d in the spool, %d without place", in, full)
			}
		})
	}
}

// A frame's place is free again when nobody can write it any more, and not before.
func TestSpoolFreedWithTheBatch(t *testing.T) {
	spool := &memorySpool{limit: 1 << 20}
	h := NewHub(Config{Spool: spool, SpoolMin: 1, SpoolMembers: 1, Ring: 2})
	s := NewShard(h, 0, &sink{})
	s.Join(0, "r", EncodingJSON, 0, 0)
	r := h.Find("r")
	seal := func() {
		r.Like(1, 0)
		b := r.Seal(0, 0)
		b.Encode()
		r.Posted()
		s.Deliver([]*Batch{b}, 0)
		for s.Broadcast(256, 0) {
		}
	}
	seal() // tells of the join
	before := spool.held()
	seal()
	one := spool.held() - before
	for range 20 {
		seal()
	}
	for deadline := time.Now().Add(30 * time.Second); spool.held() > 3*one; {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes are held, a frame has %d and the ring two", spool.held(), one)
		}
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
	if spool.held() < 2*one {
		t.Errorf("%d bytes are held, the ring still has two frames of %d", spool.held(), one)
	}
	runtime.KeepAlive(s)
}
