//go:build linux

package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
)

// TestMain serves as a worker process when a test starts one, and looks for
// goroutines and open files left behind when all tests are done.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == hiddenWorker {
		if err := workerMain(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	// The loads of these tests mostly wait, so more of them fit side by side
	// than there are cores.
	_ = flag.Set("test.parallel", "6")
	goroutines, files := runtime.NumGoroutine(), openFiles()
	code := m.Run()
	if code == 0 {
		code = leaks(goroutines, files)
	}
	os.Exit(code)
}

// leaks waits for the counts to come back to what they were.
func leaks(goroutines int, files []string) int {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		g, f := runtime.NumGoroutine(), openFiles()
		if g <= goroutines && len(f) <= len(files) {
			return 0
		}
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "left behind: goroutines %d to %d, open files %q to %q\n%s\n",
				goroutines, g, files, f, stacks[:runtime.Stack(stacks, true)])
			return 1
		}
	}
}

// openFiles counts the process's descriptors but the one that looks, and
// those of the Go runtime, which opens its own when it first needs them.
func openFiles() (links []string) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		switch link, err := os.Readlink("/proc/self/fd/" + e.Name()); {
		case err != nil: // the directory that was read, closed by now
		case link == "anon_inode:[eventpoll]", link == "anon_inode:[eventfd]", link == "anon_inode:[pidfd]":
			// Our own loops' are counted by their sockets and goroutines.
		default:
			links = append(links, link)
		}
	}
	return links
}
