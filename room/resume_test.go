package room

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danmakud/danmakud/wsproto"
)

// scene is a room on two shards whose sockets keep what they get.
type scene struct {
	t      *testing.T
	hub    *Hub
	shards [2]*Shard
	heard  [2]*ears
	room   *Room
	now    int64
	flying []*Batch // sealed and not delivered
}

// ears are sockets that take so many writes, each whole, and are then full.
type ears struct {
	got   map[uint32][]byte
	takes map[uint32]int // -1 = all
	wants map[uint32]bool
}

func (e *ears) Write(slot uint32, p []byte) (int, error) {
	if left, ok := e.takes[slot]; ok {
		if left == 0 {
			return 0, nil
		}
		e.takes[slot]--
	}
	e.got[slot] = append(e.got[slot], p...)
	return len(p), nil
}
func (e *ears) WriteRegion(slot uint32, _ Region, rest []byte) (int, error) {
	return e.Write(slot, rest)
}
func (e *ears) WantWrite(slot uint32, on bool) { e.wants[slot] = on }
func (e *ears) Failed(uint32, error)           {}

func newScene(t *testing.T, c Config) *scene {
	t.Helper()
	c.Shards = 2
	s := &scene{t: t, hub: NewHub(c)}
	for i := range s.shards {
		s.heard[i] = &ears{map[uint32][]byte{}, map[uint32]int{}, map[uint32]bool{}}
		s.shards[i] = NewShard(s.hub, i, s.heard[i])
	}
	s.room, _ = s.hub.Room("r", 0)
	return s
}

// seal says something and seals it, not yet encoded nor posted.
func (s *scene) seal(text string) *Batch {
	s.t.Helper()
	s.now += int64(time.Second)
	mustPublish(s.t, s.room, chat(text), s.now)
	b := s.room.Seal(s.now, 0)
	s.flying = append(s.flying, b)
	return b
}

// post encodes the last batch.
func (s *scene) post() {
	s.flying[len(s.flying)-1].Encode()
	s.room.Posted()
}

// land delivers what is on its way.
func (s *scene) land() {
	for i, shard := range s.shards {
		for _, b := range s.flying {
			if b.Wanted(i) {
				shard.Deliver([]*Batch{b}, s.now)
			}
		}
		for shard.Broadcast(256, s.now) {
		}
		shard.Check()
	}
	s.flying = nil
}

// batch seals, posts and delivers.
func (s *scene) batch(text string) {
	s.t.Helper()
	s.seal(text)
	s.post()
	s.land()
}

func (s *scene) join(shard int, slot uint32, req JoinRequest) Entry {
	s.t.Helper()
	req.Name = "r"
	e, err := s.shards[shard].Join(slot, req, s.now)
	if err != nil {
		s.t.Fatal(err)
	}
	s.shards[shard].Reply(slot, wsproto.AppendFrame(nil, wsproto.OpText, AppendWelcome(nil, &e, &Viewer{UID: 1})), s.now)
	return e
}

func (s *scene) resume(shard int, slot uint32, since uint64) Entry {
	s.t.Helper()
	return s.join(shard, slot, JoinRequest{Resume: true, Since: since, Epoch: s.room.epoch, History: 9})
}

// hears returns what a viewer got: W the welcome, S a notice of batches skipped, and
// the texts of batches; ! marks one that came compressed.
func (s *scene) hears(shard int, slot uint32) string {
	s.t.Helper()
	var list []string
	for rest := s.heard[shard].got[slot]; len(rest) > 0; {
		p, n := serverFrame(rest)
		mark := ""
		if rest[0] == 0xC1 {
			mark, p = "!", []byte(inflated(s.t, rest[:n]))
		}
		switch text := string(p); {
		case strings.HasPrefix(text, `{"type":"welcome"`):
			list = append(list, "W")
		case strings.HasPrefix(text, `{"type":"skipped"`):
			list = append(list, "S"+text[len(`{"type":"skipped",`):len(text)-1])
		default:
			_, after, _ := strings.Cut(text, `"text":"`)
			said, _, _ := strings.Cut(after, `"`)
			list = append(list, mark+said)
		}
		rest = rest[n:]
	}
	return strings.Join(list, " ")
}

func (s *scene) wantHeard(what string, shard int, slot uint32, want string) {
	s.t.Helper()
	if got := s.hears(shard, slot); got != want {
		s.t.Errorf("%s: heard %q, want %q", what, got, want)
	}
}

func TestResumeWithoutAGap(t *testing.T) {
	s := newScene(t, Config{Tick: time.Millisecond, History: 9})
	s.join(0, 0, JoinRequest{})
	for i := range 5 {
		s.batch(fmt.Sprint(i + 1))
	}
	// On the loop that has them in its ring, and on one that has nothing of the room.
	for shard := range 2 {
		e := s.resume(shard, 1, 2)
		if !e.Resume || !e.Resumed || e.Seq != 2 || e.History != nil {
			t.Errorf("shard %d: %+v", shard, e)
		}
	}
	s.batch("6")
	for shard := range 2 {
		s.wantHeard("resumed after 2", shard, 1, "W 3 4 5 6")
		c := s.shards[shard].Counts()
		if c.BatchesResumed != 3 || c.Resumes != 1 || c.ResumesMissed != 0 {
			t.Errorf("counts %+v", c)
		}
	}
	s.wantHeard("always there", 0, 0, "W 1 2 3 4 5 6")
	if e := s.resume(1, 2, 6); !e.Resumed || e.Seq != 6 {
		t.Errorf("with nothing missed: %+v", e)
	}
	if e := s.resume(1, 3, 0); !e.Resumed {
		t.Errorf("from the beginning: %+v", e)
	}
	s.wantHeard("from the beginning", 1, 3, "W 1 2 3 4 5 6")
}

func TestResumeThatCannotBe(t *testing.T) {
	s := newScene(t, Config{Tick: time.Millisecond, History: 9, ResumeAge: 3 * time.Second})
	s.join(0, 0, JoinRequest{})
	for i := range 6 {
		s.batch(fmt.Sprint(i + 1))
	}
	for slot, req := range []JoinRequest{
		{Resume: true, Since: 1, Epoch: s.room.epoch},  // too long ago
		{Resume: true, Since: 7, Epoch: s.room.epoch},  // has not been yet
		{Resume: true, Since: 5, Epoch: "another-run"}, // of another life
		{Resume: true, Since: 5},
		{Resume: true, Since: 5, Epoch: s.room.epoch, Encoding: EncodingForeign},
	} {
		req.History = 9
		e := s.join(1, uint32(1+slot), req)
		welcome, _ := serverFrame(s.heard[1].got[uint32(1+slot)])
		if e.Resumed || e.Seq != 6 || len(texts(t, e.History)) != 6 || !strings.Contains(string(welcome), `"resumed":false`) {
			t.Errorf("%+v gives %+v: %s", req, e, welcome)
		}
	}
	if e := s.join(1, 9, JoinRequest{}); e.Resume || strings.Contains(string(s.heard[1].got[9]), "resumed") {
		t.Errorf("who did not ask: %+v", e)
	}
	s.batch("7")
	s.wantHeard("after a miss", 1, 1, "W 7")
	if c := s.shards[1].Counts(); c.ResumesMissed != 5 || c.Resumes != 0 || c.BatchesResumed != 0 {
		t.Errorf("counts %+v", c)
	}
}

// TestResumeWhileBatchesAreOnTheirWay: who resumes between a seal and the delivery
// gets every batch once, by whichever way.
func TestResumeWhileBatchesAreOnTheirWay(t *testing.T) {
	for _, posted := range []bool{false, true} {
		s := newScene(t, Config{Tick: time.Millisecond, DeflateMin: 1})
		s.join(0, 0, JoinRequest{Encoding: EncodingJSONDeflate})
		long := strings.Repeat("a", 200)
		s.batch(long)
		s.seal(long)
		s.post()
		s.seal(long)
		if posted {
			s.post()
		}
		req := JoinRequest{Resume: true, Since: 0, Epoch: s.room.epoch, Encoding: EncodingJSONDeflate}
		s.join(0, 1, req) // its loop has had one and gets two
		s.join(1, 1, req) // its loop gets none: nobody was there
		if !posted {
			s.post()
		}
		s.land()
		s.batch("end")
		z := "!" + long + " "
		s.wantHeard("on a loop with members", 0, 1, "W "+z+z+z+"end")
		last := z
		if !posted { // while it is being compressed it goes plain
			last = long + " "
		}
		s.wantHeard("on a loop without", 1, 1, "W "+z+z+last+"end")
	}
}

// TestResumeIsServedInSlices: a long way back is not gone in one turn, and a viewer
// that is slow at it keeps nothing but its place.
func TestResumeIsServedInSlices(t *testing.T) {
	const batches = 3*resumeSlice + 5
	s := newScene(t, Config{Tick: time.Millisecond, ResumeAge: time.Hour})
	s.join(0, 0, JoinRequest{})
	want := []string{"W"}
	for i := range batches {
		s.batch(fmt.Sprint(i + 1))
		want = append(want, fmt.Sprint(i+1))
	}
	s.resume(1, 1, 0)
	turns := 0
	for s.heard[1].wants[1] {
		if n := len(strings.Fields(s.hears(1, 1))); n != 1+(turns+1)*resumeSlice {
			t.Fatalf("%d messages after %d turns", n, turns)
		}
		if turns++; turns == 2 {
			s.batch("while it catches up")
		}
		s.shards[1].Writable(1, s.now)
		s.shards[1].Check()
	}
	want = append(want, "while", "it", "catches", "up")
	s.wantHeard("all", 1, 1, strings.Join(want, " "))
	if turns != 3 || s.shards[1].member(1).resuming || s.shards[1].Counts().Blocked != 0 {
		t.Errorf("%d turns, still resuming %v", turns, s.shards[1].member(1).resuming)
	}
}

// TestSlowResumeIsTold: what a viewer was too slow for while it was still kept is
// skipped, with numbers.
func TestSlowResumeIsTold(t *testing.T) {
	s := newScene(t, Config{Tick: time.Millisecond, ResumeAge: 10 * time.Second, Ring: 2})
	s.join(0, 0, JoinRequest{})
	for i := range 8 {
		s.batch(fmt.Sprint(i + 1))
	}
	s.heard[1].takes[1] = 3 // the welcome and two batches
	s.resume(1, 1, 0)
	s.now += int64(time.Minute)
	s.hub.Sweep(s.now)
	s.heard[1].takes[1] = 100
	s.shards[1].Writable(1, s.now)
	s.wantHeard("nothing was sealed since", 1, 1, `W 1 2 S"from":3,"to":8,"batches":6,"comments":6`)
	s.batch("9")
	s.wantHeard("and then", 1, 1, `W 1 2 S"from":3,"to":8,"batches":6,"comments":6 9`)
	if c := s.shards[1].Counts(); c.FramesWritten != 3 || c.BatchesSkipped != 6 || c.CommentsSkipped != 6 {
		t.Errorf("counts %+v", c)
	}
}

// TestLeavingWhileResuming: what was still to come is owed.
func TestLeavingWhileResuming(t *testing.T) {
	s := newScene(t, Config{Tick: time.Millisecond})
	s.join(0, 0, JoinRequest{})
	for i := range 8 {
		s.batch(fmt.Sprint(i + 1))
	}
	s.heard[1].takes[1] = 4
	s.resume(1, 1, 2)
	s.shards[1].Forget(1, s.now)
	s.shards[1].Check()
	if c := s.shards[1].Counts(); c.FramesWritten != 3 || c.BatchesUnsent != 3 || c.BatchesResumed != 6 {
		t.Errorf("counts %+v", c)
	}
	if s.shards[1].member(1).resuming {
		t.Error("the next one in the slot would resume")
	}
}

func TestKeptBatchesAreBounded(t *testing.T) {
	kept := func(r *Room) (list []uint64) {
		for _, b := range r.kept.list {
			list = append(list, b.Seq)
		}
		return list
	}
	say := func(h *Hub, name string, now time.Duration) *Room {
		r, err := h.Room(name, int64(now))
		if err != nil {
			t.Fatal(err)
		}
		mustPublish(t, r, chat(strings.Repeat("x", 300)), int64(now))
		b := r.Seal(int64(now), 0)
		b.Encode()
		r.Posted()
		if b.bytes < 576 || b.bytes > 1200 {
			t.Fatalf("a batch of %d bytes: the bounds below show nothing", b.bytes)
		}
		return r
	}
	bytes := func(h *Hub) (sum int64) {
		for _, r := range h.rooms {
			sum += int64(r.kept.bytes)
		}
		return sum
	}
	check := func(what string, h *Hub, r *Room, dropped uint64, want ...uint64) {
		t.Helper()
		held, lost := h.Kept()
		if got := kept(r); !slices.Equal(got, want) || held != bytes(h) || lost != dropped {
			t.Errorf("%s: keeps %v of %d bytes, dropped %d; want %v of %d, %d", what, got, held, lost, want, bytes(h), dropped)
		}
	}

	h := NewHub(Config{ResumeAge: 3 * time.Second})
	for i := range 6 {
		say(h, "r", time.Duration(i)*time.Second)
	}
	r := h.Find("r")
	check("by age", h, r, 0, 3, 4, 5, 6)
	h.Sweep(int64(8500 * time.Millisecond))
	check("by a sweep", h, r, 0)
	if r.kept.list != nil || h.keeping.queue != nil {
		t.Error("memory is held for nothing")
	}

	h = NewHub(Config{ResumeBytes: 3500})
	for i := range 6 {
		r = say(h, "r", time.Duration(i))
	}
	check("by bytes of the room", h, r, 6-uint64(len(r.kept.list)), kept(r)...)
	if n := len(r.kept.list); n < 3 || n > 5 || r.kept.bytes > 3500 {
		t.Errorf("%d batches of %d bytes", n, r.kept.bytes)
	}

	h = NewHub(Config{ResumeTotal: 5000})
	for i := range 20 {
		say(h, fmt.Sprint("old", i%2), time.Duration(i))
	}
	for i := range 4 {
		r = say(h, "young", time.Duration(100+i))
	}
	held, dropped := h.Kept()
	check("by bytes of all", h, r, dropped, 1, 2, 3, 4)
	if held > 5000 || held < 3000 || dropped < 15 {
		t.Errorf("%d bytes are kept, %d dropped", held, dropped)
	}

	h.Sweep(int64(time.Hour)) // an empty room goes with what it kept
	if held, _ := h.Kept(); held != 0 || h.Rooms() != 0 {
		t.Errorf("%d bytes in %d rooms after all are gone", held, h.Rooms())
	}

	h = NewHub(Config{MaxRooms: 1})
	say(h, "evicted", 0)
	check("by the eviction of its room", h, say(h, "r", time.Second), 0, 1)

	h = NewHub(Config{ResumeAge: -1})
	check("none at all", h, say(h, "r", 0), 0)
	h.Configure(Config{ResumeAge: time.Second})
	check("switched on", h, say(h, "r", 1), 0, 2)
	h.Configure(Config{ResumeAge: -1})
	check("switched off", h, say(h, "r", 2), 0)
	h.Configure(Config{ResumeAge: time.Second})
	check("and on again", h, say(h, "r", 3), 0, 4)
}

func TestMemberStaysSmall(t *testing.T) {
	if size := reflect.TypeFor[member]().Size(); size > 20 {
		t.Errorf("the column of a member has %d bytes", size)
	}
}
