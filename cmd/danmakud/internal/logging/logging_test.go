package logging

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// written runs use with a Logger on a file and returns what the file has.
func written(t *testing.T, level, format string, use func(*slog.Logger)) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	log, err := New(f, level, format)
	if err != nil {
		t.Fatal(err)
	}
	use(log)
	text, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestFormat(t *testing.T) {
	hello := func(log *slog.Logger) { log.Info("hello", "n", 1) }
	for _, format := range []string{"auto", "json"} { // a file is no terminal
		var record map[string]any
		text := written(t, "info", format, hello)
		if err := json.Unmarshal([]byte(text), &record); err != nil || record["msg"] != "hello" {
			t.Errorf("%s wrote %q (%v), want a JSON record", format, text, err)
		}
	}
	if text := written(t, "info", "text", hello); !strings.Contains(text, "msg=hello n=1") {
		t.Errorf("text wrote %q", text)
	}
}

func TestCharacterDeviceIsTakenForTerminal(t *testing.T) {
	f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !isTerminal(f) {
		t.Errorf("%s is not taken for a character device", os.DevNull)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if isTerminal(w) {
		t.Error("a pipe is taken for a terminal")
	}
}

func TestLevel(t *testing.T) {
	all := func(log *slog.Logger) {
		log.Debug("a")
		log.Info("b")
		log.Warn("c")
		log.Error("d")
	}
	for level, want := range map[string]int{"debug": 4, "info": 3, "warn": 2, "error": 1} {
		if got := strings.Count(written(t, level, "json", all), "\n"); got != want {
			t.Errorf("level %s wrote %d records, want %d", level, got, want)
		}
	}
}

func TestBadLevelAndFormat(t *testing.T) {
	if _, err := New(os.Stderr, "loud", "json"); err == nil {
		t.Error("level loud is taken")
	}
	if _, err := New(os.Stderr, "info", "xml"); err == nil {
		t.Error("format xml is taken")
	}
}

func TestLimit(t *testing.T) {
	var out bytes.Buffer
	next, err := handler(&out, slog.LevelDebug, "json")
	if err != nil {
		t.Fatal(err)
	}
	h := Limit(next, 2, time.Second)
	start := time.Unix(1000, 0)
	say := func(at time.Duration, level slog.Level, message string) {
		r := slog.NewRecord(start.Add(at), level, message, 0)
		if err := h.WithAttrs([]slog.Attr{slog.Int("a", 1)}).Handle(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 5 {
		say(time.Duration(i)*time.Millisecond, slog.LevelWarn, "full")
		say(0, slog.LevelInfo, "state")
	}
	say(0, slog.LevelError, "full") // another level, another allowance
	say(999*time.Millisecond, slog.LevelWarn, "full")
	say(1000*time.Millisecond, slog.LevelWarn, "full")
	say(1001*time.Millisecond, slog.LevelWarn, "full")

	var warnings []map[string]any
	info := 0
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatal(err)
		}
		switch record["level"] {
		case "WARN":
			warnings = append(warnings, record)
		case "INFO":
			info++
		}
	}
	if info != 5 {
		t.Errorf("%d of 5 records of level info passed", info)
	}
	if len(warnings) != 4 {
		t.Fatalf("%d warnings passed, want 2 in each of two intervals:\n%s", len(warnings), out.String())
	}
	for i, want := range []any{nil, nil, 4.0, nil} {
		if got := warnings[i]["suppressed"]; got != want {
			t.Errorf("warning %d: suppressed %v, want %v", i, got, want)
		}
	}
	if strings.Count(out.String(), "ERROR") != 1 {
		t.Error("the error did not pass")
	}
}

// TestLimitIsBounded uses more messages than are told apart, from several
// goroutines, and expects the table to stay within its bound.
func TestLimitIsBounded(t *testing.T) {
	h := Limit(slog.DiscardHandler, 1, time.Hour).(*limited)
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 2 * messagesMax {
				r := slog.NewRecord(time.Unix(1, 0), slog.LevelWarn, fmt.Sprint(g, i), 0)
				if err := h.WithGroup("g").Handle(context.Background(), r); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := len(h.seen.byKey); n > messagesMax+1 {
		t.Errorf("%d messages are told apart, want at most %d", n, messagesMax+1)
	}
	if shared := h.seen.byKey[messageKey{}]; shared == nil || shared.suppressed == 0 {
		t.Error("messages beyond the bound do not share an allowance")
	}
}
