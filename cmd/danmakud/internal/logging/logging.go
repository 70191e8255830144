// Package logging makes the server's slog.Logger.
//
//	record ─► Limit: repeated warnings thinned out ─► text on a terminal
//	                                              └─► JSON otherwise
//
// Nothing here is on the path of a message: the server logs changes of state,
// and a fault that repeats a thousand times a second must not become a
// thousand lines a second.
package logging

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"
)

// The same warning or error may appear burstMax times in burstInterval; what
// goes beyond is counted in the next one that passes.
const (
	burstMax      = 5
	burstInterval = 10 * time.Second
)

// New returns a Logger that writes to f. Level is debug, info, warn or error;
// format is text, json or auto (text if f is a terminal, JSON otherwise).
// Records of warning level and above are limited as Limit says. The Logger may
// be used by any goroutine.
func New(f *os.File, level, format string) (*slog.Logger, error) {
	l, err := ParseLevel(level)
	if err != nil {
		return nil, err
	}
	return NewLeveled(f, l, format)
}

// ParseLevel returns the level named debug, info, warn or error.
func ParseLevel(name string) (l slog.Level, err error) {
	if err := l.UnmarshalText([]byte(name)); err != nil {
		return l, fmt.Errorf("log level %q: want debug, info, warn or error", name)
	}
	return l, nil
}

// NewLeveled is New with a level that may change, a [slog.LevelVar].
func NewLeveled(f *os.File, level slog.Leveler, format string) (*slog.Logger, error) {
	if format == "auto" {
		format = "json"
		if isTerminal(f) {
			format = "text"
		}
	}
	h, err := handler(f, level, format)
	if err != nil {
		return nil, err
	}
	return slog.New(Limit(h, burstMax, burstInterval)), nil
}

func handler(w io.Writer, level slog.Leveler, format string) (slog.Handler, error) {
	options := slog.HandlerOptions{Level: level}
	switch format {
	case "text":
		return slog.NewTextHandler(w, &options), nil
	case "json":
		return slog.NewJSONHandler(w, &options), nil
	}
	return nil, fmt.Errorf("log format %q: want text, json or auto", format)
}

// isTerminal reports whether f is a character device: a terminal, or
// something as indifferent to the format as /dev/null.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
