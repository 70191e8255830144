package room

import (
	"sync"
	"testing"
	"time"
)

// Several goroutines publish, seal, join, leave and sweep at once, as loops and
// the sealer do. Batches posted to an inbox must arrive in sequence.
func TestConcurrentSealsArePostedInOrder(t *testing.T) {
	const goroutines, rounds = 4, 3000
	h := NewHub(Config{Shards: goroutines, Tick: time.Nanosecond, DeflateMin: 1, BudgetBytes: 1 << 30})
	keeper := NewShard(h, 0, &sink{})
	if _, err := keeper.Join(0, JoinRequest{Name: "r"}, 0); err != nil {
		t.Fatal(err)
	}
	r := h.Find("r")

	var inbox struct {
		sync.Mutex
		last, comments uint64
	}
	post := func(b *Batch) {
		b.Encode()
		inbox.Lock()
		defer inbox.Unlock()
		if b.Seq != inbox.last+1 {
			t.Errorf("batch %d posted after %d", b.Seq, inbox.last)
		}
		inbox.last = b.Seq
		inbox.comments += uint64(b.Comments)
	}
	sealDue := func(now int64) {
		for _, b := range h.SealDue(nil, now, 0) {
			post(b)
			b.Room.Posted()
		}
	}
	var all sync.WaitGroup
	for i := range goroutines {
		all.Go(func() {
			s := NewShard(h, i, &sink{})
			for n := range int64(rounds) {
				_, sealNow, err := r.Publish(chat("x"), n, 0)
				if err != nil {
					t.Error(err)
				}
				if sealNow {
					b := r.Seal(n, 0)
					post(b)
					r.Posted()
				}
				sealDue(n)
				if n%7 == 0 {
					s.Join(9, JoinRequest{Name: "r", Encoding: Encoding(n/7) % Encodings}, n)
				} else if n%7 == 3 {
					s.Leave(9, n)
				}
				if n%100 == 0 {
					h.Sweep(n)
					h.List("", 10)
				}
			}
			s.Forget(9, rounds)
		})
	}
	all.Wait()
	sealDue(1 << 40)
	if inbox.comments != goroutines*rounds {
		t.Errorf("%d comments in batches, said were %d", inbox.comments, goroutines*rounds)
	}
	if got := r.Info().Online; got != 1 {
		t.Errorf("%d online", got)
	}
	if r.encodings != [Encodings]uint32{EncodingJSON: 1} {
		t.Errorf("members by encoding: %v", r.encodings)
	}
	if runs := h.Encoded(EncodingJSONDeflate); runs == 0 || runs > h.Sealed() {
		t.Errorf("%d runs for %d batches", runs, h.Sealed())
	}
}
