package server

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/moderation"
)

// A hand-over with --reuse-port and --data: both processes want the one store.
//
//	new: waits for the store ─────────────┐ opens it ── listens ── ready
//	old: serves ── SIGTERM ── lets go of it ── grace ── listeners close ── drain
//
// So there is one writer at any time, and a listener too.

// handOverGrace is how long an old process that has let go of the store goes on
// listening at least: the new one reads the store and the word lists meanwhile.
const handOverGrace = 3 * time.Second

// openDesk opens moderation. With --reuse-port it waits for an old process to let
// go of the store, until ctx is done.
func openDesk(ctx context.Context, c *config.Config, log *slog.Logger) (*moderation.Desk, error) {
	for said := false; ; said = true {
		desk, err := moderation.Open(moderationOptions(c))
		if !c.ReusePort || !errors.Is(err, moderation.ErrInUse) {
			return desk, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !said {
			log.Warn("waiting for --data: send SIGTERM to the process that has it", "error", err)
		}
	}
}

// handStore begins a drain: where another process may be waiting for the store, it
// gets it. It returns for how long the listeners stay.
func (s *Server) handStore(c *config.Config) time.Duration {
	if !c.ReusePort || c.Data == "" {
		return c.DrainGrace
	}
	if err := s.desk.LetGo(); err != nil {
		s.log.Error("--data not closed", "error", err)
	}
	return max(c.DrainGrace, handOverGrace)
}
