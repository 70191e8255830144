package config

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestOrigins(t *testing.T) {
	path := file(t, "# settings\nring = 7\nhistory = 3\ntick = \"90ms\"\n")
	c, fs := bound(t, "--tick=50ms", "--config="+path)
	sources, err := c.Load(fs, lookupIn(map[string]string{"DANMAKUD_RING": "5"}))
	if err != nil {
		t.Fatal(err)
	}
	check := func(c *Config, want map[string]string) {
		t.Helper()
		for flag, origin := range want {
			if got := c.Origin(flag).String(); got != origin {
				t.Errorf("--%s: origin %q, want %q", flag, got, origin)
			}
		}
	}
	check(c, map[string]string{
		"tick": "command line", "config": "command line", "ring": "environment DANMAKUD_RING",
		"history": path + ":3", "max-text": "default",
	})

	if err := os.WriteFile(path, []byte("max-text = 80\nloops = 3\nhistory = 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	next, err := sources.Reread()
	if err != nil {
		t.Fatal(err)
	}
	merged, _, restart, err := c.Merge(&next)
	if err != nil || len(restart) != 1 {
		t.Fatalf("restart %v, %v", restart, err)
	}
	check(&merged, map[string]string{
		"tick": "command line", "ring": "environment DANMAKUD_RING", "history": path + ":3",
		"max-text": path + ":1", "loops": "default", // what is in force, not what a restart would take
	})
	check(c, map[string]string{"max-text": "default"}) // left alone
}

func TestApply(t *testing.T) {
	c := Default()
	next, changed, err := c.Apply(map[string]string{"tick": "250ms", "origin": "*.a.example,*.b.example", "max-text": "200"}, "alice")
	if err != nil {
		t.Fatal(err)
	}
	want := []Change{{"origin", "", "*.a.example,*.b.example"}, {"tick", "100ms", "250ms"}}
	if !slices.Equal(changed, want) {
		t.Errorf("changed %v, want %v", changed, want)
	}
	if next.Tick != 250*time.Millisecond || len(next.Origins) != 2 || next.Origin("tick").String() != "API alice" || next.Origin("max-text").String() != "default" {
		t.Errorf("got %+v", next)
	}
	if !reflect.DeepEqual(c, Default()) {
		t.Errorf("what it was made from has changed: %+v", c)
	}
	again, changed, err := next.Apply(map[string]string{"origin": ""}, "bob")
	if err != nil || len(again.Origins) != 0 || len(changed) != 1 || len(next.Origins) != 2 {
		t.Errorf("an empty list: %v, %v, %v", again.Origins, changed, err)
	}
}

func TestApplyRefuses(t *testing.T) {
	c := Default()
	for _, tc := range []struct {
		values map[string]string
		want   []string
	}{
		{map[string]string{"tik": "1s", "tick": "50ms"}, []string{"tik: is no setting"}},
		{map[string]string{"tick": "5"}, []string{`tick "5": want a time`}},
		{map[string]string{"loops": "3"}, []string{"loops: needs a restart to change"}},
		{map[string]string{"tick": "1ms"}, []string{"--tick 1ms: want 10ms"}},
		{map[string]string{"max-text": "5000"}, []string{"--max-message 4096"}},
		{map[string]string{"a": "", "b": "", "ring": ""}, []string{"a: is no setting", "b: is no setting", "ring: needs a restart"}},
	} {
		next, changed, err := c.Apply(tc.values, "x")
		if err == nil || len(changed) > 0 || !reflect.DeepEqual(next, c) {
			t.Errorf("%v: changed %v, error %v", tc.values, changed, err)
			continue
		}
		for _, want := range tc.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v: error %q, want %q", tc.values, err, want)
			}
		}
	}
}

// withSecrets makes a text and a list of the table secrets.
func withSecrets(t *testing.T, flags ...string) {
	t.Helper()
	before := table
	t.Cleanup(func() { table = before })
	table = slices.Clone(table)
	for i := range table {
		if slices.Contains(flags, table[i].flag) {
			table[i].secret, table[i].check = true, nil
			if table[i].flag == "log-format" {
				table[i].def = ""
			}
		}
	}
}

const word = "hunter2-horse"

func TestSecretsFromEverySource(t *testing.T) {
	withSecrets(t, "log-format", "origin")
	dir := t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one := put("one", word+"\n")
	two := put("two", "a\nb\n")
	put("log-format", "from-credential\n")
	plain, named := file(t, "log-format = \""+word+"\"\n"), file(t, "log-format = \"file:"+one+"\"\norigin = [\"x\", \"file:"+two+"\"]\n")
	for _, tc := range []struct {
		name   string
		args   []string
		env    map[string]string
		secret string
		list   []string
		origin string
	}{
		{"flag", []string{"--log-format=" + word, "--origin=a,b", "--origin=c"}, nil, word, []string{"a", "b", "c"}, "command line"},
		{"flag with a file", []string{"--log-format=file:" + one, "--origin=file:" + two}, nil, word, []string{"a", "b"}, "command line"},
		{"variable", nil, map[string]string{"DANMAKUD_LOG_FORMAT": word}, word, nil, "environment DANMAKUD_LOG_FORMAT"},
		{"variable with a file", nil, map[string]string{"DANMAKUD_LOG_FORMAT": "file:" + one}, word, nil, "environment DANMAKUD_LOG_FORMAT"},
		{"file", []string{"--config=" + plain}, nil, word, nil, plain + ":1"},
		{"file with a file", []string{"--config=" + named}, nil, word, []string{"x", "a", "b"}, named + ":1"},
		{"credential", nil, map[string]string{"CREDENTIALS_DIRECTORY": dir}, "from-credential", nil, "credential log-format"},
		{"flag before credential", []string{"--log-format=" + word}, map[string]string{"CREDENTIALS_DIRECTORY": dir}, word, nil, "command line"},
		{"no credential", nil, map[string]string{"CREDENTIALS_DIRECTORY": "/nowhere"}, "", nil, "default"},
	} {
		c, fs := bound(t, tc.args...)
		if _, err := c.Load(fs, lookupIn(tc.env)); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if c.LogFormat != tc.secret || !slices.Equal(c.Origins, tc.list) || c.Origin("log-format").String() != tc.origin {
			t.Errorf("%s: %q %q from %q", tc.name, c.LogFormat, c.Origins, c.Origin("log-format"))
		}
	}
}

// TestSecretsStayHidden: whatever is printed about settings, secrets are not in it.
func TestSecretsStayHidden(t *testing.T) {
	withSecrets(t, "log-format", "origin")
	path := file(t, "log-format = \""+word+"\"\n")
	c, fs := bound(t, "--origin="+word+","+word+"2", "--config="+path)
	sources, err := c.Load(fs, lookupIn(nil))
	if err != nil || c.LogFormat != word {
		t.Fatal(c.LogFormat, err)
	}
	var b bytes.Buffer
	if err := c.WriteTOML(&b); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("log-format = \""+word+"3\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	next, err := sources.Reread()
	if err != nil || next.LogFormat != word+"3" || len(next.Origins) != 2 {
		t.Fatal(next.LogFormat, next.Origins, err)
	}
	_, changed, restart, err := c.Merge(&next)
	if err != nil || len(changed) != 0 || len(restart) != 1 {
		t.Fatal(changed, restart, err)
	}
	_, _, applied := c.Apply(map[string]string{"origin": word}, "x")
	shown := fmt.Sprint(c.List(), b.String(), changed, restart, applied, fs.FlagUsages(), fs.Lookup("origin").Value, sources.Warnings)
	if strings.Contains(shown, word) || !strings.Contains(shown, hidden) {
		t.Errorf("a secret is shown, or that there is one is not:\n%s", shown)
	}
}

// TestSecretsAreReadAgain: a secret in a file can be replaced without any --config.
func TestSecretsAreReadAgain(t *testing.T) {
	withSecrets(t, "log-format", "origin")
	path := file(t, word+"\n")
	c, fs := bound(t, "--origin=file:"+path)
	sources, err := c.Load(fs, lookupIn(nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("other\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	next, err := sources.Reread()
	if err != nil {
		t.Fatal(err)
	}
	merged, changed, _, err := c.Merge(&next)
	if err != nil || !slices.Equal(merged.Origins, []string{"other"}) || !slices.Equal(changed, []Change{{"origin", hidden, hidden}}) {
		t.Errorf("%q, changed %v, %v", merged.Origins, changed, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := sources.Reread(); err == nil {
		t.Error("a file that is gone is no error")
	}
}

func TestBadSecrets(t *testing.T) {
	withSecrets(t, "log-format", "origin")
	empty := file(t, "\n")
	large := file(t, strings.Repeat("x", secretMax+1))
	commas := file(t, word+",b\n")
	config := file(t, "ring = 3\nlog-format = \"file:/nowhere\"\n")
	for _, tc := range []struct {
		args []string
		env  map[string]string
		want string
	}{
		{[]string{"--log-format=file:/nowhere"}, nil, "--log-format: open /nowhere"},
		{[]string{"--log-format=file:" + empty}, nil, "is empty"},
		{[]string{"--log-format=file:" + large}, nil, "has at most"},
		{[]string{"--origin=" + word + ",file:" + commas}, nil, "without commas"},
		{[]string{"--config=" + config}, nil, config + ":2: log-format: open /nowhere"},
		{nil, map[string]string{"DANMAKUD_LOG_FORMAT": "file:/nowhere"}, "DANMAKUD_LOG_FORMAT: open /nowhere"},
	} {
		c, fs := bound(t, tc.args...)
		_, err := c.Load(fs, lookupIn(tc.env))
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), word) {
			t.Errorf("%q: error %v, want %q", tc.args, err, tc.want)
		}
	}
}

func TestExposedSecrets(t *testing.T) {
	withSecrets(t, "log-format")
	open, closed, group := file(t, word+"\n"), file(t, word+"\n"), file(t, word+"\n")
	config := file(t, "log-format = \""+word+"\"\n")
	for path, mode := range map[string]os.FileMode{open: 0o644, group: 0o440, config: 0o644} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		args []string
		env  map[string]string
		want string
	}{
		{[]string{"--log-format=" + word}, nil, "--log-format: everybody on this host"},
		{[]string{"--log-format=file:" + open}, nil, open + ": has log-format and mode 0644"},
		{[]string{"--log-format=file:" + closed}, nil, ""},
		{[]string{"--log-format=file:" + group}, nil, ""},
		{[]string{"--config=" + config}, nil, config + ": has log-format and mode 0644"},
		{nil, map[string]string{"DANMAKUD_LOG_FORMAT": word}, ""},
		{[]string{"--control-keys=" + open}, nil, open + ": has control-keys and mode 0644"},
		{[]string{"--control-keys=" + closed}, nil, ""},
		{nil, nil, ""},
	} {
		c, fs := bound(t, tc.args...)
		s, err := c.Load(fs, lookupIn(tc.env))
		if got := strings.Join(s.Warnings, "\n"); err != nil || (tc.want == "") != (got == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%q: warnings %q, %v; want %q", tc.args, got, err, tc.want)
		}
	}
}

// TestSecretsOfTheTable: a default would be in the source, and one that is quoted in
// an error would be in the log.
func TestSecretsOfTheTable(t *testing.T) {
	for _, d := range table {
		if !d.secret {
			continue
		}
		if d.def != "" {
			t.Errorf("--%s: a secret has no default", d.flag)
		}
		c := Default()
		if err := d.value(&c).Set(word); err != nil {
			t.Errorf("--%s: %v", d.flag, err)
		}
		if err := c.Validate(); err != nil && strings.Contains(err.Error(), word) {
			t.Errorf("--%s: the check quotes the secret: %v", d.flag, err)
		}
	}
}
