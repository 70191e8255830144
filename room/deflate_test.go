package room

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/danmakud/danmakud/wsproto"
)

// inflated returns the text of a compressed frame.
func inflated(t *testing.T, frame []byte) string {
	t.Helper()
	p, n := serverFrame(frame)
	if n != len(frame) || frame[0] != 0xC1 {
		t.Fatalf("frame of %d bytes says %d and begins with %x", len(frame), n, frame[0])
	}
	text, err := wsproto.NewInflater().Message(wsproto.Message{Op: wsproto.OpText, Data: p, Compressed: true}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestEncode: a batch is compressed once if one member wants it and it is worth
// it, whatever else there is.
func TestEncode(t *testing.T) {
	h := NewHub(Config{DeflateMin: 1000})
	shards := []*Shard{NewShard(h, 0, &sink{}), NewShard(h, 0, &sink{})}
	c := newChatter(2)
	e, _ := shards[0].Join(0, JoinRequest{Name: "r"}, 0)
	runs := uint64(0)
	seal := func(comments int, due bool) *Batch {
		t.Helper()
		b := c.batch(e.Room, comments)
		before := b.bytes
		b.Encode()
		plain, frame := b.Frame(EncodingJSON), b.Frame(EncodingJSONDeflate)
		if made := &plain[0] != &frame[0]; made != due {
			t.Fatalf("%d comments, %d bytes: compressed %v", comments, len(plain), made)
		}
		if due {
			runs++
			if inflated(t, frame) != payload(t, b) || len(frame) >= len(plain)*3/4 {
				t.Fatalf("%d bytes became %d", len(plain), len(frame))
			}
			if b.bytes < before+len(frame) {
				t.Fatalf("memory of the batch: %d, then %d with a frame of %d", before, b.bytes, len(frame))
			}
		}
		if h.Encoded(EncodingJSONDeflate) != runs || h.Encoded(EncodingJSON) != h.Sealed() {
			t.Fatalf("%d runs, want %d", h.Encoded(EncodingJSONDeflate), runs)
		}
		return b
	}
	seal(100, false) // nobody wants it
	for slot := range uint32(50) {
		shards[slot%2].Join(100+slot, JoinRequest{Name: "r", Encoding: EncodingJSONDeflate}, 0)
	}
	seal(100, true)
	seal(5, false) // too small
	seal(1000, true)
	for slot := range uint32(50) {
		seal(20, true) // as long as one is left
		shards[slot%2].Leave(100+slot, 0)
	}
	seal(100, false)
	h.Configure(Config{DeflateMin: 1, DeflateLevel: 9})
	shards[0].Join(200, JoinRequest{Name: "r", Encoding: EncodingJSONDeflate}, 0)
	seal(5, true)
	if d := h.deflater(); d.level != 9 {
		t.Errorf("still level %d", d.level)
	}
	in, out := h.Deflated()
	if in == 0 || out == 0 || out > in/2 {
		t.Errorf("%d bytes in, %d out", in, out)
	}
}

// TestEncodeNotSmaller: what does not get smaller goes out as it is.
func TestEncodeNotSmaller(t *testing.T) {
	h := NewHub(Config{DeflateMin: 1})
	e, _ := NewShard(h, 0, &sink{}).Join(0, JoinRequest{Name: "r", Encoding: EncodingJSONDeflate}, 0)
	mustPublish(t, e.Room, chat("x"), 0)
	b := e.Room.Seal(0, 0)
	// No chat is like this, so the frame is made to be.
	b.frames[EncodingJSON] = append(b.frames[EncodingJSON][:b.header:b.header], randomBytes(500)...)
	b.Encode()
	if !bytes.Equal(b.Frame(EncodingJSONDeflate), b.Frame(EncodingJSON)) {
		t.Error("a frame that grew is sent")
	}
	if in, out := h.Deflated(); in != out || h.Encoded(EncodingJSONDeflate) != 1 {
		t.Errorf("%d bytes in, %d out", in, out)
	}
}

func randomBytes(n int) []byte { return randomScript(3, n)[:n] }

func TestEncodeAllocatesTheFrameAlone(t *testing.T) {
	h := NewHub(Config{})
	e, _ := NewShard(h, 0, &sink{}).Join(0, JoinRequest{Name: "r", Encoding: EncodingJSONDeflate}, 0)
	b := newChatter(1).batch(e.Room, 100)
	// The pool may lose what is put into it, at a collection and on purpose under
	// the race detector: the least of several runs counts.
	least := testing.AllocsPerRun(1, b.Encode)
	for range 50 {
		least = min(least, testing.AllocsPerRun(1, b.Encode))
	}
	if least > 1 {
		t.Errorf("%v allocations a batch", least)
	}
	plain := NewHub(Config{})
	e, _ = NewShard(plain, 0, &sink{}).Join(0, JoinRequest{Name: "r"}, 0)
	b = newChatter(1).batch(e.Room, 100)
	if allocs := testing.AllocsPerRun(200, b.Encode); allocs > 0 {
		t.Errorf("%v allocations for nobody", allocs)
	}
}

// TestTickKeepsToThePlainSize: what the frames weigh decides about stretching the
// tick, and that must not depend on who is in the room.
func TestTickKeepsToThePlainSize(t *testing.T) {
	for _, enc := range []Encoding{EncodingJSON, EncodingJSONDeflate} {
		h := NewHub(Config{})
		e, _ := NewShard(h, 0, &sink{}).Join(0, JoinRequest{Name: "r", Encoding: enc}, 0)
		b := newChatter(1).batch(e.Room, 1000)
		b.Encode()
		if e.Room.frameBytes != len(b.Frame(EncodingJSON)) || e.Room.frameBytes < stretchBytesMax {
			t.Errorf("%v: remembered %d bytes of %d", enc, e.Room.frameBytes, len(b.Frame(EncodingJSON)))
		}
	}
}

// TestMembersShareOneFrame: the bytes that go to all members of an encoding are
// the same memory, and each gets its own encoding through short writes too.
func TestMembersShareOneFrame(t *testing.T) {
	w := &drip{}
	h := NewHub(Config{DeflateMin: 1})
	s := NewShard(h, 0, w)
	c := newChatter(9)
	var r *Room
	for slot := range uint32(40) {
		e, _ := s.Join(slot, JoinRequest{Name: "r", Encoding: Encoding(slot % 2)}, 0)
		r = e.Room
	}
	var want [Encodings][]byte
	for range 5 {
		b := c.batch(r, 50)
		b.Encode()
		for e := range EncodingForeign {
			want[e] = append(want[e], b.Frame(e)...)
		}
		s.Deliver([]*Batch{b}, 0)
		for s.Broadcast(256, 0) {
		}
		for w.more() {
			for slot := range uint32(40) {
				s.Writable(slot, 0)
			}
		}
	}
	for slot := range uint32(40) {
		if !bytes.Equal(w.got[slot], want[slot%2]) {
			t.Fatalf("slot %d got %d bytes, want %d", slot, len(w.got[slot]), len(want[slot%2]))
		}
	}
	if runs := h.Encoded(EncodingJSONDeflate); runs != 5 {
		t.Errorf("%d runs for 5 batches", runs)
	}
}

// drip is sockets that take 700 bytes and are then full once.
type drip struct {
	got   [40][]byte
	full  [40]bool
	wants [40]bool
}

func (d *drip) Write(slot uint32, p []byte) (int, error) {
	d.full[slot] = !d.full[slot]
	if !d.full[slot] {
		return 0, nil
	}
	n := min(len(p), 700)
	d.got[slot] = append(d.got[slot], p[:n]...)
	return n, nil
}
func (d *drip) WriteRegion(uint32, Region, []byte) (int, error) { panic("there is no spool") }
func (d *drip) WantWrite(slot uint32, on bool)                  { d.wants[slot] = on }
func (d *drip) Failed(uint32, error)                            {}
func (d *drip) more() bool {
	for _, w := range d.wants {
		if w {
			return true
		}
	}
	return false
}

// BenchmarkEncode shows what a level costs and saves at each size, with batches
// of chat that differ: the default level and least size come from here. ratio is
// bytes before to bytes after, saved the bytes saved of every frame sent.
func BenchmarkEncode(b *testing.B) {
	for _, comments := range []int{1, 2, 3, 5, 10, 20, 100, 1000} {
		for level := 1; level <= 9; level++ {
			b.Run(fmt.Sprintf("comments=%d/level=%d", comments, level), func(b *testing.B) {
				h := NewHub(Config{DeflateMin: 1, DeflateLevel: level})
				e, err := NewShard(h, 0, &sink{}).Join(0, JoinRequest{Name: "r", Encoding: EncodingJSONDeflate}, 0)
				if err != nil {
					b.Fatal(err)
				}
				c := newChatter(1)
				batches := make([]*Batch, 20)
				for i := range batches {
					batches[i] = c.batch(e.Room, comments)
				}
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					batch := batches[i%len(batches)]
					batch.frames[EncodingJSONDeflate] = nil
					batch.Encode()
				}
				in, out := h.Deflated()
				runs := float64(h.Encoded(EncodingJSONDeflate))
				b.ReportMetric(float64(in)/runs, "B/frame")
				b.ReportMetric(float64(in)/float64(out), "ratio")
				b.ReportMetric(float64(in-out)/runs, "saved")
			})
		}
	}
}
