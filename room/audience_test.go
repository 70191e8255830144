package room

import (
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
)

// seen has viewers join the room r of h, each for a moment, and returns the room.
func seen(t *testing.T, h *Hub, viewers ...uint64) *Room {
	t.Helper()
	s := NewShard(h, 0, &sink{})
	var r *Room
	for _, who := range viewers {
		e, err := s.Join(0, JoinRequest{Name: "r", Who: who}, 0)
		if err != nil {
			t.Fatal(err)
		}
		r = e.Room
		s.Leave(0, 0)
	}
	return r
}

func hashes(source *rand.Rand, n int) []uint64 {
	all := make([]uint64, n)
	for i := range all {
		all[i] = source.Uint64()
	}
	return all
}

func within(t *testing.T, what string, got uint64, want int, part float64) {
	t.Helper()
	if math.Abs(float64(got)-float64(want)) > part*float64(want) {
		t.Errorf("%s: %d viewers, want %d within %.1f %%", what, got, want, 100*part)
	}
}

func TestWatchedIsExactWhileFew(t *testing.T) {
	r := seen(t, NewHub(Config{}), 1, 2, 1, 3, 2)
	if got := r.Watched(); got != 3 || r.Info().Watched != 3 {
		t.Errorf("%d, %+v", got, r.Info())
	}
	if r.audience.untold != nil || r.audience.repeat {
		t.Error("a node by itself keeps what is for others")
	}
	for i := range uint64(fewMax - 3) {
		r.audience.see(100+i, false)
		r.audience.see(100+i, false)
	}
	if got := r.Watched(); got != fewMax || r.audience.sketch != nil {
		t.Errorf("%d of %d", got, fewMax)
	}
}

// Who is not known is not counted, and who comes back on another connection and has no
// name was counted before.
func TestWatchedCountsWhoIsNew(t *testing.T) {
	h := NewHub(Config{})
	s := NewShard(h, 0, &sink{})
	join := func(slot uint32, req JoinRequest) Entry {
		req.Name = "r"
		e, err := s.Join(slot, req, 0)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	e := join(0, JoinRequest{})
	join(1, JoinRequest{Who: 7, Fleeting: true})
	mustPublish(t, e.Room, chat("x"), 0)
	e.Room.Seal(0, 0)
	e.Room.Posted()
	back := JoinRequest{Who: 8, Fleeting: true, Resume: true, Since: 1, Epoch: e.Room.Epoch()}
	if got := join(2, back); !got.Resumed {
		t.Fatal("not resumed")
	}
	if got := e.Room.Watched(); got != 1 {
		t.Errorf("%d viewers, want one", got)
	}
	back.Who, back.Since = 9, 77 // it was somewhere else
	join(3, back)
	join(4, JoinRequest{Who: 10, Resume: true, Since: 1, Epoch: e.Room.Epoch()})
	if got := e.Room.Watched(); got != 3 {
		t.Errorf("%d viewers, want three", got)
	}
}

// Three nodes of one room, on which 200,000 viewers were, a third of them on more than
// one, come to the same, whatever is told twice, late or in which order.
func TestWatchedUnion(t *testing.T) {
	const viewers = 200_000
	source := rand.New(rand.NewPCG(1, 2))
	all := hashes(source, viewers)
	var nodes []*neighbour
	var rooms []*Room
	for i := range 3 {
		n := newNeighbour(uint16(i+1), Config{})
		nodes, rooms = append(nodes, n), append(rooms, seen(t, n.Hub, all[0]))
	}
	tell := func(from int, again bool) {
		fresh, whole := rooms[from].TakeAudience(nil, again)
		if again && whole == nil || len(fresh) > untoldMax || len(whole) > AudienceMax {
			t.Fatalf("%d new viewers and %d bytes", len(fresh), len(whole))
		}
		for i, r := range rooms {
			for range 1 + source.IntN(2) {
				if i == from {
					continue
				}
				r.SeenElsewhere(fresh)
				if whole == nil {
					continue
				}
				if err := r.MergeAudience(whole); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for i, who := range all {
		on := i % 3
		rooms[on].audience.see(who, true)
		if i%3 == 0 {
			rooms[1+source.IntN(2)].audience.see(who, true)
		}
		if i%2000 < 3 || i < 1000 && i%50 < 3 { // when there are few they come one by one
			tell(i%3, false)
		}
		if i == 300 || i == 3000 || i == 30_000 {
			for n := range rooms {
				tell(n, false)
			}
			within(t, "on the way", rooms[0].Watched(), i+1, 0.025)
		}
	}
	for n := range rooms {
		tell(n, true)
	}
	want := rooms[0].Watched()
	within(t, "all", want, viewers, 0.025)
	t.Logf("%d viewers of %d", want, viewers)
	for i, r := range rooms {
		r.audience.since = math.MaxUint32 // the figure may be off by as much as is told
		within(t, "each", r.Watched(), int(want), 1./roughly)
		if fresh, whole := r.TakeAudience(nil, true); len(fresh) > 0 || whole != nil {
			t.Errorf("node %d has told all and tells %d and %d bytes again", i, len(fresh), len(whole))
		}
		if _, ok := nodes[i].NextSpeaking(); ok {
			t.Error("what was seen is said")
		}
	}
}

func TestWatchedError(t *testing.T) {
	const runs = 40
	source := rand.New(rand.NewPCG(3, 4))
	var squares float64
	for range runs {
		var a audience
		for _, who := range hashes(source, 20_000) {
			a.see(who, false)
		}
		off := float64(a.count())/20_000 - 1
		squares += off * off
	}
	if root := math.Sqrt(squares / runs); root > 0.013 {
		t.Errorf("off by %.2f %%, on the average of %d rooms", 100*root, runs)
	} else {
		t.Logf("off by %.2f %%", 100*root)
	}
}

// What comes from the bus and is no audience changes nothing.
func TestForeignAudience(t *testing.T) {
	r := seen(t, NewHub(Config{}), 1, 2, 3)
	few := r.Audience()
	var large audience
	for _, who := range hashes(rand.New(rand.NewPCG(5, 6)), 30_000) {
		large.see(who, false)
	}
	dense := large.appendTo(nil)
	other := append([]byte(nil), dense[:1+8+1<<12]...)
	other[2], other[7], other[6] = 12, 0, 16 // of 4,096 registers
	for name, p := range map[string][]byte{
		"nothing": nil, "text": []byte("hello"), "cut": few[:len(few)-1], "cut sketch": dense[:len(dense)-1],
		"longer": append(dense[:len(dense):len(dense)], 0), "of another precision": other,
		"too many": append(make([]byte, 8*(fewMax+1)), formFew), "large": append([]byte{formSketch}, make([]byte, AudienceMax)...),
	} {
		if err := r.MergeAudience(p); !errors.Is(err, ErrAudience) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := r.Watched(); got != 3 {
		t.Errorf("%d viewers", got)
	}
	if err := r.MergeAudience(dense); err != nil || r.Watched() < 29_000 {
		t.Errorf("a good one: %v, %d viewers", err, r.Watched())
	}
}

func FuzzAudience(f *testing.F) {
	source := rand.New(rand.NewPCG(7, 8))
	for _, n := range []int{1, 100, 200, 3000, 20_000} {
		var a audience
		for _, who := range hashes(source, n) {
			a.see(who, false)
		}
		f.Add(a.appendTo(nil))
	}
	h := NewHub(Config{})
	var before [][]byte
	for _, n := range []int{5, 500, 9000} {
		var a audience
		for _, who := range hashes(source, n) {
			a.see(who, false)
		}
		before = append(before, a.appendTo(nil))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		for _, known := range append(before, nil) {
			r := &Room{hub: h}
			if known != nil && r.MergeAudience(known) != nil {
				t.Fatal("not taken")
			}
			had := r.Watched()
			err := r.MergeAudience(p)
			if got := r.Watched(); got < had || err != nil && got != had {
				t.Fatalf("%d viewers were %d: %v", got, had, err)
			}
			again := r.Audience()
			if len(again) > AudienceMax || len(again) > 0 && (&Room{hub: h}).MergeAudience(again) != nil {
				t.Fatalf("what became of it, %d bytes, is none", len(again))
			}
		}
	})
}

// Rooms of a few viewers grow by the hashes of these, and by nothing with each that comes
// back; large ones by 16 KiB.
func TestAudienceMemory(t *testing.T) {
	const rooms = 2000
	viewers := hashes(rand.New(rand.NewPCG(9, 10)), 3)
	all := make([]audience, rooms)
	if grown := grows(func() {
		for i := range all {
			for _, who := range viewers {
				all[i].see(who, false)
			}
		}
	}); grown > 64*rooms {
		t.Errorf("%d bytes for a room of three viewers", grown/rooms)
	} else {
		t.Logf("%d bytes for a room of three viewers", grown/rooms)
	}
	for _, n := range []int{fewMax, 5000, 100_000} {
		a := make([]audience, 20)
		many := hashes(rand.New(rand.NewPCG(11, 12)), n)
		grown := grows(func() {
			for i := range a {
				for _, who := range many {
					a[i].see(who, true)
				}
				a[i].count()
			}
		}) / 20
		t.Logf("%d bytes for a room of %d viewers", grown, n)
		if grown > 24<<10 {
			t.Error("that is too much")
		}
		if got := testing.AllocsPerRun(200, func() { a[0].see(many[n/2], true) }); got != 0 {
			t.Errorf("%v allocations for each of %d viewers that comes back", got, n)
		}
		runtime.KeepAlive(a)
	}
	runtime.KeepAlive(all)
}

// grows returns by how many bytes f has the heap grow for good.
func grows(f func()) int64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC() // what pools let go of
	runtime.ReadMemStats(&before)
	f()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return int64(after.HeapAlloc) - int64(before.HeapAlloc)
}

func BenchmarkAudienceJoin(b *testing.B) {
	source := rand.New(rand.NewPCG(13, 14))
	for _, n := range []int{100, 4000, 100_000} {
		b.Run(map[int]string{100: "few", 4000: "sparse", 100_000: "dense"}[n], func(b *testing.B) {
			var a audience
			many := hashes(source, n)
			for _, who := range many {
				a.see(who, false)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				a.see(many[i%n], false)
			}
		})
	}
}
