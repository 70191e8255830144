package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestDocumentedCalls runs the examples of docs/api.md, in their order.
func TestDocumentedCalls(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("skipped: curl is not installed")
	}
	text, err := os.ReadFile(filepath.Join(repository, "docs/api.md"))
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	script.WriteString("set -eu\ncurl() { echo \"$@\" >&2; command curl -sS --fail-with-body --max-time 60 \"$@\"; }\n")
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		script.WriteString(block[1])
	}
	if n := strings.Count(script.String(), "\ncurl -H"); n < 30 {
		t.Fatalf("only %d examples found", n)
	}
	s := startServer(t, "--control-key=sesame", "--data="+t.TempDir())
	cmd := exec.Command("/bin/sh", "-c", strings.ReplaceAll(script.String(), "127.0.0.1:8081", s.control))
	cmd.Env = append(os.Environ(), "KEY=sesame")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, out[max(0, len(out)-2000):])
	}
}

// withKey asks the control API and returns the status.
func (s *instance) withKey(method, path, key, body string) int {
	s.t.Helper()
	r, err := http.NewRequest(method, "http://"+s.control+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}

// TestControlKeys: keys from the flag and a file, roles, and a reload of the file: a
// good one is taken over, a bad one leaves all as it was.
func TestControlKeys(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.toml")
	write := func(name, role, key string) {
		text := fmt.Sprintf("[[key]]\nname = %q\nrole = %q\nkey = %q\n", name, role, key)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("shop", "publisher", "one")
	s := startServer(t, "--control-key=sesame", "--control-keys="+path)
	viewer := s.join("a")
	for _, tc := range []struct {
		key  string
		want int
	}{{"", 401}, {"wrong", 401}, {"one", 200}, {"sesame", 200}} {
		if got := s.withKey("POST", "/v1/rooms/a/comments", tc.key, `{"text":"hello"}`); got != tc.want {
			t.Errorf("key %q: %d, want %d", tc.key, got, tc.want)
		}
	}
	viewer.until("batch")
	if got := s.withKey("POST", "/v1/rooms/a/clear", "one", ""); got != 403 {
		t.Errorf("a publisher clears: %d", got)
	}
	if got := s.withKey("GET", "/metrics", "", ""); got != 200 {
		t.Errorf("metrics: %d", got)
	}
	write("shop", "king", "two")
	s.signal(syscall.SIGHUP)
	if _, err := s.stderr.record("settings not reloaded, all stay as they were"); err != nil {
		t.Fatal(err)
	}
	if one, two := s.withKey("GET", "/v1/rooms", "one", ""), s.withKey("GET", "/v1/rooms", "two", ""); one != 200 || two != 401 {
		t.Errorf("after a bad file: %d, %d", one, two)
	}
	write("shop", "reader", "two")
	s.signal(syscall.SIGHUP)
	if _, err := s.stderr.record("settings reloaded"); err != nil {
		t.Fatal(err)
	}
	if one, two := s.withKey("GET", "/v1/rooms", "one", ""), s.withKey("GET", "/v1/rooms", "two", ""); one != 401 || two != 200 {
		t.Errorf("after a good file: %d, %d", one, two)
	}
	if strings.Contains(s.stderr.String(), "sesame") {
		t.Error("the log has the key")
	}
}
