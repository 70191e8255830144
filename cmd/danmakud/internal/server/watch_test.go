package server

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
)

// logged is what a server under test has logged.
type logged struct {
	mu sync.Mutex
	// Guarded by mu.
	b bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

// await waits until done answers true.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// supervisor is a fake service manager.
func supervisor(t *testing.T) *net.UnixConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return conn
}

// told returns what the manager was told since it was asked last. A few messages
// fit into its socket, the rest waits.
func told(conn *net.UnixConn) string {
	var all []byte
	buf := make([]byte, 4096)
	for {
		conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		n, err := conn.Read(buf)
		if err != nil {
			return string(all)
		}
		all = append(append(all, buf[:n]...), '\n')
	}
}

// TestStuckLoop: a loop that does not turn is logged once, told by /healthz and a
// gauge, and keeps the watchdog of the service manager from being fed; when it
// turns again, all of that ends.
func TestStuckLoop(t *testing.T) {
	fake := supervisor(t)
	t.Setenv("WATCHDOG_USEC", "200000")
	var out logged
	c := config.Default()
	c.Listen, c.Control, c.Loops = []string{"127.0.0.1:0"}, "127.0.0.1:0", 2
	c.Watchdog = 4 * time.Second // longer than a busy machine has a loop wait
	s, err := New(c, slog.New(slog.NewTextHandler(&out, nil)))
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.serve(ctx) }()
	health := func() (int, string) {
		r, err := http.Get("http://" + s.controlListener.Addr().String() + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(body)
	}
	fed := func() bool { return strings.Contains(told(fake), "WATCHDOG=1") }
	await(t, "the watchdog is fed", fed)
	if status, body := health(); status != http.StatusOK {
		t.Errorf("at the start: %d %s", status, body)
	}

	release := make(chan struct{})
	s.handlers[1].loop.Post(func() { <-release })
	await(t, "the stuck loop is noticed", func() bool { return s.watch.stuck.Load() == 1 })
	if status, body := health(); status != http.StatusServiceUnavailable || !strings.Contains(body, "loop 1 has not turned") {
		t.Errorf("while stuck: %d %s", status, body)
	}
	await(t, "what was sent before has come", func() bool { return strings.Contains(told(fake), "loop 1 has not turned") })
	time.Sleep(700 * time.Millisecond) // seven half intervals
	if said := told(fake); strings.Contains(said, "WATCHDOG=1") {
		t.Errorf("the manager is told %q", said)
	}
	if n := out.count("loop is stuck"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	if n := out.count("TestStuckLoop.func"); n == 0 {
		t.Error("the stacks do not show what the loop does")
	}

	close(release)
	await(t, "the loop turns again", func() bool { return s.watch.stuck.Load() == 0 })
	await(t, "the watchdog is fed again", fed)
	await(t, "that it turns again is logged", func() bool { return out.count("loop turns again") > 0 })
	if status, body := health(); status != http.StatusOK || out.count("loop turns again") != 1 {
		t.Errorf("after: %d %s", status, body)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestHaltedMachine: when nobody ran, the watch included, no loop is to blame.
func TestHaltedMachine(t *testing.T) {
	s := start(t, func(c *config.Config) { c.Watchdog = 10 * time.Second })
	now := s.now()
	if !s.look(now) || !s.look(now+int64(time.Hour)) {
		t.Error("a loop is said to be stuck")
	}
	if s.look(now + int64(time.Hour+time.Second)) { // and now it had its chance
		t.Error("no loop is said to be stuck")
	}
}
