package logging

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// messagesMax bounds the distinct messages that are told apart. Messages are
// constant strings in the source, so this is never reached unless somebody
// builds them from data; all further ones then share one allowance.
const messagesMax = 256

// Limit returns a Handler that passes at most burst records of the same
// message within interval, for records of level warning and above; others are
// all passed. The first record that passes after some were left out carries
// their number as "suppressed". Records are told apart by message and level
// alone, whatever their attributes. Time is taken from the records.
func Limit(h slog.Handler, burst int, interval time.Duration) slog.Handler {
	return &limited{next: h, seen: &allowances{
		burst:    burst,
		interval: interval,
		byKey:    make(map[messageKey]*allowance),
	}}
}

type limited struct {
	// Fixed after construction.
	next slog.Handler
	seen *allowances // shared with all handlers made by WithAttrs and WithGroup
}

type messageKey struct {
	level   slog.Level
	message string
}

type allowance struct {
	since      time.Time // start of the current interval
	used       int       // records passed in it
	suppressed int       // records left out since the last one that passed
}

type allowances struct {
	// Fixed after construction.
	burst    int
	interval time.Duration

	mu sync.Mutex
	// Guarded by mu.
	byKey map[messageKey]*allowance
}

func (h *limited) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

func (h *limited) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &limited{next: h.next.WithAttrs(attrs), seen: h.seen}
}

func (h *limited) WithGroup(name string) slog.Handler {
	return &limited{next: h.next.WithGroup(name), seen: h.seen}
}

func (h *limited) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn {
		return h.next.Handle(ctx, r)
	}
	pass, suppressed := h.seen.take(messageKey{r.Level, r.Message}, r.Time)
	if !pass {
		return nil
	}
	if suppressed > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("suppressed", suppressed))
	}
	return h.next.Handle(ctx, r)
}

// take reports whether a record may pass, and how many before it did not.
func (a *allowances) take(key messageKey, now time.Time) (pass bool, suppressed int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	one := a.byKey[key]
	if one == nil {
		if len(a.byKey) >= messagesMax {
			key = messageKey{}
		}
		if one = a.byKey[key]; one == nil {
			one = &allowance{since: now}
			a.byKey[key] = one
		}
	}
	if now.Sub(one.since) >= a.interval {
		one.since, one.used = now, 0
	}
	if one.used >= a.burst {
		one.suppressed++
		return false, 0
	}
	one.used++
	suppressed, one.suppressed = one.suppressed, 0
	return true, suppressed
}
