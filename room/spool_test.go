package room

import (
	"sync"
	"testing"
)

// memorySpool is a Spool whose regions must not be used after Free.
type memorySpool struct {
	mu    sync.Mutex
	live  int // bytes held
	limit int
}

type memoryRegion struct {
	spool *memorySpool
	p     []byte // nil after Free
}

func (s *memorySpool) Add(p []byte) Region {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live+len(p) > s.limit {
		return nil
	}
	s.live += len(p)
	return &memoryRegion{s, append([]byte(nil), p...)}
}

func (r *memoryRegion) Free() {
	r.spool.mu.Lock()
	defer r.spool.mu.Unlock()
	if r.p == nil {
		panic("region freed twice")
	}
	r.spool.live -= len(r.p)
	r.p = nil
}

func (r *memoryRegion) bytes() []byte {
	r.spool.mu.Lock()
	defer r.spool.mu.Unlock()
	if r.p == nil {
		panic("region used after it was freed")
	}
	return r.p
}

func (s *memorySpool) held() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live
}

// spoolWriter counts both ways of writing and takes space bytes a write.
type spoolWriter struct {
	sink
	spooled int
	space   int
}

func (w *spoolWriter) Write(slot uint32, p []byte) (int, error) {
	w.sink.Write(slot, p)
	return min(len(p), w.space), nil
}

func (w *spoolWriter) WriteRegion(_ uint32, r Region, rest []byte) (int, error) {
	p := r.(*memoryRegion).bytes()
	if string(p[len(p)-len(rest):]) != string(rest) {
		panic("the region has other bytes than the batch")
	}
	w.spooled++
	return min(len(rest), w.space), nil
}

// spooledRoom is a room of n members on each of some shards.
type spooledRoom struct {
	*Room
	spool   *memorySpool
	writers []*spoolWriter
	shards  []*Shard
}

func newSpooledRoom(shards, members int, c Config) *spooledRoom {
	sr := &spooledRoom{spool: &memorySpool{limit: 1 << 20}}
	c.Shards, c.Spool = shards, sr.spool
	h := NewHub(c)
	for i := range shards {
		sr.writers = append(sr.writers, &spoolWriter{space: 1 << 30})
		sr.shards = append(sr.shards, NewShard(h, i, sr.writers[i]))
		for slot := range uint32(members) {
			if _, err := sr.shards[i].Join(slot, JoinRequest{Name: "r"}, 0); err != nil {
				panic(err)
			}
		}
	}
	sr.Room = h.Find("r")
	return sr
}

// seal makes a batch and delivers it to the shards given.
func (sr *spooledRoom) seal(t *testing.T, shards ...int) *Batch {
	t.Helper()
	mustPublish(t, sr.Room, chat(string(make([]byte, 1000))), 0)
	b := sr.Seal(0, 0)
	b.Encode()
	sr.Posted()
	for _, i := range shards {
		sr.shards[i].Deliver([]*Batch{b}, 0)
	}
	return b
}

func (sr *spooledRoom) finish(shards ...int) {
	for _, i := range shards {
		for sr.shards[i].Broadcast(256, 0) {
		}
	}
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
			sr := newSpooledRoom(1, c.members, Config{SpoolMin: 4096, SpoolMembers: 10})
			sr.spool.limit = c.limit
			mustPublish(t, sr.Room, chat(string(make([]byte, c.bytes))), 0)
			b := sr.Seal(0, 0)
			b.Encode()
			sr.shards[0].Deliver([]*Batch{b}, 0)
			sr.finish(0)
			w := sr.writers[0]
			if w.spooled != c.want*c.members || w.writes != (1-c.want)*c.members {
				t.Errorf("%d spooled and %d plain writes to %d members", w.spooled, w.writes, c.members)
			}
			in, full := sr.hub.Spooled()
			if int(in) != c.want || (full > 0) != (c.name == "no place") {
				t.Errorf("counted %d in the spool, %d without place", in, full)
			}
		})
	}
}

// A frame leaves the spool when the last loop's pass is over, though rings keep
// the batch; who is served later gets a copy.
func TestSpoolFreedAfterThePasses(t *testing.T) {
	sr := newSpooledRoom(2, 3, Config{SpoolMin: 1, SpoolMembers: 1})
	sr.writers[1].space = 0 // shard 1 is full
	sr.seal(t, 0, 1)
	sr.finish(0)
	if sr.spool.held() == 0 {
		t.Fatal("freed before the other loop's pass")
	}
	sr.finish(1)
	if n := sr.spool.held(); n != 0 {
		t.Fatalf("%d bytes held after both passes", n)
	}
	sr.writers[1].space = 1 << 30
	for slot := range uint32(3) {
		sr.shards[1].Writable(slot, 0)
	}
	if w := sr.writers[1]; w.spooled != 3 || w.writes != 3 {
		t.Errorf("%d spooled and %d plain writes, want 3 in the pass and 3 after", w.spooled, w.writes)
	}
	if n := sr.shards[1].Counts().FramesWritten; n != 3 {
		t.Errorf("%d frames written, want 3", n)
	}
}

// A torn frame is gone on with by copying, whenever that is.
func TestSpoolTornFrame(t *testing.T) {
	sr := newSpooledRoom(1, 1, Config{SpoolMin: 1, SpoolMembers: 1})
	sr.writers[0].space = 100
	b := sr.seal(t, 0)
	sr.finish(0)
	if n := sr.spool.held(); n != 0 {
		t.Fatalf("%d bytes held for a torn frame", n)
	}
	sr.writers[0].space = 1 << 30
	sr.shards[0].Writable(0, 0)
	if w := sr.writers[0]; w.spooled != 1 || w.bytes != b.size(EncodingJSON)-100 {
		t.Errorf("%d spooled writes and %d bytes copied of %d", w.spooled, w.bytes, b.size(EncodingJSON))
	}
}

// Whatever keeps a loop from serving a batch, its hold ends.
func TestSpoolHoldsEnd(t *testing.T) {
	leave := func(sr *spooledRoom, shard int) {
		for slot := range uint32(3) {
			sr.shards[shard].Leave(slot, 0)
		}
	}
	for name, f := range map[string]func(t *testing.T, sr *spooledRoom){
		"all leave before it arrives": func(t *testing.T, sr *spooledRoom) {
			b := sr.seal(t, 0)
			leave(sr, 1)
			sr.shards[1].Deliver([]*Batch{b}, 0)
		},
		"all leave and one comes back before it arrives": func(t *testing.T, sr *spooledRoom) {
			b := sr.seal(t, 0)
			leave(sr, 1)
			sr.shards[1].Join(0, JoinRequest{Name: "r"}, 0)
			sr.shards[1].Deliver([]*Batch{b}, 0)
		},
		"all leave during the pass": func(t *testing.T, sr *spooledRoom) {
			sr.seal(t, 0, 1)
			sr.shards[1].Broadcast(1, 0)
			leave(sr, 1)
		},
		"the inbox is full": func(t *testing.T, sr *spooledRoom) {
			sr.seal(t, 0).LetGo(1)
			sr.seal(t, 0, 1)
		},
		"a gap ends a pass": func(t *testing.T, sr *spooledRoom) {
			sr.seal(t, 0, 1)
			sr.shards[1].Broadcast(1, 0)
			sr.seal(t, 0).LetGo(1)
			sr.seal(t, 0, 1)
		},
		"the ring is too short": func(t *testing.T, sr *spooledRoom) {
			for range 5 {
				sr.seal(t, 0, 1)
			}
		},
		"one that was not counted lets go": func(t *testing.T, sr *spooledRoom) {
			leave(sr, 1)
			b := sr.seal(t, 0)
			sr.shards[1].Deliver([]*Batch{b}, 0)
			b.LetGo(1)
			if sr.spool.held() == 0 {
				t.Error("freed though shard 0 holds it")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			sr := newSpooledRoom(2, 3, Config{SpoolMin: 1, SpoolMembers: 1, Ring: 2})
			f(t, sr)
			sr.finish(0, 1)
			if n := sr.spool.held(); n != 0 {
				t.Errorf("%d bytes are held", n)
			}
			if sr.writers[0].spooled == 0 {
				t.Error("nothing went out of the spool")
			}
		})
	}
}
