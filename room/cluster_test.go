package room

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// neighbour is a node that shares rooms: a hub whose words are kept as they are.
type neighbour struct {
	*Hub
	words []Heard // what AppendSaid was given, in order
}

func newNeighbour(number uint16, c Config) *neighbour {
	n := &neighbour{}
	c.AppendSaid = func(dst []byte, c *Comment, id uint64, wall int64) []byte {
		kept := *c
		kept.Text = strings.Clone(c.Text)
		n.words = append(n.words, Heard{kept, id, wall})
		return fmt.Appendf(dst, "%d %s", len(n.words)-1, c.Text)
	}
	c.SaidText = func(said string) string {
		_, text, _ := strings.Cut(said, " ")
		return text
	}
	c.Lead = 10 * time.Millisecond
	n.Hub = NewHub(c)
	n.SetNode(number)
	n.SetPhase(0)
	return n
}

// tell has to merge what n says at now, and returns how many rooms had something.
func (n *neighbour) tell(t *testing.T, to *neighbour, now int64) (rooms int) {
	t.Helper()
	n.SpeakDue(now, func(s *Said) {
		rooms++
		var heard []Heard
		for _, w := range s.Comments {
			var at int
			fmt.Sscan(string(w.Text), &at)
			h := n.words[at]
			if w.Count > 1 {
				h.Comment.Count = w.Count
			}
			heard = append(heard, h)
		}
		r, err := to.Room(s.Room, now)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.Merge(heard, s.Likes, s.Sampled, now); err != nil {
			t.Fatal(err)
		}
	})
	return rooms
}

const wall2026 = 1_790_000_000_000

func TestIDsNameTheirNode(t *testing.T) {
	a, b := newNeighbour(7, Config{}), newNeighbour(65535, Config{})
	last := uint64(0)
	for i := range 2000 {
		wall := wall2026 + int64(i)/500 // 500 in a millisecond: more than it has numbers for
		from, number := a, uint16(7)
		if i%3 == 1 {
			from, number = b, 65535
		}
		id := from.newID(wall)
		text := string(AppendID(nil, id))
		if back, ok := ParseID(text); !ok || back != id || len(text) != 11 {
			t.Fatalf("%d became %q, %d, %v", id, text, back, ok)
		}
		if IDNode(id) != number || IDTime(id) < wall || IDTime(id) > wall+8 {
			t.Fatalf("id of node %d at %d is of %d at %d", number, wall, IDNode(id), IDTime(id))
		}
		if number == 7 {
			if id <= last {
				t.Fatalf("%d after %d", id, last)
			}
			last = id
		}
	}
	if x, y := a.newID(wall2026+100), b.newID(wall2026+101); string(AppendID(nil, x)) >= string(AppendID(nil, y)) {
		t.Error("of two nodes the later one does not sort behind")
	}
	if id := a.newID(wall2026 - 1e6); id <= last {
		t.Error("a clock set back makes ids fall")
	}
}

func TestParseIDIsStrict(t *testing.T) {
	for _, s := range []string{"", "-------", "---------", "-----------", "z----------", "zzzzzzzzzzzz", "0fJu7--!", "---0fJu7--0"} {
		if id, ok := ParseID(s); ok {
			t.Errorf("%q is id %d", s, id)
		}
	}
}

// What is said on one node is in the same batch on the other as what is said there.
func TestTicksOfNodesEndTogether(t *testing.T) {
	a, b := newNeighbour(1, Config{}), newNeighbour(2, Config{})
	ra, _ := a.Room("r", 0)
	rb, _ := b.Room("r", 0)
	tick, end := 100*ms, rb.boundary(5000*ms, 0)
	for _, r := range []*Room{ra, rb} { // both are busy
		mustPublish(t, r, chat("before"), end-tick)
		r.Seal(end-tick, 0)
		r.Posted()
	}
	a.tell(t, b, end-tick)
	mustPublish(t, ra, chat("over there"), end-60*ms)
	mustPublish(t, rb, chat("here"), end-50*ms)
	if n := a.tell(t, b, end-11*ms); n != 0 {
		t.Fatal("spoke before it was due")
	}
	if due, ok := a.NextSpeaking(); !ok || due != end-10*ms {
		t.Fatalf("to be spoken at %d, want %d, 10 ms before the tick ends", due, end-10*ms)
	}
	if n := a.tell(t, b, end-10*ms); n != 1 {
		t.Fatal("did not speak when it was due")
	}
	if due, ok := b.NextDue(); !ok || due != end {
		t.Fatalf("sealed at %d, want %d", due, end)
	}
	if got := rb.Seal(end, 0); got.Comments != 3 { // "before" of the other node, too
		t.Fatalf("batch %s", got.Payload())
	}
	if n := b.tell(t, a, end-10*ms); n != 1 {
		t.Fatal("the other way")
	}
}

func TestNothingGoesBack(t *testing.T) {
	a, b := newNeighbour(1, Config{}), newNeighbour(2, Config{})
	r, _ := a.Room("r", 0)
	mustPublish(t, r, chat("x"), 0)
	r.Like(3, 0)
	r.Retract(5, 0, wall2026)
	r.Clear(0, wall2026)
	if a.tell(t, b, 0) != 1 {
		t.Fatal("nothing said")
	}
	if _, ok := b.NextSpeaking(); ok || len(b.words) > 0 {
		t.Error("what was heard is said again")
	}
}

func TestWhatIsHeardComesOnce(t *testing.T) {
	a, b := newNeighbour(1, Config{}), newNeighbour(2, Config{})
	ra, _ := a.Room("r", 0)
	rb, _ := b.Room("r", 0)
	for i := range 3 {
		mustPublish(t, ra, chat(fmt.Sprint(i)), 0)
	}
	a.tell(t, b, 0)
	took, _, err := rb.Merge(a.words, 0, 0, 0)
	if took != 0 || err != nil || b.Twice() != 3 {
		t.Errorf("took %d again, %v; %d came twice", took, err, b.Twice())
	}
	mustPublish(t, rb, chat("own"), 0)
	if took, _, _ := rb.Merge([]Heard{b.words[0]}, 0, 0, 0); took != 0 {
		t.Error("took its own comment again")
	}
	if got := rb.Seal(0, 0); got.Comments != 4 {
		t.Errorf("batch %s", got.Payload())
	}
	// A node that comes back to a room it has forgotten takes its own words, too.
	again := newNeighbour(2, Config{})
	rc, _ := again.Room("r", 0)
	if took, _, _ := rc.Merge(slices.Concat(a.words, b.words), 0, 0, 0); took != 4 {
		t.Errorf("took %d of 4", took)
	}
}

// Comments that became one on their node stand for as many on another, in the books
// and on the wire, and become one with their equals there.
func TestCountsOfOtherNodes(t *testing.T) {
	const budget = 2 << 10
	a := newNeighbour(1, Config{BudgetBytes: budget, Random: seeded(3), Key: keyed})
	b := newNeighbour(2, Config{BudgetBytes: budget, Random: seeded(4), Key: keyed})
	ra, _ := a.Room("r", 0)
	rb, _ := b.Room("r", 0)
	for i := range 300 {
		c := chat("哈哈")
		if i%2 == 0 {
			c = chat(fmt.Sprint("each its own ", i))
		}
		mustPublish(t, ra, c, 0)
	}
	gift := &Comment{User: "u", Text: "g", Kind: KindGift, Gift: "rose", Num: 1}
	mustPublish(t, ra, gift, 0)
	a.tell(t, b, 0)
	if info := rb.Info(); info.Pending >= 301 || info.Pending < 150 {
		t.Fatalf("%+v", info)
	}
	for range 50 {
		mustPublish(t, rb, chat("哈哈"), 0)
	}
	batch := rb.Seal(0, 0)
	total, gifts := batch.Sampled, 0
	for _, c := range parsed(t, batch) {
		total += max(1, c.Count)
		if c.Kind == "gift" {
			gifts++
		}
	}
	if total != 351 || gifts != 1 {
		t.Errorf("%d comments and %d gifts accounted for, want 351 and 1:\n%s", total, gifts, batch.Payload())
	}
	if len(batch.Frame(EncodingJSON)) > budget {
		t.Errorf("%d bytes", len(batch.Frame(EncodingJSON)))
	}
	if info := rb.Info(); info.Total+info.Merged+info.Sampled != 350+1-uint64(batch.Sampled)+info.Sampled {
		t.Errorf("books %+v, batch sampled %d", info, batch.Sampled)
	}
}

// Who comes from another node goes on where it may have missed something, and is told
// where it cannot.
func TestResumeFromAnotherNode(t *testing.T) {
	n := newNeighbour(2, Config{ResumeAge: time.Hour, History: 9})
	shard := NewShard(n.Hub, 0, &sink{})
	r, _ := n.Room("r", 0)
	wall := func(i int) int64 { return wall2026 + int64(i)*1000 }
	for i := range 10 {
		if _, _, err := r.Publish(chat(fmt.Sprint(i)), int64(i)*1e9, wall(i)); err != nil {
			t.Fatal(err)
		}
		r.Seal(int64(i)*1e9, wall(i))
		r.Posted()
	}
	after := uint64(wall(6)-idEpoch)<<24 | 1 // said on node 1 as the 7th was here
	join := func(slot uint32) Entry {
		e, err := shard.Join(slot, JoinRequest{Name: "r", History: 5, Resume: true, Since: 99, Epoch: "another", After: after}, 10e9)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	if e := join(0); e.Resumed || len(e.History) == 0 {
		t.Errorf("resumed where nothing says that all is there: %+v", e)
	}
	r.SetWhole(wall(4) + 1)
	if e := join(1); e.Resumed {
		t.Error("resumed where something may be missing")
	}
	r.SetWhole(wall(3))
	if e := join(2); !e.Resumed || e.Seq != 4 || len(e.History) > 0 {
		t.Errorf("entered at %d, resumed %v", e.Seq, e.Resumed)
	}
	r.mu.Lock()
	r.forgetLocked(5) // up to the one that was sealed at wall(4)
	r.mu.Unlock()
	if e := join(3); e.Resumed {
		t.Error("resumed beyond what is kept")
	}
}

func TestOnlineElsewhere(t *testing.T) {
	n := newNeighbour(2, Config{})
	shard := NewShard(n.Hub, 0, &sink{})
	e, _ := shard.Join(0, JoinRequest{Name: "r"}, 0)
	e.Room.SetElsewhere(41)
	mustPublish(t, e.Room, chat("x"), 0)
	if b := e.Room.Seal(0, 0); !strings.Contains(string(b.Payload()), `"online":42`) {
		t.Errorf("%s", b.Payload())
	}
	if info := e.Room.Info(); info.Online != 42 || info.Here != 1 || e.Room.Online() != 42 {
		t.Errorf("%+v", info)
	}
}

// What is restored comes in front of what is there if it is older, and superchats of
// yesterday do not run again.
func TestRestoreOfThePast(t *testing.T) {
	n := newNeighbour(2, Config{History: 9})
	r, _ := n.Room("r", 0)
	now := int64(time.Minute)
	if _, _, err := r.Publish(chat("now"), now, wall2026); err != nil {
		t.Fatal(err)
	}
	r.Seal(now, wall2026)
	r.Posted()
	heard := func(i int, c *Comment) Heard {
		return Heard{*c, uint64(wall2026-idEpoch-1000+int64(i))<<24 | 1, wall2026 - 1000 + int64(i)}
	}
	old := &Comment{User: "u", Text: "paid long ago", Kind: KindSuperchat, Price: 5, Duration: 30 * time.Second}
	for i, past := range []struct {
		list []Heard
		ago  time.Duration
	}{
		{[]Heard{heard(1, chat("first")), heard(2, old)}, 10 * time.Minute},
		{[]Heard{heard(3, chat("second"))}, 9 * time.Minute},
		{[]Heard{heard(4, &Comment{User: "u", Text: "paid just now", Kind: KindSuperchat, Price: 5, Duration: 30 * time.Second})}, 20 * time.Second},
	} {
		if restored, err := r.Restore(past.list, now-int64(past.ago), wall2026-int64(past.ago/1e6)); !restored || err != nil {
			t.Fatal(i, restored, err)
		}
	}
	e, err := NewShard(n.Hub, 0, &sink{}).Join(0, JoinRequest{Name: "r", History: 9}, now)
	if err != nil {
		t.Fatal(err)
	}
	var at []int
	for _, text := range []string{"first", "paid long ago", "second", "paid just now", `"now"`} {
		at = append(at, strings.Index(string(e.History), text))
	}
	if !slices.IsSorted(at) || at[0] < 0 {
		t.Errorf("history %s", e.History)
	}
	if got := string(e.Superchats); strings.Contains(got, "long ago") || !strings.Contains(got, `"left_s":10`) {
		t.Errorf("superchats %s", got)
	}
}
