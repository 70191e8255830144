package config

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var defaultAPI = API{ControlBody: 4 << 20, ControlRequests: 64, ControlStreams: 16}

func init() {
	settings["control-key"] = setting{"s3cret", func(c *Config) any { return c.ControlKey }, "s3cret"}
	settings["control-keys"] = setting{"/etc/d/keys.toml", func(c *Config) any { return c.ControlKeys }, "/etc/d/keys.toml"}
	settings["control-body"] = setting{"2MiB", func(c *Config) any { return c.ControlBody }, 2 << 20}
	settings["control-requests"] = setting{"7", func(c *Config) any { return c.ControlRequests }, 7}
	settings["control-streams"] = setting{"3", func(c *Config) any { return c.ControlStreams }, 3}
}

func TestReadControlKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.toml")
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte("two")))
	text := "[[key]]\nname = \"a\"\nrole = \"publisher\"\nkey = \"one\"\n[[key]]\nname = \"b\"\nrole = \"admin\"\nsha256 = \"" + sum + "\"\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := Default()
	c.ControlKey, c.ControlKeys = "zero", path
	keys, err := c.ReadControlKeys()
	if err != nil || len(keys) != 3 {
		t.Fatalf("%v, %v", keys, err)
	}
	for i, want := range []struct{ name, role, key string }{{"control-key", "admin", "zero"}, {"a", "publisher", "one"}, {"b", "admin", "two"}} {
		if k := keys[i]; k.Name != want.name || k.Role != want.role || k.Sum != sha256.Sum256([]byte(want.key)) {
			t.Errorf("key %d is %v, want %v", i, k, want)
		}
	}
}

func TestReadControlKeysRefuses(t *testing.T) {
	good := "[[key]]\nname=\"a\"\nrole=\"reader\"\nkey=\"hush-hush\"\n"
	for text, want := range map[string]string{
		"":          "has no [[key]]",
		good + good: "name stands twice",
		good + strings.Replace(good, "\"a\"", "\"b\"", 1):                           "key 2: the key stands twice",
		"[[key]]\nname=\"a\"\nrole=\"root\"\nkey=\"hush-hush\"\n":                   `role "root": want one of reader`,
		"[[key]]\nname=\"\"\nrole=\"reader\"\nkey=\"hush-hush\"\n":                  "name: want",
		"[[key]]\nname=\"a\"\nrole=\"reader\"\n":                                    "either key or sha256",
		good + "sha256=\"00\"\n":                                                    "either key or sha256",
		"[[key]]\nname=\"a\"\nrole=\"reader\"\nsha256=\"hush-hush\"\n":              "64 hexadecimal",
		"[[key]]\nname=\"a\"\nrole=\"reader\"\nkey=\"hush-hush \"\n":                "without spaces",
		"[[key]]\nname=\"a\"\nrole=\"reader\"\nkey=\"hush-hush\"\ncolour=\"red\"\n": "line 5: key.colour is no setting",
		"[[key]]\nname=\"a\"\nrole=\"reader\"\nkey=hush-hush\n":                     "line 4",
		"[[key]]\nname=\"a\"\nrole=\"reader\"\nkey=[\"hush-hush\"]\n":               "line 4",
		"#" + strings.Repeat("x", 1<<20):                                            "too large",
	} {
		path := filepath.Join(t.TempDir(), "keys.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := Default()
		c.ControlKeys = path
		_, err := c.ReadControlKeys()
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%.80q: error %v, want one with %q", text, err, want)
		} else if strings.Contains(err.Error(), "hush") {
			t.Errorf("the error tells the key: %v", err)
		}
	}
	c := Default()
	c.ControlKeys = filepath.Join(t.TempDir(), "none")
	if _, err := c.ReadControlKeys(); err == nil || !strings.Contains(err.Error(), "--control-keys") {
		t.Errorf("no file: %v", err)
	}
	c.ControlKey = "hush hush"
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "--control-key") || strings.Contains(err.Error(), "hush") {
		t.Errorf("key with a space: %v", err)
	}
}
