package room

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/danmakud/danmakud/wsproto"
)

// foreignHub has two encodings besides its own: the number of comments after two
// bytes that are for WebSocket alone, nothing of batches without any; and what the
// first one has made, twice.
func foreignHub(calls *[2]int) *Hub {
	return NewHub(Config{Ring: 2, Encoders: []Encoder{
		{Name: "count", Outer: 2, Append: func(dst []byte, b *Batch) []byte {
			calls[0]++
			if b.Comments == 0 {
				return dst
			}
			return fmt.Appendf(dst, "##%d", b.Comments)
		}},
		{Name: "twice", Append: func(dst []byte, b *Batch) []byte {
			calls[1]++
			return append(append(dst, b.Foreign(EncodingForeign)...), b.Foreign(EncodingForeign)...)
		}},
	}})
}

// inboxes are sockets that keep what they take.
type inboxes struct {
	got  map[uint32][]byte
	room int // bytes that a write takes; below 0 = all
}

func (x *inboxes) Write(slot uint32, p []byte) (int, error) {
	if x.room >= 0 {
		p = p[:min(len(p), x.room)]
	}
	x.got[slot] = append(x.got[slot], p...)
	return len(p), nil
}
func (x *inboxes) WriteRegion(slot uint32, _ Region, rest []byte) (int, error) {
	return x.Write(slot, rest)
}
func (*inboxes) WantWrite(uint32, bool) {}
func (*inboxes) Failed(uint32, error)   {}

func packed(text string) string {
	return string(wsproto.AppendFrame(nil, wsproto.OpBinary, []byte(text)))
}

// TestForeignEncodings: each is made once, only while a member wants it; who is bare
// gets neither the frame nor the outer bytes; a batch with nothing for them is nothing
// on the wire, and delivered all the same.
func TestForeignEncodings(t *testing.T) {
	var calls [2]int
	h := foreignHub(&calls)
	x := &inboxes{map[uint32][]byte{}, -1}
	s := NewShard(h, 0, x)
	e, err := s.Join(0, JoinRequest{Name: "r"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	pass := func(comments int) {
		t.Helper()
		e.Room.Like(1, 0)
		for range comments {
			mustPublish(t, e.Room, chat("x"), 0)
		}
		b := e.Room.Seal(0, 0)
		b.Encode()
		s.Deliver([]*Batch{b}, 0)
		for s.Broadcast(100, 0) {
		}
		e.Room.Posted()
		s.Check()
	}
	pass(1)
	if calls != [2]int{} {
		t.Fatalf("nobody wants them, and they are made: %v", calls)
	}
	s.SetBare(3)
	for slot, encoding := range []Encoding{1: EncodingForeign, EncodingForeign, EncodingForeign, EncodingForeign + 1} {
		if slot == 0 {
			continue
		}
		if _, err := s.Join(uint32(slot), JoinRequest{Name: "r", Encoding: encoding}, 0); err != nil {
			t.Fatal(err)
		}
	}
	pass(3)
	pass(0)
	pass(2)
	if want := [2]int{3, 3}; calls != want || h.Encoded(EncodingForeign) != 3 || h.EncodingName(EncodingForeign+1) != "twice" || h.EncodingName(EncodingForeign+2) != "" {
		t.Errorf("made %v times, counted %d", calls, h.Encoded(EncodingForeign))
	}
	for slot, want := range map[uint32]string{1: packed("##3") + packed("##2"), 2: packed("##3") + packed("##2"), 3: "32", 4: packed("##3##3") + packed("##2##2")} {
		if got := string(x.got[slot]); got != want {
			t.Errorf("slot %d got %q, want %q", slot, got, want)
		}
	}
	if c := s.Counts(); c.FramesWritten != 4+3*4 {
		t.Errorf("%d frames written, want 16", c.FramesWritten)
	}
	s.Forget(3, 0)
	if s.Bare(3) {
		t.Error("still bare after it was forgotten")
	}
}

// TestForeignSkips: who lags gets no notice of ours in the middle of its packets, is
// counted exactly, and a bare one is torn where its bytes are.
func TestForeignSkips(t *testing.T) {
	var calls [2]int
	h := foreignHub(&calls)
	for _, bare := range []bool{false, true} {
		x := &inboxes{map[uint32][]byte{}, 1}
		s := NewShard(h, 0, x)
		if bare {
			s.SetBare(1)
		}
		e, err := s.Join(1, JoinRequest{Name: "r", Encoding: EncodingForeign}, 0)
		if err != nil {
			t.Fatal(err)
		}
		for range 6 {
			for range 10 {
				mustPublish(t, e.Room, chat("x"), 0)
			}
			b := e.Room.Seal(0, 0)
			b.Encode()
			s.Deliver([]*Batch{b}, 0)
			for s.Broadcast(100, 0) {
			}
			e.Room.Posted()
		}
		x.room = -1
		s.Writable(1, 0)
		s.Check()
		want := packed("##10") + packed("##10")
		if bare {
			want = "1010"
		}
		if got := string(x.got[1]); got != want {
			t.Errorf("bare %v: got %q, want %q", bare, got, want)
		}
		if c := s.Counts(); c.FramesWritten != 2 || c.BatchesSkipped != 4 || c.CommentsSkipped != 40 {
			t.Errorf("bare %v: %+v", bare, c)
		}
		s.Forget(1, 0)
	}
}

// TestEchoSparesForeignMembers: whose encoding has no words for it sees no such comment.
func TestEchoSparesForeignMembers(t *testing.T) {
	var calls [2]int
	x := &inboxes{map[uint32][]byte{}, -1}
	s := NewShard(foreignHub(&calls), 0, x)
	if _, err := s.Join(1, JoinRequest{Name: "r", Encoding: EncodingForeign}, 0); err != nil {
		t.Fatal(err)
	}
	if out, id := s.Echo(nil, 1, "r", chat("x"), 0); len(out) != 0 || id == 0 {
		t.Errorf("got %q, id %d", out, id)
	}
}

// TestData: what a site pushes for its own clients is sent and never shown again.
func TestData(t *testing.T) {
	h := NewHub(Config{History: 10})
	s := NewShard(h, 0, &sink{})
	e, err := s.Join(0, JoinRequest{Name: "r"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	mustPublish(t, e.Room, chat("kept"), 0)
	e.Room.Seal(0, 0)
	mustPublish(t, e.Room, &Comment{User: "system", Text: "{}", Color: ColorDefault, Kind: KindData, Op: 1000}, 0)
	mustPublish(t, e.Room, &Comment{User: "system", Color: ColorDefault, Kind: KindData, Op: 7, Data: "\x00\xff"}, 0)
	text := payload(t, e.Room.Seal(0, 0))
	for _, want := range []string{`"text":"{}","ts":1732275000101,"kind":"data","op":1000}`, `"text":"","ts":1732275000101,"kind":"data","op":7,"data":"AP8="}`} {
		if !strings.Contains(text, want) {
			t.Errorf("batch %s, want in it %s", text, want)
		}
	}
	if shown := e.Room.HistoryJSON(10); !bytes.Contains(shown, []byte("kept")) || bytes.Contains(shown, []byte("data")) {
		t.Errorf("history %s", shown)
	}
	h.Configure(Config{PendingBytes: 100, History: 10})
	if _, _, err := e.Room.Publish(&Comment{User: "system", Kind: KindData, Data: strings.Repeat("x", 200)}, 0, 0); !errors.Is(err, ErrFull) {
		t.Errorf("data beyond the bound: %v", err)
	}
}
