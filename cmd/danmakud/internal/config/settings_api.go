package config

import (
	"errors"
	"strings"

	"github.com/spf13/pflag"
)

// API is who may use the control API and how much of it.
type API struct {
	// ControlKey lets its holder do everything; empty: there is none. ControlKeys is
	// a file with further keys and their roles, see ReadControlKeys. Without any key
	// the API answers on this host only.
	ControlKey, ControlKeys string
	// ControlBody is the longest body of a request in bytes, ControlRequests how many
	// requests may be under way, ControlStreams how many live streams and exports.
	ControlBody, ControlRequests, ControlStreams int
}

var tableAPI = []definition{
	{
		flag: "control-key", def: "",
		help:   "bearer `KEY` of the control API, for everything; without any key the API answers on this host only",
		value:  func(c *Config) pflag.Value { return textValue{&c.ControlKey} },
		check:  checkControlKey,
		reload: true,
		secret: true,
	},
	{
		flag: "control-keys", def: "",
		help:   "TOML `FILE` with keys of the control API and their roles; SIGHUP reads it again",
		value:  func(c *Config) pflag.Value { return textValue{&c.ControlKeys} },
		reload: true,
		opens:  true, private: true,
	},
	{
		flag: "control-body", def: "4194304",
		help:   "longest body of a request to the control API",
		value:  func(c *Config) pflag.Value { return bytesValue{&c.ControlBody} },
		check:  within("control-body", func(c *Config) int { return c.ControlBody }, 1<<10, 64<<20),
		reload: true,
	},
	{
		flag: "control-requests", def: "64",
		help:   "requests to the control API under way at one time",
		value:  func(c *Config) pflag.Value { return countValue{&c.ControlRequests} },
		check:  within("control-requests", func(c *Config) int { return c.ControlRequests }, 1, 10_000),
		reload: true,
	},
	{
		flag: "control-streams", def: "16",
		help:   "live streams, exports and profiles of the control API under way at one time",
		value:  func(c *Config) pflag.Value { return countValue{&c.ControlStreams} },
		check:  within("control-streams", func(c *Config) int { return c.ControlStreams }, 1, 10_000),
		reload: true,
	},
}

// checkControlKey never quotes the key.
func checkControlKey(c *Config) error {
	if c.ControlKey != "" && !keyFits(c.ControlKey) {
		return errors.New("--control-key: " + keyForm)
	}
	return nil
}

const keyForm = "want 1 to 1024 printable ASCII characters without spaces"

// keyFits reports whether a key can stand in an Authorization header.
func keyFits(key string) bool {
	return len(key) > 0 && len(key) <= 1024 && !strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' })
}
