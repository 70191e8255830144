package poller

import (
	"log/slog"
	"time"
)

// processStart is where monotonic time begins.
var processStart = time.Now()

// monotonic returns nanoseconds since the process started.
func monotonic() int64 { return int64(time.Since(processStart)) }

// A limitedLog writes at most one line per logEvery and says how many it left
// out. Owned by one goroutine.
type limitedLog struct {
	log     *slog.Logger
	quiet   int64 // until this instant, as monotonic
	skipped int
}

func (g *limitedLog) warn(now int64, what string, args ...any) {
	if now < g.quiet {
		g.skipped++
		return
	}
	g.log.With(args...).Warn(what, "skipped", g.skipped)
	g.quiet, g.skipped = now+int64(logEvery), 0
}
