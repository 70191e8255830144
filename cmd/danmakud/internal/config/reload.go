package config

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/pflag"
)

// Sources remembers what the command line and the environment said, so that the
// file can be read again under the same precedence.
type Sources struct {
	fixed [][2]string // flag and text of what the file cannot change
	path  string      // of the file; empty: there is none
}

// Load completes c after fs was parsed: from the environment, then from the file
// that one of them names. The result is not validated.
func (c *Config) Load(fs *pflag.FlagSet, lookup func(string) (string, bool)) (Sources, error) {
	if err := c.FromEnv(fs, lookup); err != nil {
		return Sources{}, err
	}
	s := Sources{path: c.File}
	for _, d := range table {
		if f := fs.Lookup(d.flag); f != nil && f.Changed {
			s.fixed = append(s.fixed, [2]string{d.flag, f.Value.String()})
		}
	}
	if s.path == "" {
		return s, nil
	}
	return s, c.FromFile(fs, s.path)
}

// ErrNoFile: there is no file that could be read again.
var ErrNoFile = errors.New("no --config: there is no file to read again")

// Reread makes the configuration anew from the file as it is now, and validates
// it. What has left the file is back at its default.
func (s Sources) Reread() (Config, error) {
	var c Config
	if s.path == "" {
		return c, ErrNoFile
	}
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	c.Bind(fs)
	for _, f := range s.fixed {
		if err := fs.Set(f[0], f[1]); err != nil {
			return c, err
		}
	}
	if err := c.FromFile(fs, s.path); err != nil {
		return c, err
	}
	return c, c.Validate()
}

// Change is a setting with its values before and after.
type Change struct{ Flag, Before, After string }

func (c Change) String() string { return fmt.Sprintf("%s: %s → %s", c.Flag, c.Before, c.After) }

// Merge returns c with those values of next that a running server can take over,
// which settings changed by that, and which would need a restart. An error says
// that the result is not valid, such as when a limit that can change contradicts
// one that cannot.
func (c *Config) Merge(next *Config) (merged Config, changed, restart []Change, err error) {
	merged = *c
	for _, d := range table {
		change := Change{d.flag, d.value(c).String(), d.value(next).String()}
		switch {
		case change.Before == change.After:
		case !d.reload:
			restart = append(restart, change)
		default:
			if err := d.value(&merged).Set(change.After); err != nil {
				return *c, nil, nil, fmt.Errorf("--%s: %w", d.flag, err)
			}
			changed = append(changed, change)
		}
	}
	if err := merged.Validate(); err != nil {
		return *c, nil, nil, err
	}
	return merged, changed, restart, nil
}

// Reloadable returns the flags that can change while the server runs, sorted.
func Reloadable() []string {
	var flags []string
	for _, d := range table {
		if d.reload {
			flags = append(flags, d.flag)
		}
	}
	slices.Sort(flags)
	return flags
}

func inTable(flag string) bool {
	return slices.ContainsFunc(table, func(d definition) bool { return d.flag == flag })
}
