// Package natstest runs real NATS servers for tests: of each version that is on this
// machine, by itself or as a cluster, open or guarded, with or without JetStream. Tests
// alone import it.
//
//	natstest.Each(t, func(t *testing.T, b natstest.Binary) {
//		s := b.Start(t, natstest.Options{JetStream: true})
//		… s.URL() … s.Kill() … s.Restart()
//	})
//
// Start reading in server.go.
package natstest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Binary is a nats-server on this machine.
type Binary struct {
	Path    string
	Version string // "2.9.10"
}

// missing is why tests are skipped.
const missing = "skipped: no nats-server is installed (Debian's package nats-server, or make nats-server)"

// Find returns the nats-servers of this machine, one of each version: the one in PATH,
// Debian's, and what `make nats-server` built into out/.
func Find() []Binary { return found() }

var found = sync.OnceValue(func() []Binary {
	var paths []string
	if path, err := exec.LookPath("nats-server"); err == nil {
		paths = append(paths, path)
	}
	paths = append(paths, "/usr/sbin/nats-server") // not in the PATH of everybody
	if root := repository(); root != "" {
		paths = append(paths, filepath.Join(root, "out", "nats-server"))
	}
	var all []Binary
	known := map[string]bool{}
	for _, path := range paths {
		out, err := exec.Command(path, "--version").Output()
		if err != nil {
			continue
		}
		version := versionOf(string(out))
		if version == "" || known[version] {
			continue
		}
		known[version] = true
		all = append(all, Binary{Path: path, Version: version})
	}
	return all
})

// versionOf reads "nats-server: v2.9.10"; "" if it is another program's.
func versionOf(line string) string {
	version, ok := strings.CutPrefix(strings.TrimSpace(line), "nats-server: v")
	if !ok {
		return ""
	}
	return version
}

// repository is the folder of the main module's go.mod; "" outside of it.
func repository() string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

// Each runs f as a subtest with every nats-server of this machine, or skips the test.
func Each(t *testing.T, f func(t *testing.T, b Binary)) {
	t.Helper()
	all := Find()
	if len(all) == 0 {
		t.Skip(missing)
	}
	for _, b := range all {
		t.Run(b.Version, func(t *testing.T) { f(t, b) })
	}
}

// Newest is the latest of them; without one the test is skipped.
func Newest(t testing.TB) Binary {
	t.Helper()
	var newest Binary
	for _, b := range Find() {
		if newest.Path == "" || b.AtLeast(newest.Version) {
			newest = b
		}
	}
	if newest.Path == "" {
		t.Skip(missing)
	}
	return newest
}

// AtLeast reports whether it is that version or a later one.
func (b Binary) AtLeast(version string) bool {
	own, other := numbers(b.Version), numbers(version)
	for i := range own {
		if own[i] != other[i] {
			return own[i] > other[i]
		}
	}
	return true
}

// numbers are the three of a version; what is behind them (-RC.1) does not count.
func numbers(version string) (n [3]int) {
	version, _, _ = strings.Cut(version, "-")
	for i, part := range strings.SplitN(version, ".", 3) {
		n[i], _ = strconv.Atoi(part)
	}
	return n
}

func (b Binary) String() string { return fmt.Sprintf("nats-server %s (%s)", b.Version, b.Path) }
