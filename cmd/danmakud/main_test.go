package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/doctor"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/server"
)

// trial is a program whose parts are the test's.
type trial struct {
	program
	t       *testing.T
	out     bytes.Buffer
	signals chan os.Signal
	exits   chan int
}

func newTrial(t *testing.T, environ map[string]string, args ...string) *trial {
	t.Helper()
	stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stderr.Close() })
	tr := &trial{t: t, signals: make(chan os.Signal, 2), exits: make(chan int, 1)}
	tr.program = program{
		args:      args,
		lookupEnv: func(name string) (string, bool) { v, ok := environ[name]; return v, ok },
		stdout:    &tr.out,
		stderr:    stderr,
		sockets:   func() []*os.File { return nil },
		hangups:   func() <-chan os.Signal { return nil },
		signals:   tr.signals,
		exit:      func(status int) { tr.exits <- status },
		serve: func(context.Context, config.Config, *slog.Logger, server.Options) error {
			t.Error("the server was started")
			return nil
		},
		host: doctor.Host{
			Files:     fstest.MapFS{},
			OpenFiles: func() (uint64, uint64, error) { return 1024, 20000, nil },
			OS:        "linux", CPUs: 2, PageSize: 4096,
		},
	}
	for name, value := range environ {
		tr.environ = append(tr.environ, name+"="+value)
	}
	return tr
}

func (tr *trial) stderrText() string {
	tr.t.Helper()
	b, err := os.ReadFile(tr.stderr.Name())
	if err != nil {
		tr.t.Fatal(err)
	}
	return string(b)
}

func TestPlainCommandServes(t *testing.T) {
	for _, args := range [][]string{
		{"--ring=9"},
		{"serve", "--ring=9"},
	} {
		tr := newTrial(t, map[string]string{"DANMAKUD_TICK": "70ms", "DANMAKUD_TYPO": "x"}, args...)
		var got config.Config
		tr.serve = func(_ context.Context, c config.Config, _ *slog.Logger, _ server.Options) error { got = c; return nil }
		if status := tr.run(); status != exitOK {
			t.Errorf("%q: exit status %d: %s", args, status, tr.stderrText())
		}
		want := config.Default()
		want.Ring, want.Tick = 9, 70*time.Millisecond
		if got.Ring != want.Ring || got.Tick != want.Tick || got.Listen[0] != want.Listen[0] || got.MaxRooms != want.MaxRooms {
			t.Errorf("%q: config %+v", args, got)
		}
		if text := tr.stderrText(); !strings.Contains(text, "DANMAKUD_TYPO") {
			t.Errorf("%q: no warning about the unknown variable in %q", args, text)
		}
	}
}

func TestErrorsAreOneAndWithoutUsage(t *testing.T) {
	for _, tc := range []struct {
		name    string
		environ map[string]string
		args    []string
		want    []string
	}{
		{"unknown flag", nil, []string{"--colour"}, []string{"danmakud: unknown flag: --colour"}},
		{"unknown command", nil, []string{"sreve"}, []string{`danmakud: unknown command "sreve"`}},
		{"argument", nil, []string{"serve", "now"}, []string{`unknown command "now" for "danmakud serve"`}},
		{"bad value", nil, []string{"--tick=5"}, []string{"--tick", "unit"}},
		{"bad variable", map[string]string{"DANMAKUD_LOOPS": "x"}, nil, []string{`DANMAKUD_LOOPS="x": want a whole number`}},
		{"two problems", nil, []string{"--tick=1ms", "--ring=0"}, []string{"danmakud:\n  --tick 1ms", "\n  --ring 0"}},
		{"connections", nil, []string{"doctor", "--connections=0"}, []string{"--connections 0: want 1 to"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tr := newTrial(t, tc.environ, tc.args...)
			if status := tr.run(); status != exitFailed {
				t.Errorf("exit status %d, want %d", status, exitFailed)
			}
			text := tr.stderrText()
			for _, want := range tc.want {
				if strings.Count(text, want) != 1 {
					t.Errorf("stderr %q, want %q once", text, want)
				}
			}
			if strings.Contains(text, "Usage") || tr.out.Len() > 0 {
				t.Errorf("usage was printed: %q %q", text, tr.out.String())
			}
		})
	}
}

func TestServerErrorIsPrinted(t *testing.T) {
	tr := newTrial(t, nil)
	tr.serve = func(context.Context, config.Config, *slog.Logger, server.Options) error {
		return errors.New("port taken")
	}
	if status := tr.run(); status != exitFailed || !strings.Contains(tr.stderrText(), "danmakud: serve: port taken") {
		t.Errorf("exit status %d, stderr %q", status, tr.stderrText())
	}
}

func TestSignals(t *testing.T) {
	tr := newTrial(t, nil)
	release := make(chan struct{})
	tr.serve = func(ctx context.Context, _ config.Config, _ *slog.Logger, _ server.Options) error {
		tr.signals <- syscall.SIGTERM
		<-ctx.Done() // the first signal cancels
		tr.signals <- os.Interrupt
		<-release // and draining goes on
		return nil
	}
	status := make(chan int)
	go func() { status <- tr.run() }()
	select {
	case got := <-tr.exits:
		if got != exitAtOnce {
			t.Errorf("the second signal ends with %d, want %d", got, exitAtOnce)
		}
	case got := <-status:
		t.Fatalf("exit status %d before the second signal: %s", got, tr.stderrText())
	}
	close(release)
	if got := <-status; got != exitOK {
		t.Errorf("exit status %d", got)
	}
	text := tr.stderrText()
	if !strings.Contains(text, "draining") || !strings.Contains(text, "second signal") {
		t.Errorf("log %q, want a line for each signal", text)
	}
}

func TestDoctor(t *testing.T) {
	tr := newTrial(t, nil, "doctor", "--connections", "10000")
	if status := tr.run(); status != exitOK || !strings.Contains(tr.out.String(), "this host can hold them") {
		t.Errorf("exit status %d\n%s", status, tr.out.String())
	}
	tr = newTrial(t, nil, "doctor", "--connections", "30000", "--json")
	if status := tr.run(); status != exitFailed || tr.stderrText() != "" {
		t.Errorf("exit status %d, stderr %q; want %d and nothing beside the report", status, tr.stderrText(), exitFailed)
	}
	var r doctor.Report
	if err := json.Unmarshal(tr.out.Bytes(), &r); err != nil || r.Passed || r.Remedy.OpenFiles < 30000 {
		t.Errorf("report %+v, %v", r, err)
	}
}

func TestVersion(t *testing.T) {
	tr := newTrial(t, nil, "version")
	if status := tr.run(); status != exitOK || !strings.Contains(tr.out.String(), runtime.GOOS+"/"+runtime.GOARCH) {
		t.Errorf("exit status %d, %q", status, tr.out.String())
	}
	tr = newTrial(t, nil, "version", "--json")
	var b build
	if status := tr.run(); status != exitOK || json.Unmarshal(tr.out.Bytes(), &b) != nil || b.Go != runtime.Version() || b.Version == "" || b.Commit == "" {
		t.Errorf("exit status %d, %q", status, tr.out.String())
	}
}

func TestThisBuild(t *testing.T) {
	info := &debug.BuildInfo{Main: debug.Module{Version: "v0.2.0"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"},
	}}
	if b := thisBuild("", "", info); b.Version != "v0.2.0" || b.Commit != "abc-dirty" {
		t.Errorf("from the Go tool: %+v", b)
	}
	if b := thisBuild("v1", "def", info); b.Version != "v1" || b.Commit != "def" {
		t.Errorf("from the linker: %+v", b)
	}
	info.Main.Version = "(devel)"
	info.Settings = nil
	if b := thisBuild("", "", info); b.Version != "development" || b.Commit != "unknown" {
		t.Errorf("from nothing: %+v", b)
	}
}

func TestHelp(t *testing.T) {
	tr := newTrial(t, nil, "--help")
	if status := tr.run(); status != exitOK {
		t.Fatalf("exit status %d", status)
	}
	for _, want := range []string{"serve", "doctor", "version", "completion", "--listen", "DANMAKUD_MAX_ROOMS", "Exit status"} {
		if !strings.Contains(tr.out.String(), want) {
			t.Errorf("help does not have %q", want)
		}
	}
}
