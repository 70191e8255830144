package dashboard

import (
	"io/fs"
	"path"
	"regexp"
	"strings"
	"testing"
)

// sources gives every file of the page by its path.
func sources(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := fs.WalkDir(Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(Files, name)
		all[name] = string(body)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 || all["index.html"] == "" {
		t.Fatalf("only %d files are embedded", len(all))
	}
	return all
}

// TestNothingForeign: no address of another origin, and nothing inline that the
// policy would stop.
func TestNothingForeign(t *testing.T) {
	for name, body := range sources(t) {
		for _, m := range regexp.MustCompile(`(?i)(https?:|wss?:)?//[a-z0-9.-]+\.[a-z]{2,}`).FindAllString(body, -1) {
			if m != "http://www.w3.org" { // a name, not an address
				t.Errorf("%s refers to %s", name, m)
			}
		}
	}
	html := sources(t)["index.html"]
	for what, pattern := range map[string]string{
		"inline script": `<script[^>]*>[^<]`, "inline style": `<style|\sstyle=`, "inline handler": `\son[a-z]+=`, "javascript: address": `javascript:`,
	} {
		if m := regexp.MustCompile(`(?i)` + pattern).FindString(html); m != "" {
			t.Errorf("index.html has an %s: %q", what, m)
		}
	}
}

// TestNoMarkupFromStrings: scripts have no way to turn a string into markup or code.
func TestNoMarkupFromStrings(t *testing.T) {
	ways := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|setHTML|srcdoc|\beval\b|new Function|setAttribute\('on|localStorage`)
	for name, body := range sources(t) {
		if path.Ext(name) == ".js" {
			if m := ways.FindString(body); m != "" {
				t.Errorf("%s uses %s", name, m)
			}
		}
	}
}

// TestWhole: what the page and its modules refer to is embedded, and nothing else is.
func TestWhole(t *testing.T) {
	all := sources(t)
	wanted := map[string]bool{"index.html": true}
	for _, m := range regexp.MustCompile(`(?:href|src)="/(assets/[^"]+)"`).FindAllStringSubmatch(all["index.html"], -1) {
		wanted[m[1]] = true
	}
	for name, body := range all {
		for _, m := range regexp.MustCompile(`from '\./([a-z]+\.js)'`).FindAllStringSubmatch(body, -1) {
			wanted[path.Join(path.Dir(name), m[1])] = true
		}
	}
	for name := range wanted {
		if all[name] == "" {
			t.Errorf("%s is referred to and not there", name)
		}
	}
	for name := range all {
		if !wanted[name] {
			t.Errorf("%s is there and nothing refers to it", name)
		}
	}
}

// TestOnePlaceForCalls: every path of the API is in api.js.
func TestOnePlaceForCalls(t *testing.T) {
	for name, body := range sources(t) {
		if strings.Contains(body, "/v1/") != (name == "assets/api.js") {
			t.Errorf("%s: paths of the API belong into api.js", name)
		}
	}
}
