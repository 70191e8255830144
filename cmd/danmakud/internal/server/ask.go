package server

import (
	"errors"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/room"
	"github.com/danmakud/danmakud/wsproto"
)

// While the site is asked about a viewer (callback.go) the connection is in its
// handshake, under the clock of the handshake. Nothing is read from it: what came
// with the head is kept as a partial, what comes meanwhile is in the kernel.

// asking is a viewer about whom the site is being asked.
type asking struct {
	who  *person
	room string
	head int // bytes of the partial that are the request's head

	auth *authing // of who speaks packets; then there is no head
}

// errAsked: the answer will decide.
var errAsked = errors.New("server: the site is being asked")

// ask has the site asked about who wants to enter a room. The error is errAsked, or
// refuses the upgrade; nil lets it go on.
func (h *handler) ask(s poller.Slot, r *wsproto.Request, name string, who *person, head, rest []byte) error {
	if err := h.keepHead(s, head, rest); err != nil {
		return err
	}
	q := question{
		Room: name, User: who.user, Name: who.name, Role: who.role,
		Origin: r.Origin, UserAgent: r.UserAgent,
		until: time.Now().Add(h.config.ConnectTimeout),
	}
	if a := h.address(s); a.IsValid() {
		q.Address = a.String()
	}
	at := h.loop.Handle(s)
	// Should the inbox be full the clock of the handshake ends it.
	put := h.server.callback.put(&q, func(a answer) { h.loop.Post(func() { h.answered(at, a) }) })
	if !put {
		h.forgetPartial(s)
		if err := h.failed(); err != nil {
			return err
		}
		return h.awaitRoom(s, name, who, head, rest)
	}
	h.asked[s] = &asking{who: who, room: name, head: len(head)}
	h.loop.PauseRead(s, true)
	return errAsked
}

// failed is what becomes of a viewer about whom there is no answer: nil lets it in.
func (h *handler) failed() error {
	if h.config.ConnectFail == config.FailOpen {
		return nil
	}
	return &refusedEntry{wsproto.Refusal{Status: 503, Message: "nobody can be let in at this moment; try again later", Header: []string{"Retry-After: 5"}}, reasonConnectFailed}
}

// answered goes on with a viewer's handshake, unless it has left.
func (h *handler) answered(at poller.Handle, a answer) {
	s, ok := h.loop.Resolve(at)
	if !ok || h.asked[s] == nil {
		h.server.callback.gone.Add(1)
		return
	}
	defer h.closePanicked(s)
	h.out = h.out[:0]
	if q := h.asked[s]; q.auth != nil {
		h.answeredAuth(s, q, a)
		return
	}
	q, head, rest := h.takeUp(s)
	who, err := h.decide(q, a)
	if err != nil {
		h.turnDown(s, head, rest, err)
		return
	}
	h.letIn(s, head, rest, entrant{who: who})
	h.flushReplies(s)
}

// takeUp ends the wait of who was asked about, and returns the head that was kept and
// what came behind it.
func (h *handler) takeUp(s poller.Slot) (q *asking, head, rest []byte) {
	q, received := h.asked[s], h.partials[s].bytes
	h.forgetPartial(s)
	h.forgetAsked(s)
	return q, received[:q.head], received[q.head:]
}

// forgetAsked lets a connection be read again, if it was not because of ask.
func (h *handler) forgetAsked(s poller.Slot) {
	if h.asked[s] != nil {
		delete(h.asked, s)
		h.loop.PauseRead(s, false)
	}
}

// decide returns who the viewer is by the site's answer, or why it is not let in.
func (h *handler) decide(q *asking, a answer) (*person, error) {
	p := q.who
	switch a.outcome {
	case outcomeDenied:
		return nil, &refusedEntry{wsproto.Refusal{Status: 403, Message: a.message}, reasonConnectDenied}
	case outcomeAllowed:
		p = a.person(q)
	default:
		if err := h.failed(); err != nil {
			return nil, err
		}
	}
	if err := h.stillGood(p); err != nil {
		return nil, unauthorized(err.Error())
	}
	return p, nil
}

// person is q.who as the site would have it. A guest about whom it says nothing
// stays the one that all guests are.
func (a *answer) person(q *asking) *person {
	if q.who.subject == "" && a.user == "" && a.name == "" && a.role == nil && a.rooms == nil {
		return q.who
	}
	p := *q.who
	p.answered = true
	if a.user != "" {
		p.user = a.user
		if p.subject == "" {
			p.role, p.silent = room.RoleViewer, false
		}
	}
	if a.name != "" {
		p.name = a.name
	}
	if a.role != nil {
		p.role = *a.role
		p.silent = p.silent && p.role == room.RoleGuest
	}
	// The site was asked about this room alone.
	p.rooms = a.rooms
	if p.rooms == nil {
		p.rooms = []string{q.room}
	}
	return &p
}
