package config

import (
	"errors"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
	"github.com/spf13/pflag"
)

// file sets every setting that stands in a TOML file and was not set before. Keys
// are the names of flags. Lists are arrays of strings; durations and sizes with a
// unit are strings, numbers are numbers. The error names the file and for every
// entry that cannot be used its line: an unknown key and a value of the wrong type
// too, since a setting that is silently left out is found too late.
func (l *loader) file(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	entries, err := parseFile(data)
	if err != nil {
		return prefixLines(path, err)
	}
	var errs []error
	for _, e := range entries {
		set, err := e.set(l.fs)
		if err != nil {
			errs = append(errs, fmt.Errorf("%d: %s: %w", e.line, e.key, err))
		} else if set {
			l.origins[e.key] = Origin{kind: originFile, name: path, line: e.line}
		}
	}
	return prefixLines(path, errors.Join(errs...))
}

// prefixLines puts the file's name in front of every line of err.
func prefixLines(path string, err error) error {
	if err == nil {
		return nil
	}
	lines := strings.Split(err.Error(), "\n")
	return errors.New(path + ":" + strings.Join(lines, "\n"+path+":"))
}

// entry is one key of a file.
type entry struct {
	key   string
	line  int
	value any
}

// parseFile returns the top-level keys in the order of their lines. Its errors
// begin with the line.
func parseFile(data []byte) ([]entry, error) {
	var values map[string]any
	lines, err := keyLines(data)
	if err != nil {
		return nil, err
	}
	if err := toml.Unmarshal(data, &values); err != nil {
		var bad *toml.DecodeError
		if errors.As(err, &bad) {
			line, column := bad.Position()
			return nil, fmt.Errorf("%d: column %d: %s", line, column, strings.TrimPrefix(bad.Error(), "toml: "))
		}
		return nil, fmt.Errorf("1: %w", err)
	}
	entries := make([]entry, 0, len(values))
	for key, value := range values {
		entries = append(entries, entry{key, lines[key], value})
	}
	sort.Slice(entries, func(i, k int) bool { return entries[i].line < entries[k].line })
	return entries, nil
}

// keyLines returns the line of each top-level key. What is no TOML is left for
// the decoder, whose words about it are better; a key that stands twice is not,
// since the decoder does not say where.
func keyLines(data []byte) (map[string]int, error) {
	lines := make(map[string]int)
	var p unstable.Parser
	p.Reset(data)
	for p.NextExpression() {
		e := p.Expression()
		if e.Kind != unstable.KeyValue && e.Kind != unstable.Table && e.Kind != unstable.ArrayTable {
			continue
		}
		parts := e.Key()
		if !parts.Next() {
			continue
		}
		key, line := string(parts.Node().Data), p.Shape(parts.Node().Raw).Start.Line
		if first, ok := lines[key]; ok && parts.IsLast() {
			return nil, fmt.Errorf("%d: %s: stands in line %d already", line, key, first)
		}
		lines[key] = line
		if e.Kind != unstable.KeyValue || !parts.IsLast() {
			return nil, fmt.Errorf("%d: %s: there are no tables here, keys are names of flags", line, key)
		}
	}
	return lines, nil
}

// set puts the entry into its setting, unless that has a value already.
func (e entry) set(fs *pflag.FlagSet) (done bool, err error) {
	f := fs.Lookup(e.key)
	switch {
	case f == nil || !inTable(e.key):
		return false, errors.New("is no setting")
	case e.key == fileFlag:
		return false, errors.New("cannot be set in a file")
	}
	text, err := e.text(f.Value.Type())
	if err != nil || f.Changed {
		return false, err
	}
	if err := f.Value.Set(text); err != nil {
		return false, fmt.Errorf("%q: %w", text, err)
	}
	f.Changed = true
	return true, nil
}

// text returns the value as it would be typed on the command line.
func (e entry) text(kind string) (string, error) {
	switch v := e.value.(type) {
	case string:
		if kind != "number" && kind != "rate" && kind != "bool" && kind != "list" {
			return v, nil
		}
	case bool:
		if kind == "bool" {
			return strconv.FormatBool(v), nil
		}
	case int64:
		if kind == "number" || kind == "rate" || kind == "bytes" {
			return strconv.FormatInt(v, 10), nil
		}
	case float64:
		if kind == "rate" {
			return strconv.FormatFloat(v, 'g', -1, 64), nil
		}
	case []any:
		if kind == "list" {
			return joinStrings(v)
		}
	}
	return "", fmt.Errorf("want %s, got %s", wantedKinds[kind], kindName(e.value))
}

func joinStrings(values []any) (string, error) {
	texts := make([]string, len(values))
	for i, v := range values {
		text, ok := v.(string)
		if !ok {
			return "", fmt.Errorf("want %s, got an array with %s", wantedKinds["list"], kindName(v))
		}
		if strings.Contains(text, ",") { // which would make two of it
			return "", fmt.Errorf("%q: want one value in each element of the array, without commas", text)
		}
		texts[i] = text
	}
	return strings.Join(texts, ","), nil
}

// wantedKinds says for each pflag.Value's Type how it is written in TOML.
var wantedKinds = map[string]string{
	"string":   "a string",
	"duration": `a string such as "10s"`,
	"bytes":    `a number of bytes, or a string such as "64KiB"`,
	"bool":     "true or false",
	"number":   "a whole number",
	"rate":     "a number",
	"list":     "an array of strings",
}

func kindName(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case bool:
		return "true or false"
	case int64:
		return "a whole number"
	case float64:
		return "a number with a fraction"
	case []any:
		return "an array"
	case map[string]any:
		return "a table"
	case time.Time, toml.LocalDate, toml.LocalDateTime, toml.LocalTime:
		return "a date or time"
	}
	return "something else"
}
