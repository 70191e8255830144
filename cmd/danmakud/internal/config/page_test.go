package config

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

// update writes the files that are made from the table: make generate.
var update = flag.Bool("update", false, "write generated files instead of comparing them")

const pageHead = `# Settings

Made from the table of settings by ` + "`make generate`" + `; a test compares. [operations.md](operations.md) says how settings are given
and how secrets are; ` + "`danmakud config`" + ` prints what holds and where it came from.

A setting ` + "`max-rooms`" + ` is the flag ` + "`--max-rooms`" + `, the variable ` + "`DANMAKUD_MAX_ROOMS`" + ` and the key ` + "`max-rooms`" + ` of the file. Kinds: a
duration has a unit (` + "`100ms`, `1m30s`" + `), bytes are a number or have one (` + "`64KiB`, `2MiB`" + `), a rate is a number a second, a
list is separated by commas (in the file: an array of strings). *Reload* says whether SIGHUP and the control API
change it in a running server; the others need a restart.
`

// page is docs/configuration.md.
func page() string {
	var b strings.Builder
	b.WriteString(pageHead)
	for _, s := range sections {
		if len(s.definitions) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n\n| Setting | Kind | Default | Reload | What |\n|---|---|---|---|---|\n", s.title)
		for _, d := range s.definitions {
			reload, def := "", ""
			if d.reload {
				reload = "yes"
			}
			if d.def != "" {
				def = "`" + d.def + "`"
			}
			kind := d.value(new(Config)).Type()
			if d.secret {
				kind += ", secret"
			}
			help := strings.NewReplacer("`", "", "|", `\|`, "*", `\*`, "<", "&lt;").Replace(d.help)
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", d.flag, kind, def, reload, help)
		}
	}
	return b.String()
}

// TestGenerated: what is made from the table is as the table is now.
func TestGenerated(t *testing.T) {
	var example bytes.Buffer
	if err := WriteExample(&example); err != nil {
		t.Fatal(err)
	}
	const root = "../../../../"
	for path, want := range map[string]string{
		root + "docs/configuration.md":        page(),
		root + "deploy/danmakud.example.toml": example.String(),
	} {
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s is not what the table of settings says: run make generate (%v)", strings.TrimPrefix(path, root), err)
		}
	}
}
