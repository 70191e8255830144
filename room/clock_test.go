package room

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestWallClockJumps runs one script twice, once with a wall clock that jumps by
// years in both directions. Nothing differs but what batches and comments say of
// the time.
func TestWallClockJumps(t *testing.T) {
	steady := wallScript(t, func(_ *rand.Rand, now int64) int64 { return 1e12 + now/1e6 })
	jumping := wallScript(t, func(r *rand.Rand, _ int64) int64 { return r.Int64N(4e12) - 1e12 })
	if len(steady) < 100 {
		t.Fatalf("only %d things happened: the test shows nothing", len(steady))
	}
	if at := slices.IndexFunc(steady, func(s string) bool { return !slices.Contains(jumping, s) }); at >= 0 {
		t.Errorf("with a steady clock: %s", steady[at])
	}
	if at := slices.IndexFunc(jumping, func(s string) bool { return !slices.Contains(steady, s) }); at >= 0 {
		t.Errorf("with a jumping clock: %s", jumping[at])
	}
}

// wallScript publishes and seals by a random script and returns what happened.
func wallScript(t *testing.T, clock func(r *rand.Rand, now int64) int64) (happened []string) {
	t.Helper()
	h := NewHub(Config{Tick: 100 * time.Millisecond, Epoch: "e", History: 5})
	s := NewShard(h, 0, discard{})
	entry, err := s.Join(0, JoinRequest{Name: "wall"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	r, walls := rand.New(rand.NewPCG(1, 2)), rand.New(rand.NewPCG(3, 4))
	take := func(now int64, b *Batch) {
		if b == nil {
			return
		}
		b.Room.Posted()
		s.Deliver([]*Batch{b}, now)
		for s.Broadcast(10, now) {
		}
		happened = append(happened, fmt.Sprintf("at %d batch %d of %d, lag %d, tick %v", now, b.Seq, b.Comments, b.Lag, b.Room.Tick()))
	}
	for now := int64(1); now < int64(time.Minute); now += 1 + r.Int64N(int64(40*time.Millisecond)) {
		if r.IntN(3) > 0 {
			c := Comment{Text: strings.Repeat("x", 1+r.IntN(50))}
			_, sealNow, err := entry.Room.Publish(&c, now, clock(walls, now))
			if err != nil {
				t.Fatal(err)
			}
			if sealNow {
				take(now, entry.Room.Seal(now, clock(walls, now)))
			}
		}
		for _, b := range h.SealDue(nil, now, clock(walls, now)) {
			take(now, b)
		}
		if r.IntN(50) == 0 {
			h.Sweep(now)
		}
		due, waits := h.NextDue()
		happened = append(happened, fmt.Sprintf("at %d due %d %v, %d rooms", now, due, waits, h.Rooms()))
	}
	return happened
}

// discard takes every byte.
type discard struct{}

func (discard) Write(_ uint32, p []byte) (int, error)                    { return len(p), nil }
func (discard) WriteRegion(_ uint32, _ Region, rest []byte) (int, error) { return len(rest), nil }
func (discard) WantWrite(uint32, bool)                                   {}
func (discard) Failed(uint32, error)                                     {}
