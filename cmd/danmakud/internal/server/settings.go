package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/admin"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/token"
	"github.com/danmakud/danmakud/room"
	"github.com/danmakud/danmakud/wsproto"
)

// rules are the settings, and what is made of them once instead of for every
// connection. They are never changed: a reload makes others. Any goroutine.
type rules struct {
	config      config.Config
	upgrader    wsproto.Upgrader
	packets     wsproto.Upgrader // of /sub: no subprotocol, nothing compressed
	tooLong     string           // message of error too_long
	rateLimited string           // message of error rate_limited
	buckets     buckets
	proxies     networks      // whose connections begin with a PROXY header
	trusted     networks      // whose X-Forwarded-For counts
	control     admin.Options // keys and limits of the control API
	guest       person        // who all guests are

	tokens *token.Verifier // nil: no token is taken
}

func newRules(c *config.Config) (*rules, error) {
	origin, err := originPolicy(c.Origins)
	if err != nil {
		return nil, err
	}
	proxies, err := config.Networks(c.ProxyProtocol)
	if err != nil {
		return nil, err
	}
	trusted, err := config.Networks(c.TrustedProxies)
	if err != nil {
		return nil, err
	}
	control, err := admin.OptionsOf(c)
	if err != nil {
		return nil, err
	}
	r := &rules{
		control:     control,
		proxies:     proxies,
		trusted:     trusted,
		config:      *c,
		upgrader:    wsproto.Upgrader{Origin: origin, Protocols: protocols},
		packets:     wsproto.Upgrader{Origin: origin},
		tooLong:     fmt.Sprintf("text has at most %d characters", c.MaxText),
		buckets:     newBuckets(c),
		guest:       person{silent: c.Guests != config.GuestsSpeak},
		rateLimited: fmt.Sprintf("at most %s a second", strconv.FormatFloat(c.CommentRate, 'g', -1, 64)),
	}
	if o := tokenOptions(c); o.Wanted() {
		if r.tokens, err = token.New(o); err != nil {
			return nil, err
		}
	}
	if c.Compression {
		// One frame for everybody means one window, the largest.
		r.upgrader.Deflate = &wsproto.DeflateConfig{MinWindowBits: 15}
	}
	return r, nil
}

// tokenOptions is what of the settings is about tokens.
func tokenOptions(c *config.Config) token.Options {
	return token.Options{
		Files: c.TokenKeys, JWKS: c.JWKS, Audience: c.TokenAudience, Issuer: c.TokenIssuer, MaxLife: c.TokenMaxLife,
	}
}

// settings returns the settings in force, which must not be changed. Any
// goroutine; but what runs on a loop reads handler.config, so that nothing
// changes in the middle of a turn.
func (s *Server) settings() *config.Config { return &s.rules.Load().config }

// applyPatience is how long apply waits for loops that do not turn.
const applyPatience = time.Second

// apply puts other settings in force: at once for other goroutines, in their next
// turn for loops, for which it waits so that who reads of the change finds it made.
// After an error all is as it was. What cannot be changed while the server runs is
// the caller's to keep. Any goroutine but those of the loops, one at a time.
func (s *Server) apply(c *config.Config) error {
	resolved := *c
	if c.MaxConnections == 0 { // all that is open besides viewers must find a place
		resolved.MaxConnections = s.openFiles - c.HTTPConnections - otherFiles
		if resolved.MaxConnections < 1 {
			return fmt.Errorf("no place for viewers: %d files may be open, %d are for HTTP", s.openFiles, c.HTTPConnections)
		}
	}
	r, err := newRules(&resolved)
	if err != nil {
		return err
	}
	if s.reactor == nil {
		s.rules.Store(r)
		return nil // at the start: everything is made with these
	}
	if err := s.desk.Configure(moderationOptions(&resolved)); err != nil {
		return err
	}
	s.rules.Store(r)
	s.reactor.SetMaxConnections(resolved.MaxConnections)
	s.reactor.SetAcceptRate(resolved.AcceptRate)
	s.hub.Configure(roomConfig(&resolved))
	if s.api != nil {
		s.api.Configure(r.control)
	}
	s.awaitRules()
	return nil
}

// awaitRules has all loops adopt the rules in force.
func (s *Server) awaitRules() {
	adopted := make(chan struct{}, len(s.handlers))
	asked := 0
	for _, h := range s.handlers {
		// A full inbox refuses; then the next sweep does it.
		if h.loop.Post(func() { h.adoptRules(); adopted <- struct{}{} }) {
			asked++
		}
	}
	patience := time.After(applyPatience)
	for range asked {
		select {
		case <-adopted:
		case <-patience:
			return
		}
	}
}

// roomConfig is what of the settings is the rooms' and can change.
func roomConfig(c *config.Config) room.Config {
	weights, _ := c.Weights() // it has been checked
	resume := c.ResumeAge
	if resume == 0 {
		resume = -1 // none, which to a hub is not the default
	}
	return room.Config{
		ResumeAge: resume, ResumeBytes: c.ResumeBytes, ResumeTotal: c.ResumeTotal,
		BudgetBytes: c.BudgetBytes, BudgetComments: c.BudgetComments, Weights: weights,
		Tick: c.Tick, MaxTick: c.MaxTick,
		PendingComments: c.PendingComments, PendingBytes: c.PendingBytes,
		History: c.History, MaxRooms: c.MaxRooms,
		DeflateLevel: c.CompressionLevel, DeflateMin: c.CompressionMin,
	}
}

// reload reads the settings again and takes over what can change; what has changed
// and what needs a restart to is returned. Whatever goes wrong, the settings in
// force stay. Goroutine of Run only.
func (s *Server) reload() (changed, restart []string, err error) {
	s.service.reloading()
	defer func() { s.service.ready(s.status()) }()
	next, err := s.options.Reread()
	if errors.Is(err, config.ErrNoFile) {
		s.refreshKeys(true) // with a file all is made anew
		s.log.Warn("reload without effect", "reason", err.Error())
		return nil, nil, err
	}
	var merged config.Config
	var differ, stay []config.Change
	if err == nil {
		merged, differ, stay, err = s.asked.Merge(&next)
	}
	if err == nil {
		err = s.takeOver(&merged)
	}
	if err != nil {
		s.log.Error("settings not reloaded, all stay as they were", "error", err.Error())
		return nil, nil, err
	}
	for _, c := range stay {
		s.log.Warn("setting needs a restart to change", "setting", c.Flag, "running", c.Before, "file", c.After)
	}
	changed, restart = changeTexts(differ), changeTexts(stay)
	s.announce("settings reloaded", "changed", changed)
	return changed, restart, nil
}

// takeOver puts settings in force for good, all but the log level, which announce
// does. Goroutine of Run only.
func (s *Server) takeOver(c *config.Config) error {
	err := s.apply(c)
	if err == nil {
		s.asked = *c
	}
	return err
}

// announce logs a change of the settings, and takes over the log level: the line
// must pass under the old one or the new one. Goroutine of Run only.
func (s *Server) announce(message string, args ...any) {
	set := s.options.SetLevel
	if set == nil {
		set = func(string) {}
	}
	if s.log.Enabled(context.Background(), slog.LevelInfo) {
		defer set(s.asked.LogLevel)
	} else {
		set(s.asked.LogLevel)
	}
	s.log.Info(message, args...)
}

func changeTexts(changes []config.Change) []string {
	texts := make([]string, len(changes))
	for i, c := range changes {
		texts[i] = c.String()
	}
	return texts
}

// adoptRules makes the settings in force those of this loop.
func (h *handler) adoptRules() {
	h.rules = h.server.rules.Load()
	h.config = &h.rules.config
}
