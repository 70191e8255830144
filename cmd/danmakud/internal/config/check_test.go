package config

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for _, tc := range []struct {
		name, text        string
		problem, warnings []string // after the path, in order
	}{
		{"fine", "tick = \"50ms\"\n", nil, nil},
		{"empty", "", nil, nil},
		{"unknown key", "\ntik = 1\n", []string{":2: tik: is no setting"}, nil},
		{"wrong type", "tick = 5\n", []string{`:1: tick: want a string such as "10s"`}, nil},
		{"bad value", "# x\ntick = \"1ms\"\n", []string{":2: tick 1ms: want 10ms to 5s"}, nil},
		{"bad item", "listen = [\":80\", \"nowhere\", \":99999\"]\n", []string{`:1: listen "nowhere": want HOST:PORT`, `:1: listen ":99999": port`}, nil},
		{"contradiction", "max-text = 9\ntick = \"3s\"\n", []string{":2: max-tick 1s: must not be below tick 3s"}, nil},
		{"contradiction of two", "max-message = 300\nmax-text = 100\n", []string{":1: max-message 300: a comment of max-text 100 needs 656 bytes"}, nil},
		{"both", "tik = 1\nring = 0\n", []string{":1: tik: is no setting", ":2: ring 0: want 1 to 1024"}, nil},
		{"files that are not there", "words = \"/no/w\"\ntoken-key = [\"/no/k\"]\ncontrol-keys = \"/no/c\"\njwks = \"/no/j\"\n",
			[]string{":3: control-keys: open /no/c: ", ":2: token-key: open /no/k: ", ":4: jwks: open /no/j: ", ":1: words: open /no/w: "}, nil},
		{"not TOML", "tick\n", []string{":1: column "}, nil},
		{"unwise", "ring = 4\norigin = [\"*\"]\nstall-timeout = \"1m\"\nwatchdog = \"0s\"\n", nil,
			[]string{`:2: origin: "*" lets any page`, ":3: user-timeout: 40s should be above stall-timeout 1m0s", ":4: watchdog: 0: nobody"}},
		{"unwise networks", "trusted-proxy = [\"10.0.0.0/8\", \"::/0\"]\nproxy-protocol = [\"0.0.0.0/0\"]\n", nil,
			[]string{":2: proxy-protocol: 0.0.0.0/0 is everybody", ":1: trusted-proxy: ::/0 is everybody"}},
		{"open control", "control = \":8081\"\nidle-timeout = \"2m\"\ncomment-rate = 0\n", nil,
			[]string{":1: control: :8081 can be reached", ":3: comment-rate: 0 lets", ":2: idle-timeout: 2m0s: many proxies"}},
	} {
		path := file(t, tc.text)
		problems, warnings := Check(path)
		compare := func(kind string, got, want []string) {
			if len(got) != len(want) {
				t.Errorf("%s: %s %q, want %q", tc.name, kind, got, want)
				return
			}
			for i := range want {
				if !strings.HasPrefix(got[i], path+want[i]) {
					t.Errorf("%s: %s %q, want %q", tc.name, kind, got[i], path+want[i])
				}
			}
		}
		compare("problems", problems, tc.problem)
		compare("warnings", warnings, tc.warnings)
	}
	if problems, _ := Check("/nowhere.toml"); len(problems) != 1 || !strings.Contains(problems[0], "/nowhere.toml") {
		t.Errorf("no file: %q", problems)
	}
}

func TestDefaultsAreWise(t *testing.T) {
	c := Default()
	if a := c.Advice(); len(a) > 0 {
		t.Errorf("the defaults are unwise: %v", a)
	}
}

// TestExampleIsTheDefaults: what the example shows is what holds without it.
func TestExampleIsTheDefaults(t *testing.T) {
	var b bytes.Buffer
	if err := WriteExample(&b); err != nil {
		t.Fatal(err)
	}
	entries := regexp.MustCompile(`(?m)^#([a-z][a-z-]* = )`)
	if n := len(entries.FindAllString(b.String(), -1)); n != len(table)-1 {
		t.Errorf("the example has %d settings, the table %d besides --config", n, len(table)-1)
	}
	// The defaults of some are no values: empty means that they are not set.
	path := file(t, entries.ReplaceAllString(b.String(), "$1"))
	c, fs := bound(t)
	if err := newLoader(c, fs).file(path); err != nil {
		t.Fatal(err)
	}
	def := Default()
	for _, d := range table {
		if got, want := d.value(c).String(), d.value(&def).String(); got != want {
			t.Errorf("--%s: %q in the example, the default is %q", d.flag, got, want)
		}
	}
	for _, line := range strings.Split(b.String(), "\n") {
		if len(line) > 120 {
			t.Errorf("long line %q", line)
		}
	}
}

// TestWrittenSettingsCanBeRead: the settings in force, written as a file, are the
// same settings when read.
func TestWrittenSettingsCanBeRead(t *testing.T) {
	var args []string
	for _, d := range table {
		if d.flag != fileFlag && !d.secret {
			args = append(args, "--"+d.flag+"="+settings[d.flag].text)
		}
	}
	c, fs := bound(t, args...)
	if _, err := c.Load(fs, lookupIn(nil)); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := c.WriteTOML(&b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "d.toml")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	got, fs := bound(t, "--config="+path)
	if _, err := got.Load(fs, lookupIn(nil)); err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	for _, d := range table {
		if d.flag == fileFlag || d.secret {
			continue
		}
		if got, want := d.value(got).String(), d.value(c).String(); got != want {
			t.Errorf("--%s: %q, want %q", d.flag, got, want)
		}
	}
}

func TestTOMLStrings(t *testing.T) {
	for text, want := range map[string]string{
		"": `""`, `a"b\`: `"a\"b\\"`, "<&>": `"<&>"`, "弹幕\n\x01\x7f": `"弹幕\n\u0001\u007f"`,
	} {
		if got := tomlString(text); got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
}
