package main

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
)

// update writes the pages: make generate.
var update = flag.Bool("update", false, "write generated files instead of comparing them")

const manFolder = repository + "/deploy/man"

// manDate is of the release that the pages belong to. Without one they would differ
// from month to month.
var manDate = time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)

// writeMan makes a page for each command below dir.
func writeMan(t *testing.T, dir string) {
	t.Helper()
	p := newTrial(t, nil).program
	root := p.rootCommand()
	root.DisableAutoGenTag = true
	root.CompletionOptions.DisableDefaultCmd = true // its pages would tell what its help tells
	escape := strings.NewReplacer(`*`, `\*`, `<`, `\<`)
	var prepare func(c *cobra.Command)
	prepare = func(c *cobra.Command) {
		c.Flags().VisitAll(func(f *pflag.Flag) { f.Usage = escape.Replace(f.Usage) })
		for _, below := range c.Commands() {
			prepare(below)
		}
	}
	prepare(root)
	header := &doc.GenManHeader{Section: "1", Date: &manDate, Source: "danmakud", Manual: "danmakud"}
	if err := doc.GenManTree(root, header, dir); err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(dir + "/*.1")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range pages {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text = manOption.ReplaceAll(text, []byte(".TP\n$1\n$2\n"))
		text = bytes.Replace(text, []byte(manDate.Format(`"Jan 2006"`)), []byte(manDate.Format(`"2006-01-02"`)), 1)
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// manOption is an option as the library writes it, its text behind a tab, which
// formatters complain about. A tagged paragraph is what it should be.
var manOption = regexp.MustCompile(`(?m)^(?:\.PP\n)?(\\fB-.*)\n\t(.*)\n`)

// TestGenerated: the pages are what the commands say now.
func TestGenerated(t *testing.T) {
	if *update {
		writeMan(t, manFolder)
		return
	}
	dir := t.TempDir()
	writeMan(t, dir)
	made, err := filepath.Glob(dir + "/*.1")
	if err != nil || len(made) < 6 {
		t.Fatalf("pages %q, %v", made, err)
	}
	for _, path := range made {
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(path)
		if got, err := os.ReadFile(filepath.Join(manFolder, name)); err != nil || string(got) != string(want) {
			t.Errorf("deploy/man/%s is not what the command says: run make generate (%v)", name, err)
		}
	}
	if kept, _ := filepath.Glob(manFolder + "/*"); len(kept) != len(made) {
		t.Errorf("%d pages are kept, %d made", len(kept), len(made))
	}
}

// TestManPagesAreSound asks what formatters there are.
func TestManPagesAreSound(t *testing.T) {
	pages, err := filepath.Glob(manFolder + "/*.1")
	if err != nil || len(pages) == 0 {
		t.Fatal(err)
	}
	for _, tc := range [][]string{
		{"groff", "-man", "-ww", "-Tutf8", "-z"},
		{"mandoc", "-Tlint", "-Wwarning"},
	} {
		if _, err := exec.LookPath(tc[0]); err != nil {
			t.Logf("skipped: %s is not installed", tc[0])
			continue
		}
		out, err := exec.Command(tc[0], append(tc[1:], pages...)...).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", tc[0], err, out)
		}
	}
}

// TestCompletion: the scripts are shell, and settings are completed.
func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		tr := newTrial(t, nil, "completion", shell)
		if status := tr.run(); status != exitOK || !strings.Contains(tr.out.String(), "danmakud") {
			t.Errorf("%s: exit status %d", shell, status)
		}
		if _, err := exec.LookPath(shell); err != nil {
			t.Logf("skipped: %s is not installed", shell)
			continue
		}
		cmd := exec.Command(shell, "-n")
		cmd.Stdin = strings.NewReader(tr.out.String())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", shell, err, out)
		}
	}
	tr := newTrial(t, nil, "__complete", "serve", "--max-ro")
	if status := tr.run(); status != exitOK || !strings.Contains(tr.out.String(), "--max-rooms") {
		t.Errorf("exit status %d, %q", status, tr.out.String())
	}
	tr = newTrial(t, nil, "__complete", "config", "--format", "")
	if status := tr.run(); status != exitOK || !strings.Contains(tr.out.String(), "toml\n") {
		t.Errorf("exit status %d, %q", status, tr.out.String())
	}
}
