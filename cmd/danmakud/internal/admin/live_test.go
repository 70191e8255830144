package admin_test

import (
	"log/slog"
	"testing"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/admin"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/server"
)

// TestWithTheServer has every route asked with the real server as the backend: its
// answers, too, are those of the document.
func TestWithTheServer(t *testing.T) {
	c := config.Default()
	c.Listen, c.Control, c.Loops, c.DrainTime = []string{"127.0.0.1:0"}, "", 2, 0
	c.Data, c.Archive = t.TempDir(), t.TempDir()
	s, err := server.New(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer s.Close()
	admin.AskEverything(t, served{s})
}

// served is a server without the goroutine of Run, which would change its settings.
type served struct{ *server.Server }

func (served) Reload(string) (changed, restart []string, err error) {
	return nil, nil, config.ErrNoFile
}

func (served) Set(values map[string]string, _ string) ([]string, error) {
	if _, ok := values["loops"]; ok {
		return nil, config.ErrNoFile
	}
	return []string{"tick"}, nil
}
