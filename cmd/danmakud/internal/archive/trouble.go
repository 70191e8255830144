package archive

import (
	"log/slog"
	"time"
)

// sayEvery is how often an error that goes on is said again.
const sayEvery = time.Minute

// trouble says that the disk does not take what it should: at once, then once in a
// while, and when it is over. Writer only.
type trouble struct {
	since, said time.Time
	errors      uint64
}

func (t *trouble) say(log *slog.Logger, room string, err error, now time.Time) {
	if t.since.IsZero() {
		t.since = now
	}
	t.errors++
	if now.Sub(t.said) < sayEvery {
		return
	}
	t.said = now
	log.Error("archive: comments cannot be written; what waits for too long is dropped", "room", room, "error", err,
		"since", t.since.UTC().Format(time.RFC3339), "errors", t.errors)
}

func (t *trouble) over(log *slog.Logger) {
	if t.since.IsZero() {
		return
	}
	log.Info("archive: nothing waits for the disk any more", "since", t.since.UTC().Format(time.RFC3339), "errors", t.errors)
	t.since, t.errors = time.Time{}, 0
}
