package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A secret is given as text like every setting. Instead of itself the text may name
// where it is:
//
//	file:PATH                          the file's content, without the newline at its end
//	$CREDENTIALS_DIRECTORY/SETTING     when no other source has it (systemd's LoadCredential=)
//
// Files are read again on SIGHUP. In a list each element may be file:PATH, with a
// secret on each line of the file.

const (
	// hidden stands for a secret wherever it would be shown.
	hidden = "(secret)"
	// secretFile begins a text that names a file.
	secretFile = "file:"
	secretMax  = 64 << 10 // bytes of a file with secrets
)

// secretText is the flag of a secret: it keeps the text as it was given until Load
// has heard all sources, and never shows it, also not in an error of the flag
// library.
type secretText struct {
	kind string // Type of the setting's own value
	text string
	set  bool
}

func (v *secretText) Set(s string) error {
	if v.kind == "list" && v.set && s != "" {
		s = v.text + "," + s
	}
	v.text, v.set = s, true
	return nil
}

func (v *secretText) String() string {
	if v == nil || v.text == "" {
		return ""
	}
	return hidden
}

func (v *secretText) Type() string { return v.kind }

// items are the texts of which a list has several.
func (v *secretText) items() []string {
	if v.kind == "list" {
		return strings.Split(v.text, ",")
	}
	return []string{v.text}
}

// names reports whether any of it is in a file.
func (v *secretText) names() bool {
	return slices.ContainsFunc(v.items(), func(item string) bool { return strings.HasPrefix(strings.TrimSpace(item), secretFile) })
}

// secrets puts every secret that was given into the configuration.
func (l *loader) secrets() error {
	var errs []error
	for _, d := range table {
		v, ok := l.fs.Lookup(d.flag).Value.(*secretText)
		if !ok || !v.set {
			continue
		}
		text, err := v.open()
		if err == nil {
			err = d.value(l.config).Set(text)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", l.origins[d.flag].subject(d.flag), err))
		}
	}
	return errors.Join(errs...)
}

// open returns the secret, or those of a list separated by commas. No error has any
// part of it.
func (v *secretText) open() (string, error) {
	var opened []string
	for _, item := range v.items() {
		path, named := strings.CutPrefix(strings.TrimSpace(item), secretFile)
		if !named {
			opened = append(opened, item)
			continue
		}
		text, err := readSecret(path)
		if err != nil {
			return "", err
		}
		if v.kind == "list" {
			if strings.Contains(text, ",") {
				return "", fmt.Errorf("%s: want a secret on each line, without commas", path)
			}
			text = strings.Join(strings.Fields(text), ",")
		}
		opened = append(opened, text)
	}
	return strings.Join(opened, ","), nil
}

func readSecret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, secretMax+1))
	text := strings.TrimRight(string(data), "\r\n")
	switch {
	case err != nil:
		return "", err
	case len(data) > secretMax:
		return "", fmt.Errorf("%s: a secret has at most %d bytes", path, secretMax)
	case text == "":
		return "", fmt.Errorf("%s: is empty", path)
	}
	return text, nil
}

// credentials takes the secrets that were not set before from the directory in which
// the service manager puts them, a file for each setting.
func (l *loader) credentials(dir string) {
	for _, d := range table {
		f := l.fs.Lookup(d.flag)
		path := filepath.Join(dir, d.flag)
		if !d.secret || f.Changed {
			continue
		}
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		f.Value.Set(secretFile + path) // a secretText takes any text
		f.Changed = true
		l.origins[d.flag] = Origin{kind: originCredential, name: d.flag}
	}
}

// exposed says which secrets others on this host can read.
func (l *loader) exposed() []string {
	var warnings []string
	for _, d := range table {
		value := l.fs.Lookup(d.flag).Value
		if secret, ok := value.(*secretText); ok && secret.set {
			warnings = append(warnings, secret.exposed(d.flag, l.origins[d.flag])...)
		}
		if path := value.String(); d.private && path != "" {
			warnings = append(warnings, exposedFile(path, d.flag)...)
		}
	}
	return warnings
}

func (v *secretText) exposed(flag string, origin Origin) []string {
	var warnings []string
	for _, item := range v.items() {
		path, named := strings.CutPrefix(strings.TrimSpace(item), secretFile)
		switch {
		case named:
			warnings = append(warnings, exposedFile(path, flag)...)
		case item == "":
		case origin.kind == originFile:
			warnings = append(warnings, exposedFile(origin.name, flag)...)
		case origin.kind == originCommandLine:
			warnings = append(warnings, fmt.Sprintf("--%s: everybody on this host can read a command line; give file:PATH or use %s", flag, Env(flag)))
		}
	}
	return warnings
}

func exposedFile(path, flag string) []string {
	info, err := os.Stat(path)
	if err != nil || !tooOpen(info.Mode()) {
		return nil
	}
	return []string{fmt.Sprintf("%s: has %s and mode %04o: others can read or change it; chmod 0600 or 0640 it", path, flag, info.Mode().Perm())}
}

// tooOpen: those who are neither the owner nor of the group have any right, or the
// group may write.
func tooOpen(mode fs.FileMode) bool { return mode.Perm()&0o027 != 0 }
