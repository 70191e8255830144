package room

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
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
					s.Join(9, JoinRequest{Name: "r", Encoding: Encoding(n/7) % EncodingForeign}, n)
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

// Several goroutines say, take back, clear, seal beyond the budget, resume and sweep
// at once. Whatever the order, every comment is accounted for, and who resumed heard
// each batch once and in order.
func TestConcurrentBooks(t *testing.T) {
	const goroutines, rounds = 4, 2000
	h := NewHub(Config{
		Shards: goroutines, Tick: time.Nanosecond, DeflateMin: 1, History: 20, Key: keyed,
		BudgetBytes: 500, ResumeBytes: 20 << 10, ResumeTotal: 30 << 10, ResumeAge: rounds / 2,
	})
	keeper := NewShard(h, 0, &sink{})
	if _, err := keeper.Join(0, JoinRequest{Name: "r"}, 0); err != nil {
		t.Fatal(err)
	}
	r := h.Find("r")
	var taken, resumed atomic.Uint64
	seal := func(b *Batch) {
		b.Encode()
		b.Room.Posted()
	}
	var all sync.WaitGroup
	for i := range goroutines {
		all.Go(func() {
			heard := &ears{map[uint32][]byte{}, map[uint32]int{}, map[uint32]bool{}}
			s := NewShard(h, i, heard)
			var last uint64
			for n := range int64(rounds) {
				for said := range 8 {
					c := chat(fmt.Sprint("6666 ", n%3))
					c.Role = Role(said % 4)
					id, sealNow, err := r.Publish(c, n, 0)
					if err != nil {
						t.Error(err)
					}
					taken.Add(1)
					last = id
					if sealNow {
						seal(r.Seal(n, 0))
					}
				}
				if n%5 == 0 {
					if _, sealNow, err := r.Retract(last, n, 0); err != nil {
						t.Error(err)
					} else if taken.Add(1); sealNow {
						seal(r.Seal(n, 0))
					}
				}
				if n%400 == 0 {
					if sealNow, err := r.Clear(n, 0); err != nil {
						t.Error(err)
					} else if taken.Add(1); sealNow {
						seal(r.Seal(n, 0))
					}
				}
				for _, b := range h.SealDue(nil, n, 0) {
					seal(b)
				}
				since := r.Info().Seq
				e, err := s.Join(9, JoinRequest{Name: "r", Encoding: Encoding(n % 2), Resume: true, Since: since - min(since, 5), Epoch: r.Epoch()}, n)
				if err != nil {
					t.Error(err)
				}
				s.Reply(9, []byte{0x81, 0}, n)
				if e.Resumed {
					resumed.Add(1)
				}
				s.Leave(9, n)
				if n%50 == 0 {
					h.Sweep(n)
					checkSequence(t, heard.got[9])
					heard.got[9] = nil
				}
			}
			s.Check()
		})
	}
	all.Wait()
	for _, b := range h.SealDue(nil, 1<<40, 0) {
		seal(b)
	}
	i := r.Info()
	if i.Pending != 0 || taken.Load() != i.Total+i.Merged+i.Sampled+i.Withdrawn || i.Sampled == 0 || i.Merged == 0 || i.Withdrawn == 0 {
		t.Errorf("%d comments were taken: %+v", taken.Load(), i)
	}
	if bytes, _ := h.Kept(); bytes != int64(r.kept.bytes) || resumed.Load() == 0 {
		t.Errorf("%d bytes are kept, counted are %d; %d resumed", r.kept.bytes, bytes, resumed.Load())
	}
	keeper.Check()
}

// checkSequence sees that between two welcomes (empty frames) batches rise by one.
func checkSequence(t *testing.T, got []byte) {
	t.Helper()
	last := uint64(0)
	for len(got) > 0 {
		p, n := serverFrame(got)
		text := string(p)
		if got[0] == 0xC1 {
			text = inflated(t, got[:n])
		}
		got = got[n:]
		var seq uint64
		if at := strings.Index(text, `"seq":`); at >= 0 {
			fmt.Sscanf(text[at:], `"seq":%d`, &seq)
			if last != 0 && seq != last+1 {
				t.Errorf("batch %d after %d", seq, last)
			}
		}
		last = seq // 0 after a welcome, or after a notice of what was skipped
	}
}
