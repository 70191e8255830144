package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// jsDir is the JavaScript client.
const jsDir = "../../clients/js"

// TestJavaScriptClient runs the tests of the JavaScript client, those against a
// real server included (make js runs the same, and checks the types).
func TestJavaScriptClient(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	version, err := exec.Command(node, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	if regexp.MustCompile(`^v(\d|1\d)\.`).Match(version) {
		t.Skipf("node %s is older than 20", strings.TrimSpace(string(version)))
	}
	lookAtScripts(t)
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "test/run.sh", underTest(t))
	cmd.Dir = jsDir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if !regexp.MustCompile(`pass [1-9]\d`).Match(out) || strings.Contains(string(out), "does not name the server") {
		t.Errorf("the tests did not run:\n%s", out)
	}
}

// lookAtScripts makes the result depend on the client and its tests, as
// lookAtSources does for the server.
func lookAtScripts(t *testing.T) {
	t.Helper()
	for _, pattern := range []string{"*", "test/*"} {
		names, err := filepath.Glob(filepath.Join(jsDir, pattern))
		if err != nil || len(names) == 0 {
			t.Fatalf("%d files in %s: %v", len(names), pattern, err)
		}
		for _, name := range names {
			if _, err := os.Stat(name); err != nil {
				t.Fatal(err)
			}
		}
	}
}
