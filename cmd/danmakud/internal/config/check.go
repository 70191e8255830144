package config

import (
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/pflag"
)

// Check reads a file as a server would that is given nothing else. Problems are what
// would keep that from starting, warnings what is unwise; each is one line that
// begins with the file and, where that is known, its line.
func Check(path string) (problems, warnings []string) {
	var c Config
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	c.Bind(fs)
	l := newLoader(&c, fs)
	if err := l.file(path); err != nil {
		problems = strings.Split(err.Error(), "\n")
	}
	warnings, err := l.finish()
	if err != nil {
		problems = append(problems, strings.Split(err.Error(), "\n")...)
	}
	for _, d := range table {
		if d.check == nil {
			continue
		}
		if err := d.check(&c); err != nil {
			for _, text := range strings.Split(err.Error(), "\n") {
				problems = append(problems, c.located(path, d.flag, text))
			}
		}
	}
	problems = append(problems, c.missing(path)...)
	for _, a := range c.Advice() {
		warnings = append(warnings, c.located(path, a.Flag, a.String()))
	}
	return problems, warnings
}

// missing says which files, of those that a server reads before it starts, it could
// not read.
func (c *Config) missing(path string) (problems []string) {
	if _, err := c.ReadControlKeys(); err != nil {
		problems = append(problems, c.located(path, "control-keys", err.Error()))
	}
	for _, named := range []struct {
		flag  string
		paths []string
	}{{"token-key", c.TokenKeys}, {"jwks", []string{c.JWKS}}, {"words", []string{c.Words}}} {
		for _, name := range named.paths {
			if name == "" {
				continue
			}
			f, err := os.Open(name)
			if err != nil {
				problems = append(problems, c.located(path, named.flag, named.flag+": "+err.Error()))
				continue
			}
			f.Close() // nothing was written
		}
	}
	return problems
}

// flagName is a setting in the words of a check, which speaks of flags.
var flagName = regexp.MustCompile(`--[a-z][a-z0-9-]*`)

// located puts the line before text that the setting stands on, or else another one
// that the text names, and calls settings what the file calls them.
func (c *Config) located(path, flag, text string) string {
	line := c.Origin(flag).line
	text = flagName.ReplaceAllStringFunc(text, func(name string) string {
		name = name[2:]
		if line == 0 {
			line = c.Origin(name).line
		}
		return name
	})
	if line == 0 { // what is wrong is what the file does not have
		return fmt.Sprintf("%s: %s", path, text)
	}
	return fmt.Sprintf("%s:%d: %s", path, line, text)
}
