package server

import (
	"net/http"
	"strings"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/dplayer"
)

// serveReplay adds what the public port serves out of the archive, if that is wanted.
func (s *Server) serveReplay(mux *http.ServeMux) {
	if s.archive == nil || !s.settings().DPlayer {
		return
	}
	s.replay = dplayer.New(dplayer.Options{
		Source: s.archive, Log: s.log,
		Origin: func(origin, host string) bool { return s.rules.Load().upgrader.Origin(origin, host) },
		Open:   func() bool { return s.settings().Guests != config.GuestsNone },
	})
	mux.Handle(dplayer.Path, s.replay)
	mux.Handle(strings.TrimSuffix(dplayer.Path, "/"), s.replay)
}
