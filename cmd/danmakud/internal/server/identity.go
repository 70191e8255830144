package server

import (
	"slices"
	"strings"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/token"
	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/wsproto"
)

// How a viewer gets to be somebody:
//
//	request ─ no token ─► guest ────────────────┐
//	   └──── token ─► Verifier, Revocations ────┴─► --connect-url, if set ─► person
//	                    └─ 401: not good; 403: not for this room
//	later: {"type":"token"} renews; the sweep ends who has expired

// unauthorized refuses an upgrade for its token.
func unauthorized(text string) error {
	return &refusedEntry{wsproto.Refusal{
		Status: 401, Message: text, Header: []string{`WWW-Authenticate: Bearer error="invalid_token"`},
	}, reasonUnauthorized}
}

// forbidden refuses an upgrade of somebody who is known, and may not.
func forbidden(text string) error {
	return &refusedEntry{wsproto.Refusal{Status: 403, Message: text}, reasonForbidden}
}

// identify finds out who asks to be let into a room.
func (h *handler) identify(r *wsproto.Request, name string) (*person, error) {
	text, err := bearer(r)
	if err != nil {
		return nil, err
	}
	return h.identifyBy(text, name)
}

// identifyBy is identify with the token at hand, "" = none.
func (h *handler) identifyBy(text, name string) (*person, error) {
	return h.server.identify(h.rules, h.config.Guests, text, name)
}

// identify finds out by a token, "" = none, who wants to enter a room, where guests may
// do what guests says. Any goroutine.
func (s *Server) identify(r *rules, guests, text, name string) (*person, error) {
	switch {
	case text == "" && guests == config.GuestsNone:
		return nil, forbidden("guests are not let in; connect with a token")
	case text == "":
		return &r.guest, nil
	}
	p, err := s.verified(r.tokens, text)
	if err != nil {
		return nil, unauthorized(err.Error())
	}
	if !p.mayEnter(name) {
		return nil, forbidden("the token is not for this room")
	}
	return p, nil
}

// bearer returns the token of a request, "" if it has none. Other schemes in
// Authorization are for others, such as a proxy in front.
func bearer(r *wsproto.Request) (string, error) {
	query, _ := r.QueryValue("token")
	return oneBearer(query, r.Authorization)
}

// oneBearer returns the token of a query or of an Authorization field, "" if there is
// none in either.
func oneBearer(query, authorization string) (string, error) {
	scheme, header, _ := strings.Cut(authorization, " ")
	switch header = strings.Trim(header, " "); {
	case !strings.EqualFold(scheme, "Bearer"):
		return query, nil
	case query != "": // RFC 6750 section 2
		return "", &refusedEntry{wsproto.Refusal{Status: 400, Message: "the token comes in the query or in Authorization, not in both"}, reasonBadRequest}
	case header == "":
		return "", unauthorized(token.ErrMalformed.Text)
	}
	return header, nil
}

// verified returns the person a token speaks of. The error is a *token.Problem. Any
// goroutine.
func (s *Server) verified(verifier *token.Verifier, text string) (*person, error) {
	if verifier == nil {
		return nil, s.countProblem(token.ErrNoKeys)
	}
	c, err := verifier.Verify(text)
	if err != nil {
		return nil, s.countProblem(err)
	}
	p := &person{
		user: c.User, name: c.Name, role: c.Role, rooms: c.Rooms,
		subject: c.User, tokenID: c.ID, issued: c.Issued, expires: c.Expires,
	}
	if s.revoked(p) {
		return nil, s.countProblem(token.ErrRevoked)
	}
	return p, nil
}

// countProblem counts why a token was refused, and returns it.
func (s *Server) countProblem(err error) error {
	problem, ok := err.(*token.Problem)
	if i := slices.Index(token.Problems(), problem); ok && i >= 0 {
		s.tokenProblems[i].Add(1)
	}
	return err
}

// stillGood returns what has become of p's token since it was verified, nil if it
// is as good as then.
func (h *handler) stillGood(p *person) error {
	switch {
	case p.expires != 0 && p.expires <= h.loop.Wall()/1000:
		return h.server.countProblem(token.ErrExpired)
	case p.subject != "" && h.server.revoked(p):
		return h.server.countProblem(token.ErrRevoked)
	}
	return nil
}

// renew puts a new token in place of the one that a viewer came with.
func (h *handler) renew(s poller.Slot, f *fields, ref string) {
	text := f.text("token")
	if f.wrong != "" || text == "" {
		h.refuseCommand(s, ref, refusedBadField, "token is a text", 0)
		return
	}
	before := h.person(s)
	if before.subject == "" {
		h.refuseCommand(s, ref, refusedUnauthorized, "there is no token to renew; connect with one", 0)
		return
	}
	if !h.spend(s, ref) {
		return
	}
	after, err := h.server.verified(h.rules.tokens, text)
	switch {
	case err != nil:
		h.refuseCommand(s, ref, refusedUnauthorized, err.Error(), 0)
	case after.subject != before.subject:
		h.refuseCommand(s, ref, refusedUnauthorized, "the token is another user's", 0)
	case !before.answered && !after.mayEnter(h.shard.RoomOf(uint32(s)).Name()):
		h.refuseCommand(s, ref, refusedForbidden, "the token is not for this room", 0)
	default:
		if before.answered { // what the callback has said stays
			after.answered, after.user, after.name, after.role, after.rooms = true, before.user, before.name, before.role, before.rooms
		}
		h.persons.set(s, after)
		if ref != "" {
			h.replyAck(s, ref, 0)
		}
	}
}
