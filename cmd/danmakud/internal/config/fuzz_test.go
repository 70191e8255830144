package config

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// FuzzFile: whatever a settings file has, every key is taken or complained about, and
// every complaint names a line that there is.
func FuzzFile(f *testing.F) {
	for _, text := range []string{
		"", "tick = \"50ms\"\n", "tick = 5\nhistory = -1\n", "listen = [\"127.0.0.1:1\", \"[::1]:2\"]\n", "[table]\nx = 1\n", "tick = \"1ms\"\ntick = \"2ms\"\n",
		"colour = 1\n", "a.b = 1\n", "origin = [[\"a\"]]\n", "budget-bytes = \"1KiB\"\nloops = 0x7\n", "tick = \"\"\"\n50ms\"\"\"\n", "\xff", "tick =", "role-weights = [\"vip=3\"]\n",
		"log-level = 2026-01-01T00:00:00Z\n", "comment-rate = inf\n", "comment-rate = nan\n", "listen = []\n", "config = \"x\"\n", "\"tick\" = \"1s\"\r\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "d.toml")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, fs := bound(t)
		l := newLoader(c, fs)
		err := l.file(path)
		entries, bad := parseFile(text)
		if bad != nil && err == nil {
			t.Fatalf("no complaint of %q, which is %v", text, bad)
		}
		if err == nil {
			for _, e := range entries {
				if !inTable(e.key) || !fs.Lookup(e.key).Changed {
					t.Errorf("%q is silently left out", e.key)
				}
			}
			for _, d := range table { // what is out of range is said, too
				if d.check != nil {
					d.check(c)
				}
			}
			return
		}
		first, _, _ := strings.Cut(err.Error(), "\n")
		rest, named := strings.CutPrefix(first, path+":")
		number, _, _ := strings.Cut(rest, ":")
		if n, err := strconv.Atoi(number); !named || err != nil || n < 1 || n > 1+bytes.Count(text, []byte("\n")) {
			t.Errorf("%q: %s", text, first)
		}
	})
}

// FuzzKeyFile: whatever a file of keys has, what is taken of it are keys, and what is
// not is complained about without saying a key.
func FuzzKeyFile(f *testing.F) {
	good := "[[key]]\nname=\"a\"\nrole=\"reader\"\nkey=\"hush-hush\"\n"
	for _, text := range []string{"", good, good + good, good + "sha256=\"00\"\n", "[key]\n", "key = 1\n", "[[key]]\nname=\"a\"\nrole=\"root\"\nkey=\"hush-hush\"\n",
		"[[key]]\nname=\"a\"\nrole=\"reader\"\nkey=hush-hush\n", "[[key]]\nname=\"\x00\"\n", "\xff"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "keys.toml")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c := Default()
		c.ControlKeys = path
		keys, err := c.ReadControlKeys()
		if err == nil && len(keys) == 0 {
			t.Errorf("%q: no keys, and no complaint", text)
		}
		for _, k := range keys {
			if err == nil && (k.Name == "" || k.Role == "" || k.Sum == [32]byte{}) {
				t.Errorf("%q: the key %+v", text, k)
			}
		}
		if err != nil && strings.Contains(err.Error(), "hush-hush") {
			t.Errorf("%q: %v", text, err)
		}
	})
}
