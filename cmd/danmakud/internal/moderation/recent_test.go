package moderation

import (
	"math/rand/v2"
	"testing"
)

// The bucket of a key is what a bucket counted in fractions would be.
func TestSpendIsABucket(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		l := newLimit(0.1+r.Float64()*50, 1+r.IntN(20))
		table := newRecent()
		tokens, last, now := float64(l.burst), int64(0), int64(1e9)
		for step := range 300 {
			now += r.Int64N(2 * l.interval)
			tokens = min(float64(l.burst), tokens+float64(now-last)/float64(l.interval))
			last = now
			wait := table.spend(7, l, now)
			const slack = 1e-6
			switch {
			case wait == 0 && tokens < 1-slack, wait > 0 && tokens > 1+slack:
				t.Fatalf("round %d step %d: %v tokens, wait %d", round, step, tokens, wait)
			case wait == 0:
				tokens--
			case wait > l.interval:
				t.Fatalf("to wait %d for one of %d", wait, l.interval)
			}
		}
	}
}

func TestRecentForgetsTheOldest(t *testing.T) {
	table := &recent{sets: make([]recentSet, 1)}
	for key := uint64(1); key <= 8; key++ {
		table.remember(key, 0, int64(100+key))
	}
	if n := table.forgotten.Load(); n != 0 {
		t.Errorf("%d forgotten while there was room", n)
	}
	table.remember(9, 50, 200)
	if table.left(1, 50) != 0 || table.left(2, 50) != 52 || table.left(9, 50) != 150 || table.forgotten.Load() != 1 {
		t.Errorf("the oldest is not the one forgotten: %v", table.sets)
	}
	table.remember(10, 150, 300) // all but one are over: nothing is lost
	if n := table.forgotten.Load(); n != 1 {
		t.Errorf("%d forgotten, the others were over", n)
	}
	table.remember(10, 150, 400)
	if table.left(10, 150) != 250 || table.left(9, 150) != 50 {
		t.Errorf("%v", table.sets)
	}
}

// Very many users keep their limits in a fixed table.
func TestRecentOfMany(t *testing.T) {
	d := desk(t, Options{UserRate: 1, UserBurst: 1})
	const users = 50_000
	refusedOnes := 0
	for range 2 {
		for i := range users {
			if d.users.spend(d.key2("", string(rune('a'+i%26))+newIDOf(i)), limit{1e9, 1}, 5e9) > 0 {
				refusedOnes++
			}
		}
	}
	if lost := int(d.users.forgotten.Load()); refusedOnes < users-2*lost || lost > users/20 {
		t.Errorf("%d of %d were refused the second time, %d forgotten", refusedOnes, users, lost)
	}
}

func newIDOf(i int) string {
	return string([]byte{byte(i), byte(i >> 8), byte(i >> 16)})
}
