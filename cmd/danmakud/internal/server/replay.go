package server

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/dplayer"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/moderation"
)

// serveReplay adds what the public port serves out of the archive, if that is wanted.
func (s *Server) serveReplay(mux *http.ServeMux) {
	if s.archive == nil || !s.settings().DPlayer {
		return
	}
	s.replay = dplayer.New(dplayer.Options{
		Source: s.archive, Log: s.log,
		Origin: func(origin, host string) bool { return s.rules.Load().upgrader.Origin(origin, host) },
		Admit:  s.admitReader,
	})
	mux.Handle(dplayer.Path, s.replay)
	mux.Handle(strings.TrimSuffix(dplayer.Path, "/"), s.replay)
}

// admitReader asks of who wants a replay what it asks of who wants to enter the room: a
// token, if there is one or guests are not let in, no ban, and --connect-url.
func (s *Server) admitReader(r *http.Request, name string) (status int, why string) {
	c := s.settings()
	text, err := oneBearer(r.URL.Query().Get("token"), r.Header.Get("Authorization"))
	var who *person
	if err == nil {
		who, err = s.identify(s.rules.Load(), c.Guests, text, name)
	}
	var refused *refusedEntry
	switch {
	case errors.As(err, &refused):
		return refused.Status, refused.Message
	case err != nil:
		return http.StatusForbidden, err.Error()
	}
	var address netip.Addr
	if from, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		address = from.Addr().Unmap()
	}
	if why, is := s.bannedReader(name, who, address); is {
		return http.StatusForbidden, why
	}
	if c.ConnectURL == "" {
		return 0, ""
	}
	return s.askAboutReader(r, c, who, name, address)
}

// bannedReader looks whether a reader is kept out of a room, and says so for people.
func (s *Server) bannedReader(name string, who *person, address netip.Addr) (why string, is bool) {
	ban, is := s.desk.Banned(name, &moderation.Speaker{User: who.user, Role: who.role, Address: address}, time.Now())
	if !is {
		return "", false
	}
	return banText(&ban), true
}

// askAboutReader has the site decide. A site that names somebody else names who must
// not be banned.
func (s *Server) askAboutReader(r *http.Request, c *config.Config, who *person, name string, address netip.Addr) (status int, why string) {
	q := question{
		Room: name, User: who.user, Name: who.name, Role: who.role,
		Origin: r.Header.Get("Origin"), UserAgent: r.UserAgent(), until: time.Now().Add(c.ConnectTimeout),
	}
	if address.IsValid() {
		q.Address = address.String()
	}
	answers := make(chan answer, 1)
	a := answer{outcome: outcomeFull}
	if s.callback.put(&q, func(a answer) { answers <- a }) {
		a = <-answers // in time: the question has its deadline
	}
	switch {
	case a.outcome == outcomeDenied:
		return http.StatusForbidden, a.message
	case a.outcome != outcomeAllowed && c.ConnectFail != config.FailOpen:
		return http.StatusServiceUnavailable, "nobody can be let in at this moment; try again later"
	case a.outcome != outcomeAllowed:
		return 0, ""
	}
	who = a.person(&asking{who: who, room: name})
	if !who.mayEnter(name) {
		return http.StatusForbidden, "the site does not let you into this room"
	}
	if why, is := s.bannedReader(name, who, address); is {
		return http.StatusForbidden, why
	}
	return 0, ""
}
