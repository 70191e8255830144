//go:build verify

package server

import (
	"fmt"

	"github.com/danmakud/danmakud/poller"
)

// A verifier checks, in builds with the tag verify, that what the server, the
// shard and the loop know of each connection agrees. What does not panics, with
// values; the loop logs and counts it, which fails the test.
type verifier struct {
	wait int // turns until the next check
}

// checkedSlots are checked per turn on average: with more slots the checks come
// more seldom, so that they stay a fixed share of the work.
const checkedSlots = 64

// turn is called at the end of Handler.Turn.
func (v *verifier) turn(h *handler) {
	if v.wait--; v.wait > 0 {
		return
	}
	slots := h.loop.Slots()
	v.wait = slots / checkedSlots
	h.shard.Check()
	inRooms := 0
	for i := range slots {
		s := poller.Slot(i)
		h.checkSlot(s)
		if h.session(s).state == stateOpen {
			inRooms++
		}
	}
	if n := h.shard.Counts().Members; n != inRooms {
		panic(fmt.Sprintf("server: %d sessions are open below slot %d, %d slots are members", inRooms, slots, n))
	}
	waiting := 0
	for s, k := range h.partials {
		state := h.session(s).state
		if state != stateHandshaking && !h.session(s).talking() {
			panic(fmt.Sprintf("server: slot %d in state %d has bytes carried", s, state))
		}
		if k.message != nil && !h.session(s).talking() {
			panic(fmt.Sprintf("server: slot %d in state %d has a message under way", s, state))
		}
		if q := h.asked[s]; q != nil && q.auth == nil && (state != stateHandshaking || q.head > len(k.bytes)) {
			panic(fmt.Sprintf("server: slot %d in state %d is asked about, with %d bytes", s, state, len(k.bytes)))
		}
		if k.waiting {
			waiting++
		}
	}
	for s := range h.asked {
		if q := h.asked[s]; q.auth != nil {
			if h.session(s).state != stateGreeting {
				panic(fmt.Sprintf("server: slot %d is asked about after its greeting", s))
			}
		} else if h.partials[s] == nil {
			panic(fmt.Sprintf("server: slot %d is asked about and has no head", s))
		}
	}
	h.checkPersons()
	for s := range h.pushed.bySlot {
		if !h.loop.Open(s) {
			panic(fmt.Sprintf("server: slot %d is closed, and pushes would find it", s))
		}
	}
	if waiting > len(h.backlog) {
		panic(fmt.Sprintf("server: %d connections wait in a backlog of %d", waiting, len(h.backlog)))
	}
}

// checkSlot compares a session with its socket and its membership.
func (h *handler) checkSlot(s poller.Slot) {
	c := h.session(s)
	if live := h.loop.Open(s); live != (c.state != stateFree) {
		panic(fmt.Sprintf("server: slot %d: socket open %v, session %+v", s, live, *c))
	}
	if member := h.shard.RoomOf(uint32(s)) != nil; member != (c.state == stateOpen) {
		panic(fmt.Sprintf("server: slot %d: member %v, session %+v", s, member, *c))
	}
	if drained, wants := h.shard.Drained(uint32(s)), h.loop.WantsWrite(s); drained == wants && c.state != stateFree {
		panic(fmt.Sprintf("server: slot %d: drained %v, writability asked for %v, session %+v", s, drained, wants, *c))
	}
	if c.state == stateFree && (*c != (session{}) || h.bare(s)) {
		panic(fmt.Sprintf("server: slot %d is free, but not clean: %+v", s, *c))
	}
}

// checkPersons compares who is no guest with the sessions, and the three places
// where each is found with each other.
func (h *handler) checkPersons() {
	listed, expire := 0, 0
	for user, w := range h.persons.byUser {
		for ; w != nil; w = w.next {
			listed++
			if w.person.user != user || h.persons.bySlot[w.slot] != w || w.next != nil && w.next.prev != w {
				panic(fmt.Sprintf("server: slot %d is listed as one of %q: %+v", w.slot, user, *w))
			}
		}
	}
	for s, w := range h.persons.bySlot {
		if state := h.session(s).state; state != stateOpen || w.slot != s {
			panic(fmt.Sprintf("server: slot %d in state %d is held by %+v", s, state, *w))
		}
		if w.place != noPlace {
			expire++
		}
	}
	if n := len(h.persons.bySlot); listed != n || expire != len(h.persons.expiring.heap) {
		panic(fmt.Sprintf("server: %d persons, %d listed, %d expire, %d in the heap", n, listed, expire, len(h.persons.expiring.heap)))
	}
}
