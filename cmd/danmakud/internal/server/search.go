package server

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/room"
)

const (
	// searchTurn is how much of one turn a search takes. To look at a slot costs some
	// tens of nanoseconds, but what is done about it may cost system calls.
	searchTurn = 500 * time.Microsecond
	// searchSlots are looked at between two looks at the clock.
	searchSlots = 256
)

// errSearch: a loop has no time for a search.
var errSearch = errors.New("server: a loop is too busy to search its viewers")

// visit is called on the goroutine of the loop for a viewer in a room, and reports
// whether that one counts. It may close the connection.
type visit func(h *handler, s poller.Slot) bool

// forUser visits every connection of the viewer with that public id, and returns
// how many count. A site's users are looked up; a guest, of whom nothing is kept,
// is looked for among all, in slices. Any goroutine but a loop's.
func (s *Server) forUser(ctx context.Context, user string, f visit) (int, error) {
	if len(user) > 0 && user[0] == room.GuestMark {
		uid, ok := guestNumber(user)
		if !ok {
			return 0, nil // nobody is called that
		}
		return s.forAll(ctx, func(h *handler, at poller.Slot) bool {
			return h.session(at).uid == uid && h.person(at).user == "" && f(h, at)
		})
	}
	return s.search(ctx, func(h *handler, done func(int)) { h.visitThese(h.handlesOf(user), 0, f, done) })
}

// forAll visits every viewer, in slices: who comes during it may be left out. Any
// goroutine but a loop's.
func (s *Server) forAll(ctx context.Context, f visit) (int, error) {
	return s.search(ctx, func(h *handler, done func(int)) { h.visitFrom(0, 0, f, done) })
}

// search has every loop begin to look, and adds up what they are done with.
func (s *Server) search(ctx context.Context, begin func(h *handler, done func(int))) (sum int, err error) {
	counts := make(chan int, len(s.handlers))
	asked := 0
	for _, h := range s.handlers {
		if !h.loop.Post(func() { begin(h, func(n int) { counts <- n }) }) {
			err = errSearch
			continue
		}
		asked++
	}
	for range asked {
		select {
		case n := <-counts:
			if n < 0 {
				err, n = errSearch, 0
			}
			sum += n
		case <-ctx.Done():
			return sum, ctx.Err()
		}
	}
	return sum, err
}

// visitFrom visits a slice of the slots and posts itself for the next one. done is
// told how many counted, -1 if the inbox was full.
func (h *handler) visitFrom(from poller.Slot, counted int, f visit, done func(int)) {
	began := poller.Now()
	for s := from; int(s) < h.loop.Slots(); s++ {
		acted := h.session(s).state == stateOpen && h.visit(s, f)
		if acted {
			counted++
		}
		if (acted || s%searchSlots == 0) && poller.Now()-began > int64(searchTurn) {
			if !h.loop.Post(func() { h.visitFrom(s+1, counted, f, done) }) {
				done(-1)
			}
			return
		}
	}
	done(counted)
}

func (h *handler) visit(s poller.Slot, f visit) (counts bool) {
	h.out = h.out[:0] // a panic may have left another connection's replies
	counts = f(h, s)
	h.flushReplies(s)
	return counts
}

// visitThese visits connections of this loop, as far as they are still there, and
// posts itself for those that it has no time for. done is as with visitFrom.
func (h *handler) visitThese(all []poller.Handle, counted int, f visit, done func(int)) {
	began := poller.Now()
	for i, at := range all {
		if s, ok := h.loop.Resolve(at); ok && h.session(s).state == stateOpen && h.visit(s, f) {
			counted++
		}
		if rest := all[i+1:]; len(rest) > 0 && poller.Now()-began > int64(searchTurn) {
			if !h.loop.Post(func() { h.visitThese(rest, counted, f, done) }) {
				done(-1)
			}
			return
		}
	}
	done(counted)
}

// handlesOf names the connections on this loop of a user who is no guest: one token
// may have very many. Loop goroutine only; the slice is the caller's.
func (h *handler) handlesOf(user string) []poller.Handle {
	slots := h.slotsOf(user)
	all := make([]poller.Handle, len(slots))
	for i, s := range slots {
		all[i] = h.loop.Handle(s)
	}
	return all
}

// slotsOf returns those connections, the latest first. Loop goroutine only; the slice
// is the caller's.
func (h *handler) slotsOf(user string) (slots []poller.Slot) {
	for w := h.persons.byUser[user]; w != nil; w = w.next {
		slots = append(slots, w.slot)
	}
	return slots
}

// guestNumber reads a guest's public id, which has one spelling.
func guestNumber(id string) (uid uint64, ok bool) {
	uid, err := strconv.ParseUint(id[1:], 36, 64)
	return uid, err == nil && string(room.AppendUID(nil, uid)) == id
}
