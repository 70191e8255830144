package server

import (
	"fmt"
	"strconv"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/wsproto"
)

// rules are the settings, and what is made of them once instead of for every
// connection. They are never changed: a reload makes others. Any goroutine.
type rules struct {
	config      config.Config
	upgrader    wsproto.Upgrader
	tooLong     string // message of error too_long
	rateLimited string // message of error rate_limited
}

func newRules(c *config.Config) (*rules, error) {
	origin, err := originPolicy(c.Origins)
	if err != nil {
		return nil, err
	}
	return &rules{
		config:      *c,
		upgrader:    wsproto.Upgrader{Origin: origin, Protocols: protocols},
		tooLong:     fmt.Sprintf("text has at most %d characters", c.MaxText),
		rateLimited: fmt.Sprintf("at most %s a second", strconv.FormatFloat(c.CommentRate, 'g', -1, 64)),
	}, nil
}

// settings returns the settings in force, which must not be changed. Any
// goroutine; but what runs on a loop reads handler.config, so that nothing
// changes in the middle of a turn.
func (s *Server) settings() *config.Config { return &s.rules.Load().config }

// apply puts other settings in force: at once for other goroutines, in their next
// turn for loops. After an error all is as it was. What cannot be changed while
// the server runs is the caller's to keep. Any goroutine, one at a time.
func (s *Server) apply(c *config.Config) error {
	r, err := newRules(c)
	if err != nil {
		return err
	}
	s.rules.Store(r)
	for _, h := range s.handlers {
		h.loop.Post(h.adoptRules) // a full inbox refuses; then the next sweep does it
	}
	return nil
}

// adoptRules makes the settings in force those of this loop.
func (h *handler) adoptRules() {
	h.rules = h.server.rules.Load()
	h.config = &h.rules.config
}
