package server

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
)

// TestMain fails the run when goroutines or files are left behind.
func TestMain(m *testing.M) {
	flag.Parse()
	// The parallel ones wait for clocks of the server, so more of them fit side by
	// side than there are cores.
	_ = flag.Set("test.parallel", "8")
	goroutines, files := runtime.NumGoroutine(), openFiles()
	code := m.Run()
	if flag.Lookup("test.fuzz").Value.String() != "" {
		os.Exit(code) // the fuzzer listens for signals, for good
	}
	// What was closed last may still be on its way out.
	for range 1500 {
		if runtime.NumGoroutine() <= goroutines && openFiles() <= files {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > goroutines && code == 0 {
		buf := make([]byte, 1<<20)
		fmt.Printf("%d goroutines left, %d at start\n%s\n", n, goroutines, buf[:runtime.Stack(buf, true)])
		code = 1
	}
	if n := openFiles(); n > files && code == 0 {
		fmt.Printf("%d files left open, %d at start\n", n, files)
		code = 1
	}
	os.Exit(code)
}

// openFiles counts descriptors where the system lists them, else returns 0. The
// runtime's own poller, made at first use, is not the tests' fault.
func openFiles() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	n := 0
	for _, e := range entries {
		switch target, _ := os.Readlink("/proc/self/fd/" + e.Name()); target {
		case "anon_inode:[eventpoll]", "anon_inode:[eventfd]":
		default:
			n++
		}
	}
	return n
}
