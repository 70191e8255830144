package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// settingsFile is a --config file that a test can change.
type settingsFile struct {
	t    *testing.T
	path string
}

func newSettingsFile(t *testing.T, text string) settingsFile {
	f := settingsFile{t, filepath.Join(t.TempDir(), "danmakud.toml")}
	f.write(text)
	return f
}

func (f settingsFile) write(text string) {
	f.t.Helper()
	if err := os.WriteFile(f.path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// hangup sends SIGHUP and returns the record that ends the reload.
func (s *instance) hangup(message string) map[string]any {
	s.t.Helper()
	seen := s.stderr.count()
	s.signal(syscall.SIGHUP)
	record, err := s.stderr.recordAfter(seen, message)
	if err != nil {
		s.t.Fatal(err)
	}
	return record
}

const minimalSettings = "listen = [\"127.0.0.1:0\"]\ncontrol = \"127.0.0.1:0\"\ndrain-time = \"1s\"\nlog-format = \"json\"\n"

// TestReload: what can change does, for viewers that are there already and on all
// loops; what cannot is named; a broken file changes nothing.
func TestReload(t *testing.T) {
	t.Parallel()
	file := newSettingsFile(t, minimalSettings+"tick = \"400ms\"\nloops = 2\ncomment-rate = 0\n")
	s := launch(t, []string{"DANMAKUD_CONFIG=" + file.path}, "--history=4")
	s.awaitReady()
	viewers := []*viewer{s.join("a"), s.join("b"), s.join("c"), s.join("d")}
	if tick := viewers[0].welcome.TickMs; tick != 400 {
		t.Fatalf("tick %d ms, want that of the file", tick)
	}

	file.write(minimalSettings + "tick = \"50ms\"\nloops = 3\ncomment-rate = 0\nmax-text = 3\nhistory = 9\nlog-level = \"warn\"\nmax-connections = 5\n")
	record := s.hangup("settings reloaded")
	changed := strings.Join(texts(record["changed"]), ", ")
	if want := "max-connections: 0 → 5, tick: 400ms → 50ms, max-text: 200 → 3, log-level: info → warn"; changed != want {
		t.Errorf("changed %q, want %q", changed, want)
	}
	warning, err := s.stderr.record("setting needs a restart to change")
	if err != nil || warning["setting"] != "loops" || warning["file"] != "3" {
		t.Errorf("warning %v, %v", warning, err)
	}
	for _, v := range viewers {
		v.send(say("four", "r"))
		if m, _ := v.until("error"); m.Code != "too_long" {
			t.Errorf("got %+v, want too_long", m)
		}
	}
	if v := s.join("e"); v.welcome.TickMs != 50 {
		t.Errorf("a new viewer's tick is %d ms, want that of the changed file", v.welcome.TickMs)
	}
	if v := s.dial(); v.conn != nil { // the sixth
		if r, _ := v.response(); r.StatusCode != 503 {
			t.Errorf("beyond the new limit: %s", r.Status)
		}
	}

	for _, broken := range []string{"tik = 3\n", "tick = 3\n", "tick = \"1ms\"\n", "max-text = 5000\n", "["} {
		file.write(minimalSettings + broken)
		record := s.hangup("settings not reloaded, all stay as they were")
		if text := record["error"].(string); !strings.Contains(text, "ti") && !strings.Contains(text, "max-text") && !strings.Contains(text, ":5:") {
			t.Errorf("%q: error %q", broken, text)
		}
		viewers[1].send(say("four", "r"))
		if m, _ := viewers[1].until("error"); m.Code != "too_long" {
			t.Errorf("after a broken file: %+v", m)
		}
	}
}

// TestHangupWithoutFile: SIGHUP does not end a server that has no file.
func TestHangupWithoutFile(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	v := s.join("a")
	s.hangup("reload without effect")
	v.ping("still here")
}

func TestStartWithBrokenFile(t *testing.T) {
	t.Parallel()
	file := newSettingsFile(t, minimalSettings+"\ntik = \"1s\"\n")
	out, err := exec.Command(underTest(t), "--config", file.path).CombinedOutput()
	if want := "danmakud: " + file.path + ":6: tik: is no setting\n"; err == nil || string(out) != want {
		t.Errorf("%v, output %q, want %q", err, out, want)
	}
}

func texts(list any) []string {
	var out []string
	for _, v := range list.([]any) {
		out = append(out, v.(string))
	}
	return out
}
