package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/server"
)

func TestConfigShowsOrigins(t *testing.T) {
	file := newSettingsFile(t, "ring = 9\ncontrol = \"0.0.0.0:8081\"\n")
	tr := newTrial(t, map[string]string{"DANMAKUD_TICK": "70ms", "DANMAKUD_TYPO": "x"}, "config", "--config="+file.path, "--history=0")
	if status := tr.run(); status != exitOK {
		t.Errorf("exit status %d: %s", status, tr.stderrText())
	}
	fields := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(tr.out.String()), "\n") {
		f := strings.Fields(line)
		fields[f[0]] = strings.Join(f[1:], " ")
	}
	for name, want := range map[string]string{
		"SETTING": "VALUE ORIGIN", "tick": "70ms environment DANMAKUD_TICK", "ring": "9 " + file.path + ":1",
		"history": "0 command line", "max-text": "200 default", "origin": `"" default`,
	} {
		if fields[name] != want {
			t.Errorf("%s is %q, want %q", name, fields[name], want)
		}
	}
	for _, want := range []string{"warning: DANMAKUD_TYPO: is no setting", "warning: --control: 0.0.0.0:8081 can be reached"} {
		if !strings.Contains(tr.stderrText(), want) {
			t.Errorf("stderr %q, want %q", tr.stderrText(), want)
		}
	}
}

func TestConfigFormats(t *testing.T) {
	tr := newTrial(t, nil, "config", "--format=json", "--tick=70ms")
	var list []config.Setting
	if status := tr.run(); status != exitOK || json.Unmarshal(tr.out.Bytes(), &list) != nil {
		t.Fatalf("exit status %d, %s", status, tr.out.String())
	}
	found := false
	for _, s := range list {
		found = found || s.Name == "tick" && s.Value == "70ms" && s.Default == "100ms" && s.Origin == "command line" && s.Reload
	}
	if !found {
		t.Errorf("no tick in %+v", list)
	}
	tr = newTrial(t, nil, "config", "--format=toml", "--tick=70ms")
	if status := tr.run(); status != exitOK || !strings.Contains(tr.out.String(), "\ntick = \"70ms\" # command line\n") {
		t.Errorf("exit status %d, %s", status, tr.out.String())
	}
	for _, args := range [][]string{{"--format=xml"}, {"--example", "--check=x"}, {"--ring=0"}, {"--config=/nowhere"}} {
		tr := newTrial(t, nil, append([]string{"config"}, args...)...)
		if status := tr.run(); status != exitFailed || tr.stderrText() == "" {
			t.Errorf("%q: exit status %d, stderr %q", args, status, tr.stderrText())
		}
	}
}

// TestSecretsAreNotShown: neither danmakud config nor the log of a server that starts
// has a secret in it, and both say that one is open to others.
func TestSecretsAreNotShown(t *testing.T) {
	const key = "hunter2-horse"
	for _, args := range [][]string{{"config"}, {"config", "--format=json"}, {"config", "--format=toml"}, {"serve", "--log-level=debug"}} {
		tr := newTrial(t, nil, append(args, "--control-key="+key)...)
		tr.serve = func(_ context.Context, c config.Config, log *slog.Logger, _ server.Options) error {
			if c.ControlKey != key {
				t.Errorf("the key is %q", c.ControlKey)
			}
			return nil
		}
		status := tr.run()
		shown := tr.out.String() + tr.stderrText()
		if status != exitOK || strings.Contains(shown, key) || !strings.Contains(shown, "everybody on this host can read a command line") {
			t.Errorf("%q: exit status %d\n%s", args, status, shown)
		}
	}
}

func TestConfigCheck(t *testing.T) {
	file := newSettingsFile(t, "tik = 1\norigin = [\"*\"]\n")
	tr := newTrial(t, map[string]string{"DANMAKUD_LOOPS": "x"}, "config", "--check="+file.path)
	status := tr.run()
	want := file.path + ":1: tik: is no setting\n" + file.path + ":2: origin: "
	if text := tr.out.String(); status != exitFailed || !strings.HasPrefix(text, want) || !strings.HasSuffix(text, " (warning)\n") || tr.stderrText() != "" {
		t.Errorf("exit status %d\n%s%s", status, text, tr.stderrText())
	}
	file.write("origin = [\"*\"]\n")
	tr = newTrial(t, nil, "config", "--check", file.path)
	if status := tr.run(); status != exitOK {
		t.Errorf("a warning alone: exit status %d", status)
	}
}

func TestHealth(t *testing.T) {
	well := http.StatusOK
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			w.WriteHeader(http.StatusServiceUnavailable)
		} else {
			w.WriteHeader(well)
		}
		w.Write([]byte("as it is\n"))
	}))
	defer s.Close()
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		control string
		args    []string
		status  int
		want    string
	}{
		{"127.0.0.1:" + port, nil, exitOK, "as it is"},
		{"0.0.0.0:" + port, nil, exitOK, "as it is"},
		{":" + port, []string{"--ready"}, exitFailed, "503 Service Unavailable: as it is"},
		{"off", nil, exitFailed, "no control listener"},
		{"127.0.0.1:1", nil, exitFailed, "connect"},
	} {
		tr := newTrial(t, map[string]string{"DANMAKUD_CONTROL": tc.control}, append([]string{"health"}, tc.args...)...)
		status := tr.run()
		if text := tr.out.String() + tr.stderrText(); status != tc.status || !strings.Contains(text, tc.want) {
			t.Errorf("%s %q: exit status %d, %q", tc.control, tc.args, status, text)
		}
	}
}
