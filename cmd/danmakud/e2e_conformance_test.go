package main

import (
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/conformance"
)

// conformanceClients talk at one time: enough to hide that most of them wait.
const conformanceClients = 32

// TestConformanceEcho runs the table against danmakud echo.
func TestConformanceEcho(t *testing.T) {
	t.Parallel()
	s := startEcho(t, "--max-message="+strconv.Itoa(conformance.MessageLimit))
	conform(t, s, conformance.Echo, func(conformance.Case) string { return "/" })
}

// TestConformanceServe runs what is no matter of the application against danmakud
// serve. Each case has a room of its own.
func TestConformanceServe(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--comment-rate=0", "--pending-bytes=8MiB", "--max-message="+strconv.Itoa(conformance.MessageLimit))
	conform(t, s, conformance.Serve, func(c conformance.Case) string { return "/ws/case-" + c.Number })
}

// conform runs all cases of a target, many at a time.
func conform(t *testing.T, s *instance, on conformance.Target, path func(conformance.Case) string) {
	t.Helper()
	var all []conformance.Case
	for _, c := range conformance.Cases() {
		if c.On&on != 0 {
			all = append(all, c)
		}
	}
	var next, failed atomic.Int64
	var clients sync.WaitGroup
	for range conformanceClients {
		clients.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(all); i = next.Add(1) - 1 {
				c := &all[i]
				if err := c.Dial(s.public[0], path(*c), on, patience); err != nil {
					failed.Add(1)
					t.Errorf("%s %s (RFC %s): %v", c.Number, c.Name, c.Rule, err)
				}
			}
		})
	}
	clients.Wait()
	for _, l := range conformance.Summary(all) {
		t.Log(l)
	}
	t.Logf("%d cases run, %d failed, %d at a time on %d processors", len(all), failed.Load(), conformanceClients, runtime.GOMAXPROCS(0))
}

// TestConformanceIsNotInTheBinary: the table is for tests alone.
func TestConformanceIsNotInTheBinary(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	if deps := string(out); !strings.Contains(deps, "/internal/echo\n") || strings.Contains(deps, "/internal/conformance\n") {
		t.Errorf("the binary is made of:\n%s", deps)
	}
}
