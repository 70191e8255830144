package room

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

const ms = int64(time.Millisecond)

// sink is sockets that take everything.
type sink struct{ writes, bytes int }

func (s *sink) Write(_ uint32, p []byte) (int, error) {
	s.writes++
	s.bytes += len(p)
	return len(p), nil
}
func (s *sink) WriteRegion(slot uint32, _ Region, rest []byte) (int, error) {
	return s.Write(slot, rest)
}
func (s *sink) WantWrite(uint32, bool) {}
func (s *sink) Failed(uint32, error)   {}

func chat(text string) *Comment { return &Comment{UID: 7, Text: text, Color: ColorDefault} }

func mustPublish(t testing.TB, r *Room, c *Comment, now int64) (sealNow bool) {
	t.Helper()
	_, sealNow, err := r.Publish(c, now, 1732275000101)
	if err != nil {
		t.Fatal(err)
	}
	return sealNow
}

func payload(t testing.TB, b *Batch) string {
	t.Helper()
	p, n := serverFrame(b.Frame(EncodingJSON))
	if n != len(b.Frame(EncodingJSON)) {
		t.Fatalf("frame of %d bytes says it has %d", len(b.Frame(EncodingJSON)), n)
	}
	return string(p)
}

func TestBatchBytes(t *testing.T) {
	h := NewHub(Config{})
	s := NewShard(h, 0, &sink{})
	e, err := s.Join(0, JoinRequest{Name: "r1"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	mustPublish(t, e.Room, chat("666"), 0)
	mustPublish(t, e.Room, &Comment{UID: 36, Name: `小"明`, Text: "a\\\n\x01", Color: 255,
		Mode: ModeTop, Size: SizeLarge, Kind: KindGift}, 0)
	e.Room.Like(7, 0)
	b := e.Room.Seal(0, 1732275000123)
	want := `{"type":"batch","room":"r1","seq":1,"ts":1732275000123,"online":1,"likes":7,"comments":[` +
		`{"id":"-------0","uid":"~7","text":"666","ts":1732275000101},` +
		`{"id":"-------1","uid":"~10","name":"小\"明","text":"a\\\n\u0001","ts":1732275000101,` +
		`"color":255,"mode":"top","size":"large","kind":"gift"}]}`
	if got := payload(t, b); got != want {
		t.Errorf("batch is\n%s\nwant\n%s", got, want)
	}
	if !json.Valid([]byte(want)) {
		t.Error("not JSON")
	}
}

func TestStringsAreJSON(t *testing.T) {
	for r := rune(0); r < 0x3000; r++ {
		text := "x" + string(r) + "y"
		if !utf8.ValidString(text) {
			continue
		}
		var back string
		if err := json.Unmarshal(appendString(nil, text), &back); err != nil || back != text {
			t.Fatalf("%q came back as %q: %v", text, back, err)
		}
	}
}

func TestIDsSortByAge(t *testing.T) {
	last := ""
	for _, id := range []uint64{0, 1, 63, 64, 4095, 1 << 20, 1<<20 + 1, 1<<48 - 1} {
		got := string(AppendID(nil, id))
		if len(got) != 8 || got <= last {
			t.Errorf("id %d is %q after %q", id, got, last)
		}
		last = got
	}
}

// A quiet room is sealed at once, what follows within the tick is merged.
func TestWhenARoomIsDue(t *testing.T) {
	kicks := 0
	h := NewHub(Config{Tick: 100 * time.Millisecond, Kick: func() { kicks++ }})
	e, _ := NewShard(h, 0, &sink{}).Join(0, JoinRequest{Name: "r"}, 0)
	now := 5000 * ms
	if !mustPublish(t, e.Room, chat("first"), now) {
		t.Fatal("the first comment of a quiet room must be sealed at once")
	}
	if mustPublish(t, e.Room, chat("same turn"), now) {
		t.Fatal("one promise to seal is enough")
	}
	b := e.Room.Seal(now, 0)
	if b.Comments != 2 || b.Seq != 1 {
		t.Fatalf("batch %d has %d comments", b.Seq, b.Comments)
	}
	if mustPublish(t, e.Room, chat("before it is posted"), now) {
		t.Fatal("a batch that is not posted yet must hold back the next")
	}
	e.Room.Posted()
	if due, ok := h.NextDue(); !ok || due != now+100*ms {
		t.Fatalf("due at %d, want one tick after the seal", due)
	}
	if kicks != 1 {
		t.Fatalf("the sealer was kicked %d times", kicks)
	}
	if got := h.SealDue(nil, now+99*ms, 0); got != nil {
		t.Fatal("sealed before the tick was over")
	}
	got := h.SealDue(nil, now+103*ms, 0)
	if len(got) != 1 || got[0].Comments != 1 || got[0].Lag != 3*ms {
		t.Fatalf("due batches %+v", got)
	}
	got[0].Room.Posted()
	if _, ok := h.NextDue(); ok {
		t.Fatal("nothing is pending")
	}
	if !mustPublish(t, e.Room, chat("quiet again"), now+203*ms) {
		t.Fatal("a tick has passed since the last seal")
	}
	if h.Sealed() != 2 {
		t.Fatalf("%d batches counted", h.Sealed())
	}
}

// A room whose passes take longer than its tick merges more, and shrinks back.
func TestTickAdapts(t *testing.T) {
	h := NewHub(Config{Tick: 100 * time.Millisecond, MaxTick: time.Second})
	e, _ := NewShard(h, 0, &sink{}).Join(0, JoinRequest{Name: "r"}, 0)
	now := int64(0)
	seal := func() time.Duration {
		now += ms
		e.Room.Like(1, now)
		e.Room.Seal(now, 0)
		e.Room.Posted()
		return e.Room.Tick()
	}
	if got := seal(); got != 100*time.Millisecond {
		t.Fatalf("tick %v at rest", got)
	}
	e.Room.passTook(400 * ms)
	if got := seal(); got != 450*time.Millisecond || h.LongestTick() != got {
		t.Fatalf("tick %v after a pass of 400 ms, longest %v", got, h.LongestTick())
	}
	e.Room.passTook(9000 * ms)
	if got := seal(); got != time.Second {
		t.Fatalf("tick %v, the most is 1 s", got)
	}
	e.Room.passTook(980 * ms)
	if got := seal(); got != time.Second {
		t.Fatalf("tick %v: a pass that just fits must hold it", got)
	}
	e.Room.passTook(900 * ms)
	if got := seal(); got >= time.Second {
		t.Fatalf("tick %v: a pass of nine tenths leaves air to shrink", got)
	}
	for range 60 {
		seal()
	}
	if got := e.Room.Tick(); got != 100*time.Millisecond {
		t.Fatalf("tick %v long after the overload", got)
	}
	e.Room.passTook(800 * ms)
	seal()
	now += 2000 * ms
	if got := seal(); got != 100*time.Millisecond {
		t.Fatalf("tick %v after the room was quiet", got)
	}
}

// A pass that is still under way when the next batch arrives stretches the tick.
func TestOverrunStretchesTick(t *testing.T) {
	h := NewHub(Config{Tick: 100 * time.Millisecond})
	s := NewShard(h, 0, &sink{})
	var r *Room
	for slot := range uint32(10) {
		e, _ := s.Join(slot, JoinRequest{Name: "r"}, 0)
		r = e.Room
	}
	for i := range int64(2) {
		r.Like(1, i*200*ms)
		s.Deliver([]*Batch{r.Seal(i*200*ms, 0)}, i*200*ms)
		r.Posted()
		s.Broadcast(1, i*200*ms)
	}
	r.Like(1, 400*ms)
	r.Seal(400*ms, 0)
	if got := r.Tick(); got != 225*time.Millisecond {
		t.Fatalf("tick %v after a pass that had run for 200 ms", got)
	}
}

// Passes that follow each other without a pause are timed one by one.
func TestChainedPassesAreTimedOneByOne(t *testing.T) {
	h := NewHub(Config{Tick: 100 * time.Millisecond})
	s := NewShard(h, 0, &sink{})
	var took []int64
	s.PassDone = func(ns int64) { took = append(took, ns) }
	for slot := range uint32(3) {
		s.Join(slot, JoinRequest{Name: "r"}, 0)
	}
	r, now := h.Find("r"), int64(0)
	for range 4 { // each batch arrives while the pass before is under way
		r.Like(1, now)
		s.Deliver([]*Batch{r.Seal(now, 0)}, now)
		r.Posted()
		s.Broadcast(2, now)
		now += 50 * ms
	}
	for s.Broadcast(1, now) {
		now += 10 * ms
	}
	for _, ns := range took {
		if ns > 120*ms {
			t.Errorf("a pass took %v, the chain counts as one", time.Duration(ns))
		}
	}
	if len(took) < 2 {
		t.Errorf("%d passes", len(took))
	}
}

// A room that was busy keeps at most some megabytes for laggards.
func TestRingIsBoundedInBytes(t *testing.T) {
	h := NewHub(Config{PendingBytes: 4 << 20, Ring: 16, BudgetBytes: 4 << 20})
	s := NewShard(h, 0, &sink{})
	s.Join(0, JoinRequest{Name: "r"}, 0)
	r := h.Find("r")
	for i := range int64(20) {
		for range 300 {
			r.Publish(chat(strings.Repeat("x", 3000)), i*int64(time.Second), 0)
		}
		s.Deliver([]*Batch{r.Seal(i*int64(time.Second), 0)}, 0)
		r.Posted()
		for s.Broadcast(100, 0) {
		}
	}
	rs, held := s.rooms[r], 0
	for _, b := range rs.ring {
		if b != nil {
			held += b.bytes
		}
	}
	if held > ringBytesMax || held != rs.bytes || rs.last-rs.first < 1 {
		t.Errorf("ring holds %d bytes, books say %d, batches %d..%d", held, rs.bytes, rs.first, rs.last)
	}
}

// A room that was forgotten and comes back counts from one again, in another epoch.
func TestEachLifeOfARoomHasItsEpoch(t *testing.T) {
	h := NewHub(Config{Epoch: "e"})
	s := NewShard(h, 0, &sink{})
	first, _ := s.Join(0, JoinRequest{Name: "r"}, 0)
	s.Leave(0, 0)
	h.Sweep(int64(time.Hour))
	second, _ := s.Join(0, JoinRequest{Name: "r"}, 0)
	if first.Room.Epoch() == second.Room.Epoch() {
		t.Errorf("both are %s", first.Room.Epoch())
	}
}

// Frames that are large already do not get larger by a longer tick.
func TestLargeFramesDoNotStretchTick(t *testing.T) {
	h := NewHub(Config{Tick: 100 * time.Millisecond})
	e, _ := NewShard(h, 0, &sink{}).Join(0, JoinRequest{Name: "r"}, 0)
	seal := func(comments int) time.Duration {
		e.Room.passTook(400 * ms)
		for range comments {
			e.Room.Publish(chat(strings.Repeat("x", 100)), 0, 0)
		}
		e.Room.Seal(0, 0)
		e.Room.Posted()
		return e.Room.Tick()
	}
	if got := seal(1000); got != 100*time.Millisecond {
		t.Errorf("tick %v after a frame of 150 KB", got)
	}
	if got := seal(10); got != 100*time.Millisecond {
		t.Errorf("tick %v: the long pass was the large frame's", got)
	}
	if got := seal(10); got != 450*time.Millisecond {
		t.Errorf("tick %v after frames of 1.5 KB", got)
	}
	if got := seal(1000); got >= 450*time.Millisecond {
		t.Errorf("tick %v, a large frame must shrink it", got)
	}
}

func TestFullTickRefusesChatAndCountsIt(t *testing.T) {
	h := NewHub(Config{PendingComments: 2})
	e, _ := NewShard(h, 0, &sink{}).Join(0, JoinRequest{Name: "r"}, 0)
	for i := range 5 {
		_, _, err := e.Room.Publish(chat("x"), 0, 0)
		if full := errors.Is(err, ErrFull); full != (i >= 2) {
			t.Fatalf("comment %d: %v", i, err)
		}
	}
	for i := range 3 {
		_, _, err := e.Room.Publish(&Comment{Text: "gift", Kind: KindGift}, 0, 0)
		if full := errors.Is(err, ErrFull); full != (i >= 2) {
			t.Fatalf("gift %d: %v", i, err)
		}
	}
	b := e.Room.Seal(0, 0)
	if got := payload(t, b); !strings.Contains(got, `"sampled":4,`) || b.Comments != 4 || h.Refused() != 4 {
		t.Fatalf("batch does not disclose what was left out: %s", got)
	}
}

func TestHistory(t *testing.T) {
	h := NewHub(Config{History: 5})
	s := NewShard(h, 0, &sink{})
	e, _ := s.Join(0, JoinRequest{Name: "r", History: 5}, 0)
	said := []string{}
	shown := func(n int) []string {
		t.Helper()
		s.Leave(1, 0)
		e, err := s.Join(1, JoinRequest{Name: "r", History: n}, 0)
		if err != nil {
			t.Fatal(err)
		}
		var comments []struct{ Text string }
		if err := json.Unmarshal(fmt.Appendf(nil, "[%s]", e.History), &comments); err != nil {
			t.Fatalf("history %q: %v", e.History, err)
		}
		texts := []string{}
		for _, c := range comments {
			texts = append(texts, c.Text)
		}
		return texts
	}
	for _, size := range []int{0, 1, 1, 3, 7, 2, 40, 1, 0, 4} {
		for range size {
			said = append(said, fmt.Sprint(len(said)))
			mustPublish(t, e.Room, chat(said[len(said)-1]), 0)
		}
		if size == 0 {
			e.Room.Like(1, 0)
		}
		e.Room.Seal(0, 0)
		e.Room.Posted()
		for _, n := range []int{0, 1, 2, 5, 5, 99} {
			want := said[max(0, len(said)-min(n, 5)):]
			if got := shown(n); !slices.Equal(got, want) {
				t.Fatalf("last %d are %v, want %v", n, got, want)
			}
		}
	}
	if parts := e.Room.recent.parts; len(parts) > 6 {
		t.Fatalf("%d batches are kept for 5 comments", len(parts))
	}
}

func TestRoomNames(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "Room_1.x:y-z": true, strings.Repeat("r", 64): true,
		"": false, strings.Repeat("r", 65): false, "a b": false, "é": false, "a/b": false, "a\"": false,
	} {
		if got := ValidName(name); got != want {
			t.Errorf("ValidName(%q) = %v", name, got)
		}
	}
	s := NewShard(NewHub(Config{}), 0, &sink{})
	if _, err := s.Join(0, JoinRequest{Name: "a b"}, 0); !errors.Is(err, ErrName) {
		t.Errorf("join of a bad name: %v", err)
	}
	if s.RoomOf(0) != nil || s.Counts().Members != 0 {
		t.Error("a refused join left a membership")
	}
}

func TestRoomsAreBoundedAndForgotten(t *testing.T) {
	h := NewHub(Config{MaxRooms: 2})
	s := NewShard(h, 0, &sink{})
	join := func(slot uint32, name string, now int64) error {
		_, err := s.Join(slot, JoinRequest{Name: name}, now)
		return err
	}
	now := time.Minute.Nanoseconds()
	if join(0, "a", now) != nil || join(1, "b", now) != nil {
		t.Fatal("two rooms must fit")
	}
	if err := join(2, "c", now); !errors.Is(err, ErrRoomsFull) {
		t.Fatalf("third room: %v", err)
	}
	b := h.Find("b")
	mustPublish(t, b, chat("x"), now)
	s.Leave(1, now)
	if err := join(2, "c", now+2e9); !errors.Is(err, ErrRoomsFull) {
		t.Fatalf("a room with something unsealed must not go: %v", err)
	}
	b.Seal(now, 0)
	b.Posted()
	h.Sweep(now + 3e9)
	if h.Find("b") == nil {
		t.Fatal("an empty room keeps its history for a while")
	}
	if err := join(2, "c", now+4e9); err != nil {
		t.Fatalf("the empty room must make place: %v", err)
	}
	if _, _, err := b.Publish(chat("x"), 0, 0); !errors.Is(err, ErrGone) {
		t.Fatalf("publish into a removed room: %v", err)
	}
	if _, err := b.Like(1, 0); !errors.Is(err, ErrGone) {
		t.Fatalf("like in a removed room: %v", err)
	}
	s.Leave(2, now+5e9)
	s.Leave(0, now+5e9)
	h.Sweep(now + 6e9)
	if h.Rooms() != 0 {
		t.Fatalf("%d rooms left in which nothing was ever said", h.Rooms())
	}
	if got := h.List("", 10); len(got) != 0 {
		t.Fatalf("rooms listed: %v", got)
	}
}

func TestListPages(t *testing.T) {
	h := NewHub(Config{})
	s := NewShard(h, 0, &sink{})
	for i, name := range []string{"c", "a", "b"} {
		s.Join(uint32(i), JoinRequest{Name: name}, 0)
	}
	first := h.List("", 2)
	rest := h.List(first[1].Name, 2)
	if len(first) != 2 || first[0].Name != "a" || first[1].Name != "b" || len(rest) != 1 || rest[0].Name != "c" || rest[0].Online != 1 {
		t.Fatalf("pages %+v and %+v", first, rest)
	}
}

// A batch that was sealed before the first member of this loop joined, but
// arrives after, is nobody's here.
func TestStaleBatchIsIgnored(t *testing.T) {
	h := NewHub(Config{})
	w := &sink{}
	s := NewShard(h, 0, w)
	e, _ := s.Join(0, JoinRequest{Name: "r"}, 0)
	e.Room.Like(1, 0)
	stale := e.Room.Seal(0, 0)
	e.Room.Posted()
	s.Leave(0, 0)
	s.Join(1, JoinRequest{Name: "r"}, 0)
	s.Deliver([]*Batch{stale}, 0)
	if s.Broadcast(100, 0); w.writes != 0 || s.Counts().BatchesMissed != 0 {
		t.Fatalf("%d writes, counts %+v", w.writes, s.Counts())
	}
	if s.Counts().BatchesUnsent != 1 {
		t.Fatal("the batch owed to the first member must be counted")
	}
}

// A room of thousands does not hold up a room of two.
func TestPassesTakeTurns(t *testing.T) {
	h := NewHub(Config{})
	w := &sink{}
	s := NewShard(h, 0, w)
	for slot := range uint32(5002) {
		name := "big"
		if slot >= 5000 {
			name = "small"
		}
		s.Join(slot, JoinRequest{Name: name}, 0)
	}
	for _, name := range []string{"big", "small"} {
		h.Find(name).Like(1, 0)
		s.Deliver([]*Batch{h.Find(name).Seal(0, 0)}, 0)
	}
	s.Broadcast(2*sliceMembers, 0)
	if s.member(5000).seq != 1 || s.member(5001).seq != 1 {
		t.Fatal("the small room was not served within two slices")
	}
	for s.Broadcast(256, 0) {
	}
	if c := s.Counts(); c.FramesWritten != 5002 || w.writes != 5002 {
		t.Fatalf("%d frames in %d writes, want 5002", c.FramesWritten, w.writes)
	}
}

func TestRepliesToABlockedViewerAreBounded(t *testing.T) {
	m := newModel(t, 2)
	m.viewers[0][0].space = 1
	s := m.shards[0]
	for range 100 {
		s.Reply(0, make([]byte, 1000), 0)
	}
	if got := s.Counts().RepliesDropped; got == 0 {
		t.Fatal("nothing was dropped")
	}
	if n := len(s.blocked[0].replies); n > repliesBytesMax {
		t.Fatalf("%d bytes wait", n)
	}
	stalled := 0
	s.Stalled(int64(time.Minute)-1, time.Minute, func(uint32) { stalled++ })
	s.Stalled(int64(time.Minute), time.Minute, func(uint32) { stalled++ })
	if stalled != 1 {
		t.Fatalf("stalled %d times, want once, at the limit", stalled)
	}
}

func TestBroadcastAllocatesNothing(t *testing.T) {
	h := NewHub(Config{})
	w := &sink{}
	s := NewShard(h, 0, w)
	for slot := range uint32(1000) {
		s.Join(slot, JoinRequest{Name: "r"}, 0)
	}
	r := h.Find("r")
	const runs = 10
	batches := make([][]*Batch, 0, runs+1)
	for range runs + 1 {
		r.Like(1, 0)
		batches = append(batches, []*Batch{r.Seal(0, 0)})
		r.Posted()
	}
	i := 0
	allocs := testing.AllocsPerRun(runs, func() {
		s.Deliver(batches[i], 0)
		for s.Broadcast(256, 0) {
		}
		i++
	})
	if allocs > 0 {
		t.Errorf("%v allocations for a pass over 1,000 members", allocs)
	}
	if got := s.Counts().FramesWritten; got != (runs+1)*1000 {
		t.Errorf("%d frames", got)
	}
}

func TestPublishAllocatesOnlyToGrow(t *testing.T) {
	h := NewHub(Config{})
	e, _ := NewShard(h, 0, &sink{}).Join(0, JoinRequest{Name: "r"}, 0)
	c := chat("一条弹幕")
	for range 1000 { // a first batch teaches the room how much it needs
		e.Room.Publish(c, 0, 0)
	}
	e.Room.Seal(0, 0)
	e.Room.Posted()
	e.Room.Publish(c, 0, 0)
	e.Room.marks = append(make([]mark, 0, 2000), e.Room.marks...)
	if allocs := testing.AllocsPerRun(900, func() { e.Room.Publish(c, 0, 0) }); allocs > 0 {
		t.Errorf("%v allocations a comment", allocs)
	}
}

func BenchmarkBroadcast(b *testing.B) {
	h := NewHub(Config{})
	s := NewShard(h, 0, &sink{})
	for slot := range uint32(10_000) {
		s.Join(slot, JoinRequest{Name: "r"}, 0)
	}
	r := h.Find("r")
	b.ReportAllocs()
	for b.Loop() {
		r.Like(1, 0)
		batch := r.Seal(0, 0)
		r.Posted()
		s.Deliver([]*Batch{batch}, 0)
		for s.Broadcast(256, 0) {
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10_000, "ns/frame")
}

func BenchmarkPublish(b *testing.B) {
	h := NewHub(Config{})
	e, _ := NewShard(h, 0, &sink{}).Join(0, JoinRequest{Name: "r"}, 0)
	c := chat("前方高能 666")
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		e.Room.Publish(c, 0, 0)
		if i%1000 == 999 {
			e.Room.Seal(0, 0)
			e.Room.Posted()
		}
	}
}

// TestCommentsOfABatch: they are those of its frame, and nothing written later
// gets into them.
func TestCommentsOfABatch(t *testing.T) {
	h := NewHub(Config{})
	e, err := NewShard(h, 0, &sink{}).Join(0, JoinRequest{Name: "r1"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	mustPublish(t, e.Room, chat("a,b"), 0)
	mustPublish(t, e.Room, chat("c"), 0)
	b := e.Room.Seal(0, 0)
	got := string(b.CommentsJSON())
	if !strings.HasSuffix(payload(t, b), `,"comments":[`+got+`]}`) || strings.Count(got, `"text":`) != 2 {
		t.Errorf("comments %s of %s", got, payload(t, b))
	}
	e.Room.Posted()
	if _, err := e.Room.Like(1, 200*ms); err != nil {
		t.Fatal(err)
	}
	if c := e.Room.Seal(200*ms, 0).CommentsJSON(); c != nil {
		t.Errorf("a batch of likes alone has comments %q", c)
	}
	if string(b.CommentsJSON()) != got {
		t.Error("the comments changed")
	}
}

// A room that nobody has entered yet, in which an operator has said something, stays
// as long as one that was left: who comes then is shown it.
func TestRoomsOfOperatorsLinger(t *testing.T) {
	h := NewHub(Config{History: 10})
	made := int64(time.Hour) // since the process began
	r, err := h.Room("r", made)
	if err != nil {
		t.Fatal(err)
	}
	mustPublish(t, r, chat("soon"), made)
	r.Seal(made, 0)
	r.Posted()
	h.Sweep(made + int64(lingerEmpty) - 1)
	if h.Find("r") != r {
		t.Fatal("forgotten before its time")
	}
	h.Sweep(made + int64(lingerEmpty))
	if h.Find("r") != nil {
		t.Error("not forgotten")
	}
}
