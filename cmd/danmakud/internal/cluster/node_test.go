package cluster

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/danmakud/danmakud/room"
	"github.com/nats-io/nats.go"
)

// TestMain fails the run when goroutines are left behind.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	status := m.Run()
	if flag.Lookup("test.fuzz").Value.String() != "" {
		os.Exit(status) // the fuzzer listens for signals, for good
	}
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			fmt.Fprintf(os.Stderr, "leak: %d goroutines, %d before\n", runtime.NumGoroutine(), before)
			os.Exit(1)
		}
	}
	os.Exit(status)
}

// rooms are the rooms of a node without sockets.
type rooms struct {
	hub    *room.Hub
	missed int
	wide   map[string]int
}

func (r *rooms) Hub() *room.Hub { return r.hub }
func (r *rooms) Now() int64     { return 0 }
func (r *rooms) Hear(name string, heard []room.Heard, likes, sampled uint64) {
	if at := r.hub.Find(name); at != nil {
		at.Merge(heard, likes, sampled, 0)
	}
}
func (r *rooms) SealHeard()                                    {}
func (r *rooms) Missed(int64, func(string) bool)               { r.missed++ }
func (r *rooms) Populated(func(string))                        {}
func (r *rooms) Counts(func(string, Tally))                    {}
func (r *rooms) SetElsewhere(n map[string]int)                 { r.wide = n }
func (r *rooms) Batches(name string) ([]*room.Batch, int64)    { return nil, 0 }
func (r *rooms) Since(string) int64                            { return 0 }
func (r *rooms) Fill(name string, batches []Past, since int64) {}

// bare is a node without a connection, and its rooms.
func bare() (*Node, *rooms) {
	r := &rooms{hub: room.NewHub(room.Config{AppendSaid: appendComment})}
	r.hub.SetNode(9)
	n := newNode(Options{Shards: 256, QueueMax: 1 << 20, Cluster: "t", Log: slog.New(slog.DiscardHandler)})
	n.link, n.rooms = &link{options: &n.options}, r
	n.link.lostAt.Store(1)
	return n, r
}

const wall = 1_790_000_000_000

// said is what a node of that number has said in a room, with ids from first on.
func said(number uint16, first, n int) *room.Said {
	s := &room.Said{Room: "r"}
	for i := range n {
		id := (uint64(wall-1_767_225_600_000)<<8+uint64(first+i))<<16 | uint64(number)
		c := &room.Comment{UID: 5, Text: fmt.Sprint("comment ", first+i), Color: room.ColorDefault}
		s.Comments = append(s.Comments, room.Spoken{Text: appendComment(nil, c, id, wall), Count: 1})
	}
	return s
}

const otherID = "AAAAAAAAAAAAAAAA"

func tickOf(s *room.Said, seq, comments uint64, shards int) []byte {
	body, _, _ := appendBody(nil, s, false)
	return appendTick(nil, &tick{node: otherID, shards: uint64(shards), seq: seq, comments: comments}, body, false)
}

func TestHearOnceAndInOrder(t *testing.T) {
	n, r := bare()
	at, err := r.hub.Room("r", 0)
	if err != nil {
		t.Fatal(err)
	}
	one, two, five := tickOf(said(7, 0, 3), 1, 3, 256), tickOf(said(7, 3, 60), 2, 63, 256), tickOf(said(7, 100, 2), 5, 80, 256)
	for _, p := range [][]byte{one, two, one, two, five, two} {
		n.hear(p)
	}
	if info := at.Info(); info.Pending != 65 {
		t.Errorf("%d comments, want 65", info.Pending)
	}
	st := n.Stats()
	if st.Dropped["old"] != 3 || st.TicksMissed != 2 || st.CommentsLost != 15 || r.missed != 1 || st.TicksHeard != 3 {
		t.Errorf("%+v, told %d times that something is missing", st, r.missed)
	}
}

func TestForeignTicksAreDropped(t *testing.T) {
	n, r := bare()
	at, _ := r.hub.Room("r", 0)
	good := tickOf(said(7, 0, 40), 1, 40, 256)
	own := appendTick(nil, &tick{node: n.self.ID, shards: 256, seq: 1}, nil, false)
	body, _, _ := appendBody(nil, said(7, 0, 1), false)
	for want, list := range map[string][][]byte{
		"foreign": {nil, []byte("hello"), good[:len(good)-1], appendTick(nil, &tick{node: "short", shards: 256, seq: 1}, body, false),
			appendTick(nil, &tick{node: otherID, shards: 256, seq: 1}, appendText(nil, bodyRoom, "no room!"), false)},
		"shards": {tickOf(said(7, 0, 1), 1, 1, 128)},
		"old":    {own},
	} {
		before := n.Stats().Dropped[want]
		for _, p := range list {
			n.hear(p)
		}
		if got := n.Stats().Dropped[want] - before; got != uint64(len(list)) {
			t.Errorf("%s: %d of %d dropped: %v", want, got, len(list), n.Stats().Dropped)
		}
	}
	if at.Info().Pending != 0 {
		t.Error("something got through")
	}
}

// A body that says it becomes very large is not made so.
func TestTickBomb(t *testing.T) {
	var p []byte
	p = appendNumber(p, tickVersion, version)
	p = appendNumber(p, tickShards, 256)
	p = appendText(p, tickNode, otherID)
	p = appendNumber(p, tickSeq, 1)
	p = appendText(p, tickSmall, "\xff\xff\xff\xff\x0f bomb")
	if allocated := testing.AllocsPerRun(10, func() { parseHead(p) }); allocated > 5 {
		t.Errorf("%v allocations", allocated)
	}
	if _, _, why, ok := parseHead(p); ok || why != dropForeign {
		t.Error("taken")
	}
}

func FuzzTick(f *testing.F) {
	f.Add(tickOf(said(7, 0, 3), 1, 3, 256))
	f.Add(tickOf(said(7, 0, 300), 1, 300, 256))
	n, r := bare()
	r.hub.Room("r", 0)
	f.Fuzz(func(t *testing.T, p []byte) {
		isPrior(p)
		n.hear(p)
		if at := r.hub.Find("r"); at.Info().Pending > 1000 {
			if b := at.Seal(0, 0); b != nil {
				if !json.Valid(b.Payload()) {
					t.Fatalf("what came makes %s", b.Payload())
				}
				at.Posted()
			}
		}
	})
}

func FuzzMessage(f *testing.F) {
	n, _ := bare()
	for kind, body := range map[string]any{kindReport: report{Peer: Peer{ID: otherID, Number: 3}}, kindHello: nil,
		kindState: []entry{{Key: "k", At: 1, Node: otherID}}, kindLeave: nil, kindWho: "r", kindSync: "", kindHistory: historyQuestion{"r", 3},
		kindPieces: pieceQuestion{"k", 1, 0}} {
		m := message{Version: version, Kind: kind, Node: otherID, Shards: 256}
		m.Body, _ = json.Marshal(body)
		p, _ := m.encode()
		f.Add(p)
	}
	n.listen()
	f.Fuzz(func(t *testing.T, p []byte) {
		n.handle(&nats.Msg{Data: p})
		if m, err := decodeMessage(p); err == nil {
			if f := n.listeners.asked[m.Kind]; f != nil {
				f(context.Background(), m.Node, m.Body)
			}
		}
		n.kept(p) // as an entry of JetStream
		for len(n.state.changes) > 0 {
			e := <-n.state.changes
			e.Large = false
			n.change(&e)
		}
		for _, p := range n.Peers() {
			if strings.ContainsAny(p.Advertise, "\"\\\n ") || p.Number == 0 {
				t.Fatalf("%+v", p)
			}
		}
	})
}

// What waits loses its oldest chat first, and what is never to be left out last.
func TestOutboxDropsTheOldestChat(t *testing.T) {
	o := newOutbox(20_000, func(string) uint32 { return 3 })
	now := time.Now()
	chat, whole := 0, 0
	for i := range 100 {
		s := said(7, i*10, 10)
		s.Comments[3].Prior = true
		c, w := o.put(waiting{said: s, at: now, bytes: weight(s)})
		chat, whole = chat+c, whole+w
		if o.size() > o.most {
			t.Fatalf("%d bytes wait", o.size())
		}
	}
	if chat == 0 || whole == 0 {
		t.Fatalf("%d comments and %d ticks went: the test shows nothing", chat, whole)
	}
	comments, prior, sampled := 0, 0, 0
	for {
		w, _, ok := o.take(now)
		if !ok {
			break
		}
		sampled += int(w.said.Sampled)
		for _, c := range w.said.Comments {
			if comments++; c.Prior {
				prior++
			}
		}
	}
	if n := int(o.forgone(3)); n+comments+sampled != 1000 || o.forgone(3) != 0 {
		t.Errorf("%d comments are gone without a trace", 1000-n-comments-sampled)
	}
	if prior != 100-whole || comments+sampled != (100-whole)*10 || comments+chat != 1000 || o.size() != 0 {
		t.Errorf("%d comments, %d of them prior, %d told as left out; %d ticks and %d comments went, %d bytes left", comments, prior, sampled, whole, chat, o.size())
	}
}

func TestOutboxForgetsStaleChat(t *testing.T) {
	o := newOutbox(1<<20, func(string) uint32 { return 3 })
	now := time.Now()
	s := said(7, 0, 10)
	s.Comments[9].Prior = true
	o.put(waiting{said: s, at: now.Add(-staleAfter - time.Second), bytes: weight(s)})
	o.put(waiting{said: said(7, 10, 2), at: now, bytes: 100})
	old, stale, _ := o.take(now)
	if left := old.said; len(left.Comments) != 1 || stale != 9 || left.Sampled != 9 {
		t.Errorf("%d left, %d stale", len(left.Comments), stale)
	}
	if fresh, stale, _ := o.take(now); len(fresh.said.Comments) != 2 || stale != 0 {
		t.Errorf("%d left, %d stale", len(fresh.said.Comments), stale)
	}
}

func TestInboxKeepsWhatMustNotGo(t *testing.T) {
	b := inbox{ready: newSignal(), prior: isPrior}
	body, _, _ := appendBody(nil, &room.Said{Room: "r"}, false)
	prior := appendTick(nil, &tick{node: otherID, shards: 1, seq: 1}, body, true)
	pad := make([]byte, inboxMax/8)
	dropped := b.put(&nats.Msg{Data: prior})
	for range 20 {
		dropped += b.put(&nats.Msg{Data: pad})
	}
	all := b.takeAll(nil)
	if dropped == 0 || !isPrior(all[0].Data) || len(all)+dropped != 21 {
		t.Errorf("%d kept, %d dropped", len(all), dropped)
	}
}

// Nodes that hear the same changes in any order come to the same.
func TestStateConverges(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var all []entry
	for i := range 300 {
		e := entry{Key: fmt.Sprint("k", r.IntN(40)), At: int64(r.IntN(50)), Node: fmt.Sprintf("%016d", i%7)}
		if r.IntN(3) > 0 {
			e.Value = json.RawMessage(fmt.Sprint(i))
		}
		all = append(all, e)
	}
	var first *state
	for range 20 {
		s := &state{entries: map[string]*entry{}}
		for _, i := range r.Perm(len(all)) {
			e := all[i]
			s.put(&e)
			s.put(&e)
		}
		if first == nil {
			first = s
		}
		if s.sumOf() != first.sumOf() || len(s.entries) != len(first.entries) {
			t.Fatalf("%d entries with %x, %d with %x", len(s.entries), s.digest, len(first.entries), first.digest)
		}
	}
	if first.sweep(time.UnixMilli(100).Add(tombstone)); len(first.entries) == 0 || len(first.entries) == 40 {
		t.Errorf("%d entries when old tombstones are forgotten", len(first.entries))
	}
}

// TestStateInPages: who asks gets every entry once, whatever comes and goes meanwhile.
func TestStateInPages(t *testing.T) {
	s := state{entries: make(map[string]*entry)}
	value := json.RawMessage(`"` + strings.Repeat("x", 1000) + `"`)
	for i := range 2000 {
		s.put(&entry{Key: fmt.Sprintf("k%04d", i), At: 1, Node: otherID, Value: value})
	}
	s.put(&entry{Key: "k1999", At: 2, Node: otherID}) // no longer holds
	got := make(map[string]int)
	pages := 0
	for key := ""; ; pages++ {
		page := s.after(key)
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			if e.Key <= key {
				t.Fatalf("%q after %q", e.Key, key)
			}
			key = e.Key
			got[key]++
		}
		if pages == 1 {
			s.put(&entry{Key: "k0000a", At: 1, Node: otherID, Value: value}) // behind what is asked
			s.put(&entry{Key: "k1998a", At: 1, Node: otherID, Value: value})
			s.sweep(time.UnixMilli(3).Add(tombstone))
		}
	}
	if pages < 5 || len(got) != 2000 || got["k1998a"] != 1 || got["k1999"] != 0 || got["k0000a"] != 0 {
		t.Errorf("%d entries in %d pages", len(got), pages)
	}
	if allocs := testing.AllocsPerRun(10, func() { s.sortedKeys() }); allocs != 0 {
		t.Errorf("the keys are sorted again: %v allocations", allocs)
	}
}

func TestCountsComeAndGo(t *testing.T) {
	c := counts{most: 9, elsewhere: map[string]map[string]count{}}
	now := time.Now()
	c.hear("a", map[string]Tally{"r": {3, 9}, "s": {1, 1}}, now)
	if got, _ := c.hear("b", map[string]Tally{"r": {4, 7}}, now); got["r"] != 7 || len(got) != 1 {
		t.Errorf("%v", got)
	}
	if got, all := c.hear("b", map[string]Tally{"r": {4, 7}}, now); len(got) != 0 || !all {
		t.Errorf("%v is news", got)
	}
	if got := c.of("r"); got != (Tally{7, 9}) {
		t.Errorf("%+v", got)
	}
	if got := c.forget("a", now); got["r"] != 4 || got["s"] != 0 || len(got) != 2 {
		t.Errorf("%v", got)
	}
	if got := c.forget("", now.Add(countExpiry+time.Second)); got["r"] != 0 || len(c.elsewhere) != 0 {
		t.Errorf("%v, %v left", got, c.elsewhere)
	}
	here := map[string]Tally{"r": {1, 1}, "s": {2, 2}}
	slice := func(string) uint32 { return 0 }
	if got := c.next(here, slice, true); len(got) != 2 {
		t.Errorf("at first %v", got)
	}
	if got := c.next(map[string]Tally{"r": {1, 2}, "s": {2, 2}}, func(string) uint32 { return 5 }, false); len(got) != 1 || got["r"].Watched != 2 {
		t.Errorf("where only another viewer came: %v", got)
	}
	if got := c.next(map[string]Tally{"r": {1, 2}}, func(string) uint32 { return 5 }, false); len(got) != 1 || got["s"].Viewers != 0 {
		t.Errorf("what has changed: %v", got)
	}
}

// A batch as viewers get it becomes what other nodes would have said.
func TestHistoryRoundTrip(t *testing.T) {
	_, r := bare()
	at, _ := r.hub.Room("r", 0)
	for _, c := range []room.Comment{
		{UID: 77, Text: "a \"quoted\" \n 弹幕", Color: 255, Mode: room.ModeTop, Size: room.SizeLarge},
		{User: "joe", Name: "Joe", Role: room.RoleVIP, Text: "x", Color: room.ColorDefault},
		{User: "u", Text: "g", Kind: room.KindGift, Gift: "rose", Num: 3, Price: 9, Role: room.RoleViewer, Color: room.ColorDefault},
	} {
		if _, _, err := at.Publish(&c, 0, wall); err != nil {
			t.Fatal(err)
		}
	}
	at.Retract(5, 0, wall)
	b := at.Seal(0, wall+5)
	heard, sealed, err := parseBatch(b.Payload())
	if err != nil || sealed != wall+5 || len(heard) != 4 {
		t.Fatalf("%d of %s, %v", len(heard), b.Payload(), err)
	}
	other := room.NewHub(room.Config{})
	there, _ := other.Room("r", 0)
	there.Merge(heard, 0, 0, 0)
	again := there.Seal(0, wall+5)
	if got, want := string(again.CommentsJSON()), string(b.CommentsJSON()); got != want {
		t.Errorf("became\n%s\nfrom\n%s", got, want)
	}
}
