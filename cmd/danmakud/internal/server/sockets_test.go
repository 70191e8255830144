package server

import (
	"errors"
	"log/slog"
	"os"
	"testing"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
)

// What was inherited is closed, also when it cannot be used.
func TestInheritedAreClosedAfterAnError(t *testing.T) {
	t.Chdir(t.TempDir())
	var files []*os.File
	for _, name := range []string{"public", controlName, controlName} {
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	if _, err := newServer(t.Context(), config.Default(), slog.New(slog.DiscardHandler), Options{Inherited: files}); err == nil {
		t.Error("two sockets for one listener")
	}
	for _, f := range files {
		if err := f.Close(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s is still open", f.Name())
		}
	}
}
