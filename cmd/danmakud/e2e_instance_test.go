package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// instance is a running danmakud.
type instance struct {
	t       *testing.T
	cmd     *exec.Cmd
	public  []string // addresses from the log line "ready"
	packets []string // likewise, of --packet-listen
	control string   // "off" if there is none
	stderr  *lines
	http    *http.Client
	place   place

	waited sync.Once
	status int // exit status, after wait
}

// lines collects what a process writes, for many waiting readers.
type lines struct {
	mu      sync.Mutex
	changed *sync.Cond
	// Guarded by mu.
	all   []string
	ended bool
}

func (l *lines) collect(r io.Reader) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		l.mu.Lock()
		l.all = append(l.all, scanner.Text())
		l.mu.Unlock()
		l.changed.Broadcast()
	}
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.changed.Broadcast()
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all, "\n")
}

// count returns how many lines there are so far.
func (l *lines) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.all)
}

// record waits for the first log record with the given message.
func (l *lines) record(message string) (map[string]any, error) { return l.recordAfter(0, message) }

// recordAfter is record from a line on.
func (l *lines) recordAfter(next int, message string) (map[string]any, error) {
	expired := false
	guard := time.AfterFunc(patience, func() {
		l.mu.Lock()
		expired = true
		l.mu.Unlock()
		l.changed.Broadcast()
	})
	defer guard.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		for ; next < len(l.all); next++ {
			var record map[string]any
			if json.Unmarshal([]byte(l.all[next]), &record) == nil && record["msg"] == message {
				return record, nil
			}
		}
		if l.ended || expired {
			return nil, fmt.Errorf("no log record %q in:\n%s", message, strings.Join(l.all, "\n"))
		}
		l.changed.Wait()
	}
}

// startServer runs danmakud on free ports of 127.0.0.1. At the end of the test
// it is stopped by SIGTERM and must have ended well.
func startServer(t *testing.T, flags ...string) *instance {
	t.Helper()
	common := []string{"--listen=127.0.0.1:0", "--control=127.0.0.1:0", "--drain-time=1s"}
	s := launch(t, nil, append(common, flags...)...)
	s.awaitReady()
	return s
}

// A place runs a function where it may start processes and open sockets: here, or
// in a network namespace.
type place func(func() error) error

func here(f func() error) error { return f() }

// dial opens a TCP connection in the place.
func (p place) dial(address string) (conn net.Conn, err error) {
	err = p(func() error {
		conn, err = net.DialTimeout("tcp", address, patience)
		return err
	})
	return conn, err
}

// launch runs danmakud with exactly these arguments.
func launch(t *testing.T, environ []string, args ...string) *instance {
	t.Helper()
	return launchIn(t, here, environ, args...)
}

func launchIn(t *testing.T, where place, environ []string, args ...string) *instance {
	t.Helper()
	return launchCommand(t, where, environ, exec.Command(underTest(t), args...))
}

// launchWith runs danmakud with listening sockets handed over as a service manager
// does; names are separated by colons.
func launchWith(t *testing.T, environ []string, files []*os.File, names string, args ...string) *instance {
	t.Helper()
	// The process that gets the sockets must find its own number in LISTEN_PID.
	cmd := exec.Command("/bin/sh", append([]string{"-c", `LISTEN_PID=$$ exec "$0" "$@"`, underTest(t)}, args...)...)
	cmd.ExtraFiles = files
	return launchCommand(t, here, append(environ, fmt.Sprint("LISTEN_FDS=", len(files)), "LISTEN_FDNAMES="+names), cmd)
}

// launchCommand runs a command that becomes danmakud.
func launchCommand(t *testing.T, where place, environ []string, cmd *exec.Cmd) *instance {
	t.Helper()
	s := &instance{t: t, place: where, stderr: &lines{}, http: &http.Client{
		Timeout: patience,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext:       func(_ context.Context, _, address string) (net.Conn, error) { return where.dial(address) },
		},
	}}
	s.stderr.changed = sync.NewCond(&s.stderr.mu)
	s.cmd = cmd
	s.cmd.Env = environ
	pipe, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := where(s.cmd.Start); err != nil {
		t.Fatal(err)
	}
	collected := make(chan struct{})
	go func() {
		s.stderr.collect(pipe)
		close(collected)
	}()
	t.Cleanup(func() {
		s.stop()
		<-collected
	})
	return s
}

// awaitReady reads the addresses from the log.
func (s *instance) awaitReady() {
	s.t.Helper()
	ready, err := s.stderr.record("ready")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, address := range ready["listen"].([]any) {
		s.public = append(s.public, address.(string))
	}
	packets, _ := ready["packets"].([]any)
	for _, address := range packets {
		s.packets = append(s.packets, address.(string))
	}
	s.control, _ = ready["control"].(string) // echo has none
}

// wait returns the exit status of the process, which must end.
func (s *instance) wait() int {
	s.waited.Do(func() {
		guard := time.AfterFunc(patience, func() {
			s.t.Errorf("the server does not end:\n%s", s.stderr)
			s.cmd.Process.Kill()
		})
		defer guard.Stop()
		// Wait closes the pipe, so all that was written must be read before.
		s.stderr.mu.Lock()
		for !s.stderr.ended {
			s.stderr.changed.Wait()
		}
		s.stderr.mu.Unlock()
		err := s.cmd.Wait()
		var failed *exec.ExitError
		if err != nil && !errors.As(err, &failed) {
			s.t.Error(err)
		}
		s.status = s.cmd.ProcessState.ExitCode()
		if text := s.stderr.String(); strings.Contains(text, "DATA RACE") || strings.Contains(text, "panic") || strings.Contains(text, "goroutine ") {
			s.t.Errorf("the server reports a fault:\n%s", text)
		}
	})
	return s.status
}

// stop ends the server as an operator would, unless it has ended already.
func (s *instance) stop() {
	if s.cmd.ProcessState != nil {
		return
	}
	if err := s.signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.t.Error(err)
	}
	if status := s.wait(); status != exitOK {
		s.t.Errorf("exit status %d after SIGTERM:\n%s", status, s.stderr)
	}
}

func (s *instance) signal(sig os.Signal) error { return s.cmd.Process.Signal(sig) }

// get fetches a page, given as http://…
func (s *instance) get(url string) (*http.Response, string) {
	s.t.Helper()
	r, err := s.http.Get(url)
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return r, string(body)
}

// staleScrape is what a scrape takes at least that gave up waiting for a loop.
const staleScrape = 2 * time.Second

// metrics returns every sample of the control listener, by name with labels. A loop
// that does not answer a scrape within 2 s counts as it last did, so that one which
// took long may tell less than viewers have seen, and is made again.
func (s *instance) metrics() map[string]float64 {
	s.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		began := time.Now()
		samples := s.scrape()
		if now := time.Now(); now.Sub(began) < staleScrape || now.After(deadline) {
			return samples
		}
	}
}

func (s *instance) scrape() map[string]float64 {
	s.t.Helper()
	r, body := s.get("http://" + s.control + "/metrics")
	if r.StatusCode != http.StatusOK {
		s.t.Fatalf("/metrics answers %s", r.Status)
	}
	samples := make(map[string]float64)
	for line := range strings.Lines(body) {
		line = strings.TrimSpace(line)
		at := strings.LastIndexByte(line, ' ')
		if at < 0 || strings.HasPrefix(line, "#") {
			continue
		}
		v, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			s.t.Fatalf("metric line %q: %v", line, err)
		}
		samples[line[:at]] = v
	}
	return samples
}

// total sums a metric over its labels.
func total(samples map[string]float64, name string) (sum float64) {
	for key, v := range samples {
		if key == name || strings.HasPrefix(key, name+"{") {
			sum += v
		}
	}
	return sum
}

// awaitMetric waits until a metric, with its labels, has a value.
func (s *instance) awaitMetric(name string, want float64) {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		got := s.metrics()[name]
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s is %v, want %v", name, got, want)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// online returns the viewers of a room as the control listener tells; 0 if
// there is no such room.
func (s *instance) online(room string) int {
	s.t.Helper()
	r, body := s.get("http://" + s.control + "/v1/rooms/" + room)
	if r.StatusCode == http.StatusNotFound {
		return 0
	}
	var info struct{ Online int }
	if err := json.Unmarshal([]byte(body), &info); err != nil {
		s.t.Fatalf("%s: %v", body, err)
	}
	return info.Online
}

// awaitOnline waits until so many are in the room.
func (s *instance) awaitOnline(room string, want int) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		got := s.online(room)
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%d are online in %s, want %d", got, room, want)
		}
	}
}
