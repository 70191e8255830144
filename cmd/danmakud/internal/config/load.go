package config

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"
)

// loader is one pass over all sources. One goroutine, once.
type loader struct {
	config  *Config
	fs      *pflag.FlagSet // has a flag for every setting, bound to config
	origins map[string]Origin
}

func newLoader(c *Config, fs *pflag.FlagSet) *loader {
	return &loader{config: c, fs: fs, origins: make(map[string]Origin)}
}

// Load completes c after fs was parsed: from the environment, the credentials of
// the service manager, and the file that a flag or variable names. lookup is
// os.LookupEnv. The result is not validated.
func (c *Config) Load(fs *pflag.FlagSet, lookup func(string) (string, bool)) (Sources, error) {
	l := newLoader(c, fs)
	l.commandLine()
	if err := l.environment(lookup); err != nil {
		return Sources{}, err
	}
	if dir, ok := lookup("CREDENTIALS_DIRECTORY"); ok {
		l.credentials(dir)
	}
	s := Sources{path: c.File}
	s.fixed, s.named = l.given()
	if s.path != "" {
		if err := l.file(s.path); err != nil {
			return s, err
		}
	}
	var err error
	s.Warnings, err = l.finish()
	return s, err
}

// finish is what comes when all sources have spoken.
func (l *loader) finish() (warnings []string, err error) {
	l.config.origins = l.origins
	return l.exposed(), l.secrets()
}

// commandLine notes what the flags have set.
func (l *loader) commandLine() {
	for _, d := range table {
		if l.fs.Lookup(d.flag).Changed {
			l.origins[d.flag] = Origin{kind: originCommandLine}
		}
	}
}

// environment sets every setting that has a variable and was not set before. Lists
// are separated by commas. A variable that is present and empty counts as absent,
// since container tools like to pass such. The error names every variable that
// cannot be used.
func (l *loader) environment(lookup func(string) (string, bool)) error {
	var errs []error
	for _, d := range table {
		f := l.fs.Lookup(d.flag)
		text, ok := lookup(Env(d.flag))
		if f.Changed || !ok || text == "" {
			continue
		}
		// FlagSet.Set would mark the flag too, but its error text speaks of the
		// command line.
		if err := f.Value.Set(text); err != nil {
			errs = append(errs, fmt.Errorf("%s=%q: %w", Env(d.flag), text, err))
			continue
		}
		f.Changed = true
		l.origins[d.flag] = Origin{kind: originEnvironment, name: Env(d.flag)}
	}
	return errors.Join(errs...)
}

// given is what has been set so far, as text, and whether any of it names a file that
// is to be read again.
func (l *loader) given() (list []given, named bool) {
	for _, d := range table {
		f := l.fs.Lookup(d.flag)
		if !f.Changed {
			continue
		}
		text := f.Value.String()
		named = named || d.opens && text != ""
		if secret, ok := f.Value.(*secretText); ok {
			text = secret.text
			named = named || secret.names()
		}
		list = append(list, given{d.flag, text, l.origins[d.flag]})
	}
	return list, named
}
