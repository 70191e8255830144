package main

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"
)

// The end-to-end tests (e2e_*_test.go) run the real binary on real sockets:
//
//	underTest ── go build, once ──► binary (with -race and -tags verify if the tests have them)
//	startServer(t, flags) ── port 0, log line "ready" ──► instance (e2e_instance_test.go)
//	instance.join(room) ──► viewer: our own client side of RFC 6455 (e2e_viewer_test.go)
//
// No test measures time; patience only guards against hanging for ever.

// patience is how long a test waits for something that must come.
const patience = 60 * time.Second

// buildFlags are those of the binary under test; build tags of the tests add to them.
var buildFlags []string

// buildDir is where the binary under test is built.
var buildDir string

// underTest returns the path of the real binary, which is built when the first
// test asks for it.
func underTest(t *testing.T) string {
	t.Helper()
	path, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var buildOnce = sync.OnceValues(func() (string, error) {
	if err := lookAtSources(); err != nil {
		return "", err
	}
	path := filepath.Join(buildDir, "danmakud")
	args := append([]string{"build", "-o", path}, buildFlags...)
	if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// lookAtSources makes the results of tests that run the binary depend on all of
// its source: the go command keeps a result until a file the test looked at has
// changed, and does not know that the test builds something.
func lookAtSources() error {
	return filepath.WalkDir(repository, func(path string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".go" {
			_, err = os.Stat(path)
		}
		if os.IsNotExist(err) { // a build beside us removed it
			return nil
		}
		return err
	})
}

func TestMain(m *testing.M) {
	flag.Parse()
	// The parallel ones wait for clocks of servers, so more of them fit side by side
	// than there are cores.
	_ = flag.Set("test.parallel", "4")
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "danmakud-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	buildDir = dir
	goroutines, files := runtime.NumGoroutine(), openFiles()
	status := m.Run()
	if status == 0 && leaked(goroutines, files) {
		return 1
	}
	return status
}

// leaked reports, after some time to settle, whether the tests left goroutines
// or open files behind.
func leaked(goroutines, files int) bool {
	deadline := time.Now().Add(patience)
	for runtime.NumGoroutine() > goroutines || openFiles() > files {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "leak: %d goroutines (%d before), %d files (%d before)\n%s\n",
				runtime.NumGoroutine(), goroutines, openFiles(), files, buf[:runtime.Stack(buf, true)])
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

// openFiles counts the open files of this process, where the system tells.
func openFiles() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}
