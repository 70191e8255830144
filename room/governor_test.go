package room

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danmakud/danmakud/wsproto"
)

// seeded is a source of chance that is the same in every run.
func seeded(seed uint64) func() rand.Source {
	return func() rand.Source { seed++; return rand.NewPCG(seed, 1) }
}

// keyed is a Config.Key: what laughs is equal, and what begins with sixes by its number.
func keyed(text string) (key uint64) {
	if strings.HasPrefix(text, "哈") {
		return 9
	}
	fmt.Sscanf(text, "6666 %d", &key)
	return key
}

// said is a comment of a batch.
type said struct {
	ID    string
	Text  string
	Kind  string
	Role  string
	Count int
}

func parsed(t testing.TB, b *Batch) (list []said) {
	t.Helper()
	var m struct {
		Sampled  int
		Comments []said
	}
	if err := json.Unmarshal(b.Payload(), &m); err != nil {
		t.Fatalf("%s: %v", b.Payload(), err)
	}
	if m.Sampled != b.Sampled || len(m.Comments) != b.Comments {
		t.Fatalf("batch of %d, %d sampled, says %d, %d", b.Comments, b.Sampled, len(m.Comments), m.Sampled)
	}
	return m.Comments
}

// chiSquare is how far counts are from what was expected of each.
func chiSquare(counts, expected []float64) (sum float64) {
	for i := range counts {
		sum += (counts[i] - expected[i]) * (counts[i] - expected[i]) / expected[i]
	}
	return sum
}

// chiSquareMost is what chance exceeds once in a million, by n degrees of freedom
// (the approximation of Wilson and Hilferty).
func chiSquareMost(n int) float64 {
	const sigmas = 4.75
	k := 2.0 / (9 * float64(n))
	return float64(n) * math.Pow(1-k+sigmas*math.Sqrt(k), 3)
}

// TestGovernorUnderAFlood: 20,000 comments a second of every kind and length into
// 4 KiB a batch.
func TestGovernorUnderAFlood(t *testing.T) {
	const budget, perTick = 4 << 10, 2000
	ticks := 400
	if raced {
		ticks = 80
	}
	h := NewHub(Config{BudgetBytes: budget, Random: seeded(1), Key: keyed})
	e, _ := NewShard(h, 0, &sink{}).Join(0, JoinRequest{Name: "flood"}, 0)
	now, r := int64(0), e.Room
	var accepted, sent, merged, sampled uint64
	var byLength, byTime [10]float64
	talk := newChatter(1)
	for range ticks {
		now += 100 * ms
		priority := []string{}
		places := map[string]int{}
		lengths := map[string]int{}
		for i := range perTick {
			c := chat(fmt.Sprintf("%d %s", i, strings.Repeat("弹", i*7%10*10)))
			switch {
			case i%500 == 17:
				c = &Comment{User: "u", Text: "gift", Kind: KindGift, Gift: "rose", Num: 3, Price: 100}
			case i%500 == 18:
				c = &Comment{User: "m", Text: "quiet", Role: RoleModerator}
			case i%500 == 19:
				c = &Comment{Text: "maintenance", Kind: KindSystem}
			case i%4 == 0: // one in four says what others say
				c = talk.say()
				c.Text = fmt.Sprint("6666 ", 1+i%40)
			}
			id, _, err := r.Publish(c, now, 1790000000000)
			if err != nil {
				t.Fatal(err)
			}
			accepted++
			places[idText(id)], lengths[idText(id)] = i, i*7%10
			if c.prior() {
				priority = append(priority, idText(id))
			}
		}
		b := r.Seal(now, 1790000000000)
		r.Posted()
		if n := len(b.Frame(EncodingJSON)); n > budget || n < budget-900 {
			t.Fatalf("a frame of %d bytes", n)
		}
		last := -1
		for _, c := range parsed(t, b) {
			place := places[c.ID]
			if place <= last {
				t.Fatalf("comment %d comes after %d", place, last)
			}
			last = place
			if at := slices.Index(priority, c.ID); at >= 0 {
				priority = slices.Delete(priority, at, at+1)
			} else if c.Count == 0 {
				byLength[lengths[c.ID]]++
				byTime[place*10/perTick]++
			} else if c.Text != fmt.Sprint("6666 ", 1+place) || c.Count != perTick/40 {
				t.Fatalf("%d equal comments are %q, the first at %d", c.Count, c.Text, place)
			}
		}
		if len(priority) != 0 {
			t.Fatalf("%d that must not be left out are not there", len(priority))
		}
		sent, merged, sampled = sent+uint64(b.Comments), merged+uint64(b.Merged), sampled+uint64(b.Sampled)
	}
	if accepted != sent+merged+sampled || merged == 0 || h.Merged() != merged || h.Sampled() != sampled {
		t.Errorf("%d accepted, %d sent, %d merged, %d sampled", accepted, sent, merged, sampled)
	}
	if i := r.Info(); i.Total != sent || i.Merged != merged || i.Sampled != sampled {
		t.Errorf("info %+v", i)
	}
	// What was chosen is independent of length and time: each class has its share of
	// the comments that were there.
	for what, got := range map[string][10]float64{"length": byLength, "time": byTime} {
		var there [10]float64
		for i := range perTick {
			if i%500 >= 17 && i%500 <= 19 || i%4 == 0 {
				continue
			}
			if what == "length" {
				there[i*7%10]++
			} else {
				there[i*10/perTick]++
			}
		}
		total, all := 0.0, 0.0
		for i := range got {
			total, all = total+got[i], all+there[i]
		}
		var counts, expected []float64
		for i := range got {
			if there[i] > 0 {
				counts, expected = append(counts, got[i]), append(expected, total*there[i]/all)
			}
		}
		if x, most := chiSquare(counts, expected), chiSquareMost(len(counts)-1); x > most {
			t.Errorf("by %s: chi-square %.1f, chance alone gives at most %.1f: %v", what, x, most, got)
		}
	}
}

// lots makes candidates by their costs and weights.
func lots(n int, of func(i int) (cost int64, weight float64)) []lot {
	list := make([]lot, n)
	for i := range list {
		list[i].place, list[i].count = i, 1
		list[i].cost, list[i].weight = of(i)
	}
	return list
}

// TestWheelIsFair: with few comments of very different lengths, where it would show
// most, each has the same chance and the capacity is never exceeded.
func TestWheelIsFair(t *testing.T) {
	const n, rounds, capacity = 30, 100_000, 2000
	g := &governor{random: rand.New(rand.NewPCG(1, 2))}
	counts, expected := make([]float64, n), make([]float64, n)
	total := 0.0
	for range rounds {
		used := int64(0)
		for _, l := range g.spin(lots(n, func(i int) (int64, float64) { return 20 + int64(i*i), 1 }), capacity) {
			used += l.cost
			counts[l.place]++
			total++
		}
		if used > capacity || used == 0 {
			t.Fatalf("used %d of %d", used, capacity)
		}
	}
	for i := range expected {
		expected[i] = total / n
	}
	// Those chosen in one round are not independent of each other, which makes the
	// counts less scattered than chance: the bound still holds.
	if x, most := chiSquare(counts, expected), chiSquareMost(n-1); x > most {
		t.Errorf("chi-square %.1f, want at most %.1f: %v", x, most, counts)
	}
}

// TestWheelWastesNothingOnEquals: where all cost the same, as many are chosen as fit.
func TestWheelWastesNothingOnEquals(t *testing.T) {
	g := &governor{random: rand.New(rand.NewPCG(1, 2))}
	for capacity := int64(70); capacity < 700; capacity += 7 {
		got := g.spin(lots(20, func(int) (int64, float64) { return 70, 1 }), capacity)
		if want := int(capacity / 70); len(got) != want {
			t.Fatalf("%d chosen in %d, want %d", len(got), capacity, want)
		}
	}
}

// TestDrawByWeight: who has three times the weight is drawn three times as often,
// as long as few are; length has no part in it.
func TestDrawByWeight(t *testing.T) {
	const n, rounds, capacity = 400, 20_000, 1000
	g := &governor{random: rand.New(rand.NewPCG(3, 4))}
	var chosen [2][2]float64 // by weight, by length
	for range rounds {
		used := int64(0)
		for _, l := range g.draw(lots(n, func(i int) (int64, float64) { return 50 + 100*int64(i%2), 1 + 2*float64(i/2%2) }), capacity) {
			used += l.cost
			chosen[l.place/2%2][l.place%2]++
		}
		if used > capacity {
			t.Fatalf("used %d of %d", used, capacity)
		}
	}
	light, heavy := chosen[0][0]+chosen[0][1], chosen[1][0]+chosen[1][1]
	if ratio := heavy / light; ratio < 2.8 || ratio > 3.1 {
		t.Errorf("weight 3 to weight 1: %.2f", ratio)
	}
	for w, c := range chosen {
		if x := chiSquare(c[:], []float64{(c[0] + c[1]) / 2, (c[0] + c[1]) / 2}); x > chiSquareMost(1) {
			t.Errorf("weight %d: chi-square of the lengths %.1f: %v", 1+2*w, x, c)
		}
	}
}

func TestRolesHaveTheirWeights(t *testing.T) {
	h := NewHub(Config{BudgetBytes: 4 << 10, Random: seeded(1), Weights: [Roles]float64{RoleVIP: 4}})
	e, _ := NewShard(h, 0, &sink{}).Join(0, JoinRequest{Name: "r"}, 0)
	vips, guests := 0, 0
	for range 300 {
		for i := range 1000 {
			c := chat("text of a length")
			if i%2 == 0 {
				c.Role = RoleVIP
			}
			if _, _, err := e.Room.Publish(c, 0, 0); err != nil {
				t.Fatal(err)
			}
		}
		b := e.Room.Seal(0, 0)
		e.Room.Posted()
		for _, c := range parsed(t, b) {
			if c.Role == "vip" {
				vips++
			} else {
				guests++
			}
		}
	}
	if ratio := float64(vips) / float64(guests); ratio < 3.5 || ratio > 4.2 {
		t.Errorf("%d comments of vips, %d of guests", vips, guests)
	}
}

// TestMergedCommentHasTheBestWeight: nobody loses by saying what others say.
func TestMergedCommentHasTheBestWeight(t *testing.T) {
	g := &governor{first: make(map[uint64]int)}
	for place, weight := range []float64{2, 3, 1} {
		g.gather(place, &mark{priority: PriorityLow * Priority(place%2)}, weight, 5)
	}
	g.gather(3, &mark{priority: PriorityLow}, 1, 6)
	if g.lots[0] != (lot{count: 3, weight: 3}) || g.lots[1] != (lot{place: 3, count: 1, weight: 1, low: true}) || len(g.lots) != 2 {
		t.Errorf("lots %+v", g.lots)
	}
}

// TestPriority: chat of high priority is always sent, and of low only where all else is.
func TestPriority(t *testing.T) {
	for _, c := range []struct {
		what                          string
		high, normal, low             int // comments there are
		places                        int
		sentHigh, sentNormal, sentLow int
	}{
		{"all fit", 3, 3, 3, 9, 3, 3, 3},
		{"low ones give way", 2, 3, 9, 8, 2, 3, 3},
		{"no place for low ones", 2, 9, 9, 8, 2, 6, 0},
		{"high ones alone", 9, 9, 9, 8, 9, 0, 0},
		{"only low ones", 0, 0, 9, 8, 0, 0, 8},
	} {
		h := NewHub(Config{BudgetComments: c.places})
		e, _ := NewShard(h, 0, &sink{}).Join(0, JoinRequest{Name: "r"}, 0)
		for i := range c.high + c.normal + c.low {
			said := chat("normal")
			if i >= c.normal {
				said.Text, said.Priority = "high", PriorityHigh
			}
			if i >= c.normal+c.high {
				said.Text, said.Priority = "low", PriorityLow
			}
			mustPublish(t, e.Room, said, 0)
		}
		b := e.Room.Seal(0, 0)
		sent := map[string]int{}
		for _, said := range parsed(t, b) {
			sent[said.Text]++
		}
		if sent["high"] != c.sentHigh || sent["normal"] != c.sentNormal || sent["low"] != c.sentLow {
			t.Errorf("%s: sent %v, want %d high, %d normal, %d low", c.what, sent, c.sentHigh, c.sentNormal, c.sentLow)
		}
		if b.Comments+b.Sampled != c.high+c.normal+c.low {
			t.Errorf("%s: %d sent, %d sampled", c.what, b.Comments, b.Sampled)
		}
	}
}

// TestTextOf: the text of an encoded comment is found whatever its author is called.
func TestTextOf(t *testing.T) {
	odd := []string{"", "x", `"`, `\`, `\"`, `,"text":"no"`, `","text":"no`, "line\nfeed\x01\x1f", "你好 😂", `ends in \`, `\u0041`, "\u2028</script>"}
	for _, name := range odd {
		for _, text := range odd {
			c := chat(text)
			c.User, c.Name, c.Role = name, name, RoleVIP
			if got := textOf(string(appendComment(nil, c, 7, 8))); got != text {
				t.Errorf("%q by %q: %q", text, name, got)
			}
		}
	}
	for _, broken := range []string{"", "{}", `{"id":"*","kind":"retract"}`, `{"uid":"a","text":"x`, `{"uid":"a","text":"x\`, `{"uid":"a","text":"\x"}`} {
		if got := textOf(broken); got != "" {
			t.Errorf("%q has the text %q", broken, got)
		}
	}
}

// TestBudgetIsExact: a batch of just the budget passes as it is, one byte less and
// it is cut.
func TestBudgetIsExact(t *testing.T) {
	seal := func(c Config, s Settings) *Batch {
		c.Key = func(text string) uint64 { // two each are equal
			var i uint64
			fmt.Sscanf(text, "comment %d", &i)
			return 1 + i/2
		}
		h := NewHub(c)
		e, _ := NewShard(h, 0, &sink{}).Join(0, JoinRequest{Name: "r"}, 0)
		e.Room.SetSettings(s, 0)
		for i := range 50 {
			mustPublish(t, e.Room, chat(fmt.Sprint("comment ", i)), 0)
		}
		return e.Room.Seal(0, 1790000000000)
	}
	whole := seal(Config{}, Settings{})
	size := len(whole.Frame(EncodingJSON))
	if whole.Comments != 50 || whole.Merged+whole.Sampled != 0 {
		t.Fatalf("%d comments of 50", whole.Comments)
	}
	if b := seal(Config{BudgetBytes: size}, Settings{}); b.Comments != 50 || string(b.Payload()) != string(whole.Payload()) {
		t.Errorf("a batch of just the budget has %d comments", b.Comments)
	}
	for _, c := range []struct {
		what string
		Config
		Settings
		comments, merged, sampled int
	}{
		{"merging is enough", Config{BudgetBytes: size - 1}, Settings{}, 25, 25, 0},
		{"merging is enough", Config{}, Settings{BudgetBytes: size - 1}, 25, 25, 0},
		{"comments", Config{BudgetComments: 49}, Settings{}, 25, 25, 0},
		{"comments", Config{BudgetComments: 10}, Settings{}, 10, 10, 30},
		{"comments", Config{BudgetComments: 10}, Settings{BudgetComments: 3}, 3, 3, 44},
	} {
		b := seal(c.Config, c.Settings)
		if b.Comments != c.comments || b.Merged != c.merged || b.Sampled != c.sampled {
			t.Errorf("%s: %d comments, %d merged, %d sampled, want %+v", c.what, b.Comments, b.Merged, b.Sampled, c)
		}
		parsed(t, b)
	}
}

// TestMergedComment: the first one's object has the count, at its place.
func TestMergedComment(t *testing.T) {
	h := NewHub(Config{BudgetComments: 3, Key: keyed})
	e, _ := NewShard(h, 0, &sink{}).Join(0, JoinRequest{Name: "r"}, 0)
	for i, text := range []string{"a", "哈哈", "b", "哈哈哈", "哈"} {
		c := chat(text)
		c.UID = uint64(i)
		mustPublish(t, e.Room, c, 0)
	}
	b := e.Room.Seal(0, 0)
	want := `{"id":"-------0","uid":"~0","text":"a","ts":1732275000101},` +
		`{"id":"-------1","uid":"~1","text":"哈哈","ts":1732275000101,"count":3},` +
		`{"id":"-------2","uid":"~2","text":"b","ts":1732275000101}`
	if got := string(b.CommentsJSON()); got != want {
		t.Errorf("comments\n%s, want\n%s", got, want)
	}
	if got := string(e.Room.HistoryJSON(9)); got != "" {
		t.Errorf("history of a hub without one: %s", got)
	}
}

// TestOnlyChatMakesPlace: what must not be left out is sent even beyond the budget,
// and then no chat is.
func TestOnlyChatMakesPlace(t *testing.T) {
	h := NewHub(Config{BudgetBytes: 2000, History: 1000})
	e, _ := NewShard(h, 0, &sink{}).Join(0, JoinRequest{Name: "r"}, 0)
	for i := range 200 {
		mustPublish(t, e.Room, &Comment{User: "u", Text: fmt.Sprint(i), Kind: Kind(i % 2 * int(KindGift))}, 0)
	}
	b := e.Room.Seal(0, 0)
	got := parsed(t, b)
	if len(got) != 100 || slices.ContainsFunc(got, func(c said) bool { return c.Kind != "gift" }) || b.Sampled != 100 {
		t.Errorf("%d comments, %d sampled", len(got), b.Sampled)
	}
	if kept := texts(t, e.Room.HistoryJSON(1000)); len(kept) != 100 {
		t.Errorf("the history has %d, not what was sent", len(kept))
	}
	// A comment longer than all there is takes nobody's chance.
	e.Room.Posted()
	for range 100 {
		mustPublish(t, e.Room, chat("short"), 0)
	}
	mustPublish(t, e.Room, chat(strings.Repeat("x", 3000)), 0)
	if b := e.Room.Seal(0, 0); b.Comments < 20 || len(b.Frame(EncodingJSON)) > 2000 {
		t.Errorf("%d comments", b.Comments)
	}
}

// TestMemoryOfAFlood: while it lasts two buffers take turns, so that no comment waits
// for the making of a large one; and nothing of them stays when it is over.
func TestMemoryOfAFlood(t *testing.T) {
	h := NewHub(Config{BudgetBytes: 4 << 10, History: 10})
	e, _ := NewShard(h, 0, &sink{}).Join(0, JoinRequest{Name: "r"}, 0)
	r, now := e.Room, int64(0)
	tick := func(comments int) (buffer *byte, b *Batch) {
		now += ms // within the tick, as a due list would never have it: the room is not at rest
		for range comments {
			mustPublish(t, r, chat(strings.Repeat("x", 100)), now)
		}
		buffer = &r.pending[0]
		b = r.Seal(now, 0)
		r.Posted()
		return buffer, b
	}
	first, _ := tick(5000)
	second, _ := tick(5000)
	third, b := tick(5000)
	if second != first || third != first { // nothing came while the governor was at work
		t.Error("the memory of the tick before is not used again")
	}
	if b.bytes > 8<<10 {
		t.Errorf("a batch of the flood holds %d bytes", b.bytes)
	}
	if got := string(b.CommentsJSON()); !strings.HasPrefix(string(r.HistoryJSON(10)), `{"id":`) || !strings.HasSuffix(got, string(r.HistoryJSON(10))) {
		t.Error("the history is not the end of the batch")
	}
	before := string(b.Payload())
	if _, small := tick(3); small.bytes > 8<<10 {
		t.Errorf("the first batch after the flood holds %d bytes", small.bytes)
	}
	if string(b.Payload()) != before {
		t.Error("a batch changed when the memory was used again")
	}
	tick(5000)
	if r.spare == nil {
		t.Error("nothing is kept for the next tick")
	}
	if h.Sweep(now); r.spare != nil {
		t.Error("a sweep leaves it")
	}
}

// busySource publishes, takes back and clears while the governor is at work, which
// would never end if a seal kept the room's lock.
type busySource struct {
	rand.Source
	during func()
}

func (s *busySource) Uint64() uint64 {
	if s.during != nil {
		during := s.during
		s.during = nil
		during()
	}
	return s.Source.Uint64()
}

func TestRoomTakesCommentsWhileGoverned(t *testing.T) {
	for _, clear := range []bool{false, true} {
		source := &busySource{Source: rand.NewPCG(1, 1)}
		h := NewHub(Config{BudgetComments: 10, History: 100, Random: func() rand.Source { return source }})
		s := NewShard(h, 0, &sink{})
		e, _ := s.Join(0, JoinRequest{Name: "r"}, 0)
		r := e.Room
		var ids []uint64
		for i := range 100 {
			c := &Comment{User: "u", Text: fmt.Sprint(i)}
			if i < 5 {
				c.Kind, c.Duration = KindSuperchat, time.Minute
			}
			id, _, err := r.Publish(c, 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		source.during = func() {
			if i := r.Info(); i.Pending != 100 || i.Seq != 0 {
				t.Errorf("meanwhile %+v", i)
			}
			if _, sealNow, err := r.Publish(&Comment{Text: "meanwhile", Kind: KindSuperchat, Duration: time.Minute}, 0, 0); sealNow || err != nil {
				t.Errorf("publish: %v %v", sealNow, err)
			}
			if e, err := s.Join(1, JoinRequest{Name: "r"}, 0); err != nil || e.Seq != 0 || e.Superchats != nil {
				t.Errorf("join: %+v %v", e, err)
			}
			if found, _, _ := r.Retract(ids[0], 0, 0); !found {
				t.Error("a comment on its way was not found")
			}
			if clear {
				r.Clear(0, 0)
			}
			s.Check()
		}
		b := r.Seal(0, 0)
		if source.during != nil {
			t.Fatal("nothing was drawn")
		}
		if b.Seq != 1 || b.Comments != 10 || b.Sampled != 90 {
			t.Errorf("batch %d of %d, %d sampled", b.Seq, b.Comments, b.Sampled)
		}
		want := 9
		if clear {
			want = 0
		}
		if got := texts(t, r.HistoryJSON(100)); len(got) != want || slices.Contains(got, "0") {
			t.Errorf("history %q, want %d", got, want)
		}
		if got := texts(t, r.running.running(0, r.seq)); !clear && len(got) != 4 || clear && len(got) != 0 {
			t.Errorf("running %q", got)
		}
		r.Posted()
		next := r.Seal(int64(time.Second), 0)
		if got := texts(t, next.CommentsJSON()); got[0] != "meanwhile" || got[1] != "-"+idText(ids[0]) {
			t.Errorf("next batch %q", got)
		}
		s.Check()
	}
}

// TestSealAllocations: under the budget a batch costs its own memory and the
// history's, as if there were no governor; over it, what it is rewritten into.
func TestSealAllocations(t *testing.T) {
	c := chat("一条弹幕")
	for _, tc := range []struct {
		name   string
		config Config
		most   float64
	}{
		{"under", Config{}, 1},
		{"over", Config{BudgetBytes: 4 << 10}, 4},
	} {
		h := NewHub(tc.config)
		e, _ := NewShard(h, 0, &sink{}).Join(0, JoinRequest{Name: "r"}, 0)
		r := e.Room
		const runs = 60
		var ready []taken // what a room has collected, made before
		for range runs + 1 {
			for range 1000 {
				mustPublish(t, r, c, 0)
			}
			r.mu.Lock()
			ready = append(ready, taken{pending: r.pending, marks: r.marks})
			r.pending, r.marks = nil, nil
			r.mu.Unlock()
		}
		i := 0
		seal := func() {
			r.pending, r.marks = ready[i].pending, ready[i].marks
			i++
			if b := r.Seal(0, 0); b.Comments == 0 || tc.name == "under" && b.Comments != 1000 {
				t.Fatalf("%d comments", b.Comments)
			}
		}
		// The pool may lose what is put into it: the least of several runs counts.
		least := math.Inf(1)
		for range runs / 2 {
			least = min(least, testing.AllocsPerRun(1, seal))
		}
		if least > tc.most {
			t.Errorf("%s the budget: %v allocations a seal, want at most %v", tc.name, least, tc.most)
		}
	}
}

// BenchmarkSeal seals what one tick has collected.
func BenchmarkSeal(b *testing.B) {
	for _, bc := range []struct {
		comments, budget int
		keys             bool
		vip              float64
	}{
		{100, 256 << 10, true, 1}, {1000, 256 << 10, true, 1},
		{2000, 4 << 10, false, 1}, {2000, 4 << 10, true, 1}, {2000, 4 << 10, true, 4},
		{20_000, 256 << 10, true, 1}, {20_000, 256 << 10, true, 4},
	} {
		b.Run(fmt.Sprintf("comments=%d/budget=%dKiB/keys=%v/vip=%g", bc.comments, bc.budget>>10, bc.keys, bc.vip), func(b *testing.B) {
			config := Config{BudgetBytes: bc.budget, PendingBytes: 16 << 20, Weights: [Roles]float64{RoleVIP: bc.vip}}
			if bc.keys {
				config.Key = func(text string) (key uint64) {
					for _, letter := range text {
						key = key*31 + uint64(letter)
					}
					return key
				}
			}
			h := NewHub(config)
			e, _ := NewShard(h, 0, &sink{}).Join(0, JoinRequest{Name: "r"}, 0)
			r, talk := e.Room, newChatter(1)
			for i := range bc.comments {
				c := talk.say()
				c.Role = Role(i % 3)
				mustPublish(b, r, c, 0)
			}
			pending, marks := r.pending, slices.Clone(r.marks)
			batch := (*Batch)(nil)
			b.ReportAllocs()
			for b.Loop() {
				r.pending, r.marks = pending, marks
				batch = r.Seal(0, 0)
			}
			b.ReportMetric(float64(batch.Comments), "comments")
			b.ReportMetric(float64(wsproto.HeaderSize(len(batch.Payload()))+len(batch.Payload())), "B/frame")
		})
	}
}
