package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

const exampleHead = `# Settings of danmakud, all at their defaults. Keys are the names of flags; each can
# also be given as a flag (--max-rooms) or a variable (DANMAKUD_MAX_ROOMS), which win
# over this file. Times are strings with a unit, sizes are bytes or strings such as
# "64KiB", lists are arrays of strings. What a running server takes over on SIGHUP is
# marked (reload). A secret may be given as "file:PATH".
#
# danmakud config --check FILE says what is wrong with a file.
`

// exampleWidth is the longest line of a comment.
const exampleWidth = 88

// WriteExample writes a file that has every setting at its default, commented out.
func WriteExample(w io.Writer) error {
	var b strings.Builder
	b.WriteString(exampleHead)
	for _, s := range sections {
		if len(s.definitions) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n# --- %s ---\n", s.title)
		for _, d := range s.definitions {
			if d.flag != fileFlag {
				d.writeExample(&b)
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (d *definition) writeExample(b *strings.Builder) {
	help := strings.ReplaceAll(d.help, "`", "")
	if d.reload {
		help += " (reload)"
	}
	b.WriteString("\n")
	for _, line := range wrapped(help, exampleWidth-len("# ")) {
		b.WriteString("# " + line + "\n")
	}
	fmt.Fprintf(b, "#%s = %s\n", d.flag, tomlValue(d.value(new(Config)).Type(), d.def))
}

// WriteTOML writes the settings in force as a file, each with its origin behind it.
// Secrets are left as comments.
func (c *Config) WriteTOML(w io.Writer) error {
	var b strings.Builder
	for _, s := range c.List() {
		if s.Secret || s.Name == fileFlag {
			b.WriteString("# ")
		}
		fmt.Fprintf(&b, "%s = %s # %s\n", s.Name, tomlValue(s.Kind, s.Value), s.Origin)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// tomlValue writes a setting's text as TOML.
func tomlValue(kind, text string) string {
	switch kind {
	case "number", "rate", "bool":
		return text
	case "bytes":
		if strings.Trim(text, "0123456789") == "" {
			return text
		}
	case "list":
		var items []string
		for _, item := range strings.Split(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, tomlString(item))
			}
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	return tomlString(text)
}

// tomlString quotes text. What JSON escapes, TOML reads the same way.
func tomlString(text string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.Encode(text) // a string cannot fail
	return strings.ReplaceAll(strings.TrimSuffix(b.String(), "\n"), "\x7f", `\u007f`)
}

// wrapped breaks text at spaces into lines of at most width.
func wrapped(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
