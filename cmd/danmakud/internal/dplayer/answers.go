package dplayer

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// fresh is how long an answer serves: when a video begins all its viewers ask
	// for the same.
	fresh = 10 * time.Second
	// answersMax and answersBytes bound what is kept.
	answersMax, answersBytes = 64, 16 << 20
	// readsMax is how many answers are made at one time, fewer than may read an
	// archive, so that the public does not keep operators from it.
	readsMax = 2
)

// errBusy: as many answers as may are being made.
var errBusy = errors.New("dplayer: too many are reading")

// answers keeps answers for a short time and makes each only once. Any goroutine.
type answers struct {
	// Fixed after construction.
	now func() time.Time

	// Atomic; any goroutine.
	refused atomic.Uint64

	mu sync.Mutex // no loop takes it; not held while an answer is made
	// Guarded by mu.
	kept   map[query]*made
	bytes  int
	making int
}

// made is an answer, or one that is being made.
type made struct {
	done chan struct{} // closed when the rest is there, which then stays as it is
	body []byte
	err  error
	at   time.Time
}

func newAnswers() *answers { return &answers{now: time.Now, kept: make(map[query]*made)} }

// get returns the answer to q, which produce makes if there is none that is fresh.
func (a *answers) get(ctx context.Context, q query, produce func() ([]byte, error)) ([]byte, error) {
	a.mu.Lock()
	a.forgetLocked()
	m := a.kept[q]
	if m == nil {
		if a.making >= readsMax {
			a.mu.Unlock()
			a.refused.Add(1)
			return nil, errBusy
		}
		m = newMade()
		a.kept[q] = m
		a.making++
		a.mu.Unlock()
		body, err := produce()
		a.finish(q, m, body, err)
		return body, err
	}
	a.mu.Unlock()
	select {
	case <-m.done:
		return m.body, m.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func newMade() *made { return &made{done: make(chan struct{})} }

// finish hands an answer to those who wait. Errors are not kept.
func (a *answers) finish(q query, m *made, body []byte, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.making--
	m.body, m.err, m.at = body, err, a.now()
	if err != nil {
		delete(a.kept, q)
	}
	a.bytes += len(m.body)
	close(m.done)
}

// forgetLocked lets go of what is not fresh, and of the oldest while there is too
// much.
func (a *answers) forgetLocked() {
	now := a.now()
	for {
		var oldest *made
		var oldestQuery query
		for q, m := range a.kept {
			if m.at.IsZero() {
				continue // being made
			}
			if oldest == nil || m.at.Before(oldest.at) {
				oldest, oldestQuery = m, q
			}
		}
		if oldest == nil || now.Sub(oldest.at) < fresh && len(a.kept) < answersMax && a.bytes < answersBytes {
			return
		}
		delete(a.kept, oldestQuery)
		a.bytes -= len(oldest.body)
	}
}
