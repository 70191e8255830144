package moderation

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds on comments that wait for a moderator.
const (
	heldMax      = 5000
	heldLongest  = time.Hour
	heldFullText = "too many comments wait for a moderator; try again later"
)

// heldQueue has the comments that wait, in memory only. Any goroutine.
type heldQueue struct {
	full    atomic.Uint64 // comments that found no place
	expired atomic.Uint64 // nobody decided in time

	mu sync.Mutex
	// Guarded by mu.
	waiting []HeldComment // the oldest first
}

// hold puts one at the end and gives it its id.
func (q *heldQueue) hold(c HeldComment) (string, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.expireLocked(c.At)
	if len(q.waiting) >= heldMax {
		q.full.Add(1)
		return "", ErrHeldFull
	}
	c.ID = newID()
	q.waiting = append(q.waiting, c)
	return c.ID, nil
}

// take removes one.
func (q *heldQueue) take(id string) (HeldComment, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.IndexFunc(q.waiting, func(c HeldComment) bool { return c.ID == id })
	if i < 0 {
		return HeldComment{}, false
	}
	c := q.waiting[i]
	q.waiting = slices.Delete(q.waiting, i, i+1)
	return c, true
}

// putBack returns what take removed to its place. It finds one also in a full queue:
// there are no more of these than were taken.
func (q *heldQueue) putBack(c HeldComment) {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := 0
	for i < len(q.waiting) && !q.waiting[i].At.After(c.At) {
		i++
	}
	q.waiting = slices.Insert(q.waiting, i, c)
}

// list returns those of a room, "" = of all, the oldest first.
func (q *heldQueue) list(in string) []HeldComment {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := make([]HeldComment, 0, len(q.waiting))
	for _, c := range q.waiting {
		if in == "" || c.Room == in {
			list = append(list, c)
		}
	}
	return list
}

func (q *heldQueue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

func (q *heldQueue) sweep(wall time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.expireLocked(wall)
}

// expireLocked drops those nobody decided on in time.
func (q *heldQueue) expireLocked(wall time.Time) {
	n := 0
	for n < len(q.waiting) && wall.Sub(q.waiting[n].At) > heldLongest {
		n++
	}
	if n > 0 {
		q.waiting = slices.Delete(q.waiting, 0, n)
		q.expired.Add(uint64(n))
	}
}
