package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// file writes a settings file and returns its path.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "d.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// quoted is a setting's text as TOML.
func quoted(kind, text string) string {
	switch kind {
	case "number", "rate", "bool":
		return text
	case "list":
		items := strings.Split(text, ",")
		for i := range items {
			items[i] = `"` + strings.TrimSpace(items[i]) + `"`
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	return `"` + text + `"`
}

func TestEverySettingFromFile(t *testing.T) {
	for _, d := range table {
		if d.flag == fileFlag {
			continue
		}
		s := settings[d.flag]
		c, fs := bound(t)
		line := d.flag + " = " + quoted(d.value(c).Type(), s.text)
		l := newLoader(c, fs)
		if err := l.file(file(t, "# a comment\n"+line+"\n")); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		if _, err := l.finish(); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		if got := s.read(c); !reflect.DeepEqual(got, s.want) {
			t.Errorf("%s gives %v, want %v", line, got, s.want)
		}
	}
}

func TestPrecedenceOfTheFile(t *testing.T) {
	path := file(t, "tick = \"90ms\"\nring = 7\nhistory = 3\nlisten = [\":5\", \":6\"]\nmax-message = 8192\naccept-rate = 2.5\n")
	c, fs := bound(t, "--tick=50ms", "--config="+path)
	if _, err := c.Load(fs, lookupIn(map[string]string{"DANMAKUD_RING": "5", "DANMAKUD_CONFIG": "/nowhere"})); err != nil {
		t.Fatal(err)
	}
	want := Default()
	c.origins = nil
	want.File, want.Tick, want.Ring, want.History = path, 50*time.Millisecond, 5, 3
	want.Listen, want.MaxMessage, want.AcceptRate = []string{":5", ":6"}, 8192, 2.5
	if !reflect.DeepEqual(*c, want) {
		t.Errorf("got\n%+v, want\n%+v", *c, want)
	}
}

func TestFileErrorsNameLineAndKey(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       []string
	}{
		{"unknown key", "tick = \"1s\"\n\ntik = \"1s\"\n", []string{":3: tik: is no setting"}},
		{"two problems", "tik = 1\nring = \"x\"\n", []string{":1: tik: is no setting", ":2: ring: want a whole number, got a string"}},
		{"text for a number", "ring = \"9\"\n", []string{":1: ring: want a whole number, got a string"}},
		{"fraction for a number", "ring = 1.5\n", []string{":1: ring: want a whole number, got a number with a fraction"}},
		{"number for a duration", "tick = 5\n", []string{`:1: tick: want a string such as "10s", got a whole number`}},
		{"no unit", "tick = \"5\"\n", []string{`:1: tick: "5": want a time with its unit`}},
		{"text for a list", "listen = \":1\"\n", []string{":1: listen: want an array of strings, got a string"}},
		{"numbers in a list", "listen = [1]\n", []string{":1: listen: want an array of strings, got an array with a whole number"}},
		{"comma in a list", "origin = [\"https://a.example\", \"https://b.example,*\"]\n", []string{`:1: origin: "https://b.example,*": want one value`}},
		{"bool for text", "control = true\n", []string{":1: control: want a string, got true or false"}},
		{"text for a bool", "tcp-nodelay = \"true\"\n", []string{":1: tcp-nodelay: want true or false, got a string"}},
		{"date", "tick = 2026-01-01\n", []string{":1: tick: want a string", "a date or time"}},
		{"table", "ring = 3\n[limits]\nring = 4\n", []string{":2: limits: there are no tables here"}},
		{"dotted", "limits.ring = 4\n", []string{":1: limits: there are no tables here"}},
		{"inline table", "ring = {a = 1}\n", []string{":1: ring: want a whole number, got a table"}},
		{"array of tables", "[[listen]]\n", []string{":1: listen: there are no tables here"}},
		{"twice", "ring = 3\n\nring = 4\n", []string{":3: ring: stands in line 1 already"}},
		{"itself", "config = \"x\"\n", []string{":1: config: cannot be set in a file"}},
		{"help", "help = true\n", []string{":1: help: is no setting"}},
		{"no TOML", "ring = 3\ntick 5\n", []string{":2: column "}},
		{"cut off", "ring = 3\ntick = \"5s", []string{":2: column "}},
	} {
		path := file(t, tc.text)
		c, fs := bound(t)
		err := newLoader(c, fs).file(path)
		for _, want := range tc.want {
			if err == nil || strings.Count(err.Error(), path+want) != 1 && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want %q", tc.name, err, path+want)
			}
		}
		if err != nil && strings.Count(err.Error(), path) != strings.Count(err.Error(), "\n")+1 {
			t.Errorf("%s: not every line names the file:\n%v", tc.name, err)
		}
	}
	c, fs := bound(t)
	if err := newLoader(c, fs).file("/nowhere.toml"); err == nil || !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "--config") {
		t.Errorf("no file: %v", err)
	}
}

// TestBadEntryInTheFileBehindAFlag: what another source overrides is still checked
// for its name and type.
func TestBadEntryInTheFileBehindAFlag(t *testing.T) {
	c, fs := bound(t, "--ring=9")
	if err := newLoader(c, fs).file(file(t, "ring = \"x\"\n")); err == nil || c.Ring != 9 {
		t.Errorf("error %v, ring %d", err, c.Ring)
	}
}

func TestReread(t *testing.T) {
	path := file(t, "ring = 7\ntick = \"90ms\"\ncomment-rate = 1\n")
	c, fs := bound(t, "--comment-rate=9", "--origin=*.a.example", "--control=off", "--config="+path)
	sources, err := c.Load(fs, lookupIn(nil))
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("tick = \"80ms\"\nmax-text = 9\ncomment-rate = 2\n")
	next, err := sources.Reread()
	if err != nil {
		t.Fatal(err)
	}
	if next.Tick != 80*time.Millisecond || next.Ring != 16 || next.CommentRate != 9 || next.Control != "" || !slices.Equal(next.Origins, []string{"*.a.example"}) {
		t.Errorf("got %+v", next)
	}
	merged, changed, restart, err := c.Merge(&next)
	if err != nil || merged.Tick != 80*time.Millisecond || merged.MaxText != 9 || merged.Ring != 7 {
		t.Errorf("merged %+v, %v", merged, err)
	}
	if want := []Change{{"tick", "90ms", "80ms"}, {"max-text", "200", "9"}}; !slices.Equal(changed, want) {
		t.Errorf("changed %v, want %v", changed, want)
	}
	if want := []Change{{"ring", "7", "16"}}; !slices.Equal(restart, want) {
		t.Errorf("restart %v, want %v", restart, want)
	}
	for _, broken := range []string{"tick = 3\n", "tick = \"1ms\"\n", "tick"} {
		write(broken)
		if _, err := sources.Reread(); err == nil {
			t.Errorf("%q is taken", broken)
		}
	}
	if _, err := (Sources{}).Reread(); !errors.Is(err, ErrNoFile) {
		t.Errorf("without a file: %v", err)
	}
}

func TestMergeIsValidated(t *testing.T) {
	c, next := Default(), Default()
	next.MaxText = 5000 // needs more than --max-message
	if _, _, _, err := c.Merge(&next); err == nil || !strings.Contains(err.Error(), "max-message") {
		t.Errorf("error %v", err)
	}
}

func TestReloadable(t *testing.T) {
	flags := Reloadable()
	for flag, want := range map[string]bool{"tick": true, "log-level": true, "listen": false, "loops": false, fileFlag: false} {
		if slices.Contains(flags, flag) != want {
			t.Errorf("--%s: reloadable is %v", flag, !want)
		}
	}
}
