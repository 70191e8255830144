package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/pflag"
)

// Sources remembers what the command line and the environment said, so that the
// file can be read again under the same precedence.
type Sources struct {
	// Warnings has a sentence for each secret that others on this host can read.
	Warnings []string

	fixed []given // what the file cannot change
	path  string  // of the file; empty: there is none
	named bool    // something of fixed names a file that is read again
}

// given is a setting as one source gave it; of a secret the text may name a file,
// which is read again.
type given struct {
	flag, text string
	origin     Origin
}

// ErrNoFile: there is no file that could be read again.
var ErrNoFile = errors.New("no --config: there is no file to read again")

// Reread makes the configuration anew from the file, and the files of secrets, as
// they are now, and validates it. What has left the file is back at its default.
func (s Sources) Reread() (Config, error) {
	var c Config
	if s.path == "" && !s.named {
		return c, ErrNoFile
	}
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	c.Bind(fs)
	l := newLoader(&c, fs)
	for _, g := range s.fixed {
		if err := fs.Set(g.flag, g.text); err != nil {
			return c, err
		}
		l.origins[g.flag] = g.origin
	}
	if s.path != "" {
		if err := l.file(s.path); err != nil {
			return c, err
		}
	}
	if _, err := l.finish(); err != nil {
		return c, err
	}
	return c, c.Validate()
}

// Change is a setting with its values before and after, as they may be shown.
type Change struct{ Flag, Before, After string }

func (c Change) String() string { return fmt.Sprintf("%s: %s → %s", c.Flag, c.Before, c.After) }

// compare returns how d differs between two configurations.
func (d *definition) compare(before, after *Config) (change Change, differs bool) {
	differs = d.value(before).String() != d.value(after).String()
	return Change{d.flag, d.shown(before), d.shown(after)}, differs
}

// shown is the value as text, of a secret only whether there is one.
func (d *definition) shown(c *Config) string {
	text := d.value(c).String()
	if d.secret && text != "" {
		return hidden
	}
	return text
}

// Merge returns c with those values of next that a running server can take over,
// which settings changed by that, and which would need a restart. An error says
// that the result is not valid, such as when a limit that can change contradicts
// one that cannot.
func (c *Config) Merge(next *Config) (merged Config, changed, restart []Change, err error) {
	merged = *c
	merged.origins = maps.Clone(next.origins)
	for _, d := range table {
		change, differs := d.compare(c, next)
		switch {
		case !differs:
		case !d.reload:
			restart = append(restart, change)
			merged.setOrigin(d.flag, c.Origin(d.flag))
		default:
			if err := d.value(&merged).Set(d.value(next).String()); err != nil {
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

// Apply returns c with some settings changed by hand, and which of them differ by
// that. Values are text as on the command line, by the names of flags; a list is
// replaced as a whole. by is who asked, for the origin. Nothing is taken over if any
// of it is wrong: the error has a line for each problem. What needs a restart and
// what is secret cannot be changed in this way.
func (c *Config) Apply(values map[string]string, by string) (Config, []Change, error) {
	next := *c
	next.origins = maps.Clone(c.origins)
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !inTable(name) {
			errs = append(errs, fmt.Errorf("%s: is no setting", name))
		}
	}
	var changed []Change
	for _, d := range table {
		text, wanted := values[d.flag]
		if !wanted {
			continue
		}
		if err := d.applicable(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", d.flag, err))
			continue
		}
		if err := d.value(&next).Set(text); err != nil {
			errs = append(errs, fmt.Errorf("%s %q: %w", d.flag, text, err))
			continue
		}
		if change, differs := d.compare(c, &next); differs {
			changed = append(changed, change)
			next.setOrigin(d.flag, Origin{kind: originAPI, name: by})
		}
	}
	if len(errs) == 0 {
		errs = append(errs, next.Validate())
	}
	if err := errors.Join(errs...); err != nil {
		return *c, nil, err
	}
	return next, changed, nil
}

// applicable says why Apply cannot change d.
func (d *definition) applicable() error {
	switch {
	case d.secret:
		return errors.New("is a secret: change it where it stands and reload")
	case !d.reload:
		return errors.New("needs a restart to change")
	}
	return nil
}

// setOrigin is for a Config whose origins are its own.
func (c *Config) setOrigin(flag string, o Origin) {
	if o == (Origin{}) {
		delete(c.origins, flag)
		return
	}
	if c.origins == nil {
		c.origins = make(map[string]Origin)
	}
	c.origins[flag] = o
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
