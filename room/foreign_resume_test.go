package room

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danmakud/danmakud/wsproto"
)

const (
	echoing  = EncodingForeign // says what JSON says, in binary messages
	squeezed = EncodingForeign + 1
)

// echoEncoders are one encoding whose members can resume and are told all, and the same
// compressed. It counts what is made.
func echoEncoders(made *int) []Encoder {
	notice := func(dst, message []byte) []byte { return append(dst, message...) }
	return []Encoder{
		{Name: "echo", Resumes: true, Notice: notice, Append: func(dst []byte, b *Batch) []byte {
			*made++
			return append(dst, b.Payload()...)
		}},
		{Name: "squeezed", Resumes: true, Notice: notice},
	}
}

// said returns the texts that slot was sent; ! marks a compressed one, and every frame
// must be binary.
func (s *scene) said(shard int, slot uint32) string {
	s.t.Helper()
	got := slices.Clone(s.heard[shard].got[slot])
	var list []string
	for rest := got; len(rest) > 0; {
		_, n := serverFrame(rest)
		if rest[0]&0xF != byte(wsproto.OpBinary) {
			s.t.Fatalf("frame %q", rest[:n])
		}
		rest[0]-- // as text, for the same reader
		rest = rest[n:]
	}
	s.heard[shard].got[slot], got = got, s.heard[shard].got[slot]
	list = append(list, s.hears(shard, slot))
	s.heard[shard].got[slot] = got
	return strings.Join(list, " ")
}

// back resumes with a foreign encoding, and is told so in its words.
func (s *scene) back(shard int, slot uint32, since uint64, e Encoding) {
	s.t.Helper()
	entry, err := s.shards[shard].Join(slot, JoinRequest{Name: "r", Resume: true, Since: since, Epoch: s.room.epoch, Encoding: e}, s.now)
	if err != nil || !entry.Resumed {
		s.t.Fatalf("%+v, %v", entry, err)
	}
	s.shards[shard].Reply(slot, s.hub.AppendNotice(nil, e, AppendWelcome(nil, &entry, &Viewer{UID: 1})), s.now)
}

// TestForeignResume: who comes back with an encoding that nobody had meanwhile gets every
// batch all the same; each is made once, whoever comes, and compressed for nobody.
func TestForeignResume(t *testing.T) {
	made := 0
	s := newScene(t, Config{Tick: time.Millisecond, DeflateMin: 1, Encoders: echoEncoders(&made)})
	s.join(0, 0, JoinRequest{})
	for i := range 5 {
		s.batch(strings.Repeat(fmt.Sprint(i+1), 40))
	}
	weight := s.room.kept.bytes
	if made != 0 {
		t.Fatalf("made %d times for nobody", made)
	}
	s.back(0, 1, 2, echoing)  // on a loop with a ring
	s.back(1, 1, 1, squeezed) // on one with nothing of the room
	s.back(1, 2, 3, echoing)
	s.batch(strings.Repeat("6", 40))
	long := func(digit string) string { return strings.Repeat(digit, 40) }
	for _, tc := range []struct {
		shard int
		slot  uint32
		want  []string
	}{{0, 1, []string{"W", long("3"), long("4"), long("5"), long("6")}}, {1, 1, []string{"W", long("2"), long("3"), long("4"), long("5"), "!" + long("6")}}, {1, 2, []string{"W", long("4"), long("5"), long("6")}}} {
		if got, want := s.said(tc.shard, tc.slot), strings.Join(tc.want, " "); got != want {
			t.Errorf("shard %d slot %d got %q, want %q", tc.shard, tc.slot, got, want)
		}
	}
	if made != 5 || s.hub.Encoded(echoing) != 5 || s.hub.Encoded(squeezed) != 1 {
		t.Errorf("made %d times, counted %d and %d compressed", made, s.hub.Encoded(echoing), s.hub.Encoded(squeezed))
	}
	if s.room.kept.bytes < weight+4*40 {
		t.Errorf("what was made later is not counted: %d bytes, then %d", weight, s.room.kept.bytes)
	}
	bytes, counted := 0, 0
	for _, b := range s.room.kept.list {
		counted += b.counted
		bytes += b.bytes
		if late := b.late.Load(); late != nil {
			bytes += cap(late.frames[echoing])
		}
	}
	if kept, _ := s.hub.Kept(); bytes != counted || counted != s.room.kept.bytes || int64(counted) != kept {
		t.Errorf("%d bytes are kept, counted %d, %d and %d", bytes, counted, s.room.kept.bytes, kept)
	}
}

// TestForeignResumeOnTheWay: who comes back between seal and delivery gets each batch
// once, and never one that is being made at the same time.
func TestForeignResumeOnTheWay(t *testing.T) {
	for _, posted := range []bool{false, true} {
		made := 0
		s := newScene(t, Config{Tick: time.Millisecond, Encoders: echoEncoders(&made)})
		s.back(0, 0, 0, echoing)
		s.batch("1")
		s.seal("2")
		s.post()
		s.seal("3")
		if posted {
			s.post()
		}
		s.back(0, 1, 0, echoing)
		s.back(1, 1, 0, echoing)
		if !posted {
			if made != 3 {
				t.Errorf("made %d times before it was posted", made)
			}
			s.post()
		}
		s.land()
		s.batch("end")
		for shard := range 2 {
			if got := s.said(shard, 1); got != "W 1 2 3 end" {
				t.Errorf("posted %v, shard %d: got %q", posted, shard, got)
			}
		}
	}
}

// TestForeignResumeTorn: what was made later is cut by nothing, and bounded.
func TestForeignResumeTorn(t *testing.T) {
	made := 0
	h := NewHub(Config{Shards: 2, Encoders: echoEncoders(&made)})
	x := &inboxes{map[uint32][]byte{}, 50}
	watcher, s := NewShard(h, 0, &sink{}), NewShard(h, 1, x)
	e, err := watcher.Join(0, JoinRequest{Name: "r"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		mustPublish(t, e.Room, chat(strings.Repeat(fmt.Sprint(i), 300)), 0)
		b := e.Room.Seal(0, 0)
		b.Encode()
		e.Room.Posted()
	}
	bound := e.Room.kept.bytes + 500 // less than two of what is made later
	h.Configure(Config{ResumeBytes: bound})
	entry, err := s.Join(1, JoinRequest{Name: "r", Resume: true, Since: 0, Epoch: e.Room.epoch, Encoding: squeezed}, 0)
	if err != nil || !entry.Resumed {
		t.Fatalf("%+v, %v", entry, err)
	}
	s.Reply(1, h.AppendNotice(nil, squeezed, AppendWelcome(nil, &entry, &Viewer{UID: 1})), 0)
	for range 1000 {
		if s.Drained(1) {
			break
		}
		s.Writable(1, 0)
		s.Check()
	}
	scene := &scene{t: t, heard: [2]*ears{{got: x.got}}}
	want := "W"
	for i := range 4 {
		want += " " + strings.Repeat(fmt.Sprint(i), 300)
	}
	if got := scene.said(0, 1); !s.Drained(1) || got != want {
		t.Errorf("drained %v, got %q", s.Drained(1), got)
	}
	if n := len(e.Room.kept.list); n >= 4 || e.Room.kept.bytes > bound {
		t.Errorf("%d batches kept with %d bytes, at most %d", n, e.Room.kept.bytes, bound)
	}
	if c := s.Counts(); c.FramesWritten != 4 {
		t.Errorf("%+v", c)
	}
}

// TestForeignNotices: who has an encoding with words for it is told what it missed, and
// shown what nobody else is.
func TestForeignNotices(t *testing.T) {
	made := 0
	h := NewHub(Config{Ring: 2, Encoders: echoEncoders(&made)})
	x := &ears{map[uint32][]byte{}, map[uint32]int{1: 0}, map[uint32]bool{}}
	s := NewShard(h, 0, x)
	e, err := s.Join(1, JoinRequest{Name: "r", Encoding: squeezed}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		mustPublish(t, e.Room, chat(fmt.Sprint(i+1)), 0)
		b := e.Room.Seal(0, 0)
		b.Encode()
		s.Deliver([]*Batch{b}, 0)
		for s.Broadcast(100, 0) {
		}
		e.Room.Posted()
	}
	delete(x.takes, 1)
	s.Writable(1, 0)
	out, _ := s.Echo(nil, 1, "r", chat("alone"), 0)
	s.Reply(1, out, 0)
	scene := &scene{t: t, heard: [2]*ears{x}}
	if got, want := scene.said(0, 1), `S"from":1,"to":4,"batches":4,"comments":4 5 alone`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if made != 5 || h.Encoded(squeezed) != 0 { // too small to be compressed
		t.Errorf("made %d times, compressed %d", made, h.Encoded(squeezed))
	}
}

func TestEncodersThatCannotBe(t *testing.T) {
	add := func(dst []byte, _ *Batch) []byte { return dst }
	for i, list := range [][]Encoder{
		{{Name: "a"}}, {{Append: add}, {}, {}}, {{Append: add, Resumes: true}, {}}, {{Append: add, Resumes: true}, {Append: add, Resumes: true}},
		{{Append: add}, {Append: add}, {Append: add}, {Append: add}, {Append: add}, {Append: add}, {Append: add}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("list %d is taken", i)
				}
			}()
			NewHub(Config{Encoders: list})
		}()
	}
}
