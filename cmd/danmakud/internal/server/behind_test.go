package server

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
)

// logBuffer collects a log for a test.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// count returns how many lines have a text.
func (b *logBuffer) count(text string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.buf.String(), text)
}

// While a loop is stuck, new connections are refused by the others, and when it
// goes on they are taken again. Those who are there notice nothing.
func TestRefusesWhenBehind(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *config.Config) { c.Loops, c.RefuseBehind = 2, 5*time.Second }) // no busy machine has a loop wait for so long
	log := new(logBuffer)
	s.log = slog.New(slog.NewTextHandler(log, nil))
	viewers := []viewer{join(t, s, "a"), join(t, s, "b"), join(t, s, "c"), join(t, s, "d")}
	release := make(chan struct{})
	s.handlers[1].loop.Post(func() { <-release })
	base := "http://" + s.controlListener.Addr().String()
	for strings.Contains(fetch(t, base+"/readyz"), "ready") {
		time.Sleep(10 * time.Millisecond)
	}
	eventually(t, s, "danmakud_behind 1")
	refused := false
	for !refused { // by the loop that is not stuck, whichever the acceptor chooses
		c := connect(t, s)
		c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		b, err := c.r.Peek(12)
		refused = err == nil && string(b) == "HTTP/1.1 503"
		if err == nil && !refused {
			t.Fatalf("answered with %q", b)
		}
		c.Close()
	}
	close(release)
	eventually(t, s, "danmakud_behind 0")
	for _, v := range viewers {
		v.say(`{"type":"ping"}`)
		v.expect("pong")
	}
	join(t, s, "e")
	await(t, "the end is logged", func() bool { return log.count("new connections are taken") > 0 }) // it is in force before
	if a, b := log.count("new connections are refused"), log.count("new connections are taken"); a != 1 || b != 1 {
		t.Errorf("%d lines at the begin and %d at the end, want 1 of each", a, b)
	}
	await(t, "what was refused is counted", func() bool {
		text := scrape(t, s)
		return !strings.Contains(text, `danmakud_rejected_total{reason="behind"} 0`) && !strings.Contains(text, `danmakud_closes_total{reason="behind"} 0`)
	})
}

// fetch gets a page whatever its status.
func fetch(t *testing.T, url string) string {
	t.Helper()
	host, path, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	c, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	c.Write([]byte("GET /" + path + " HTTP/1.0\r\n\r\n"))
	var all bytes.Buffer
	all.ReadFrom(c)
	return all.String()
}

// A loop that asks when all is being closed begins nothing any more.
func TestBehindIsClosed(t *testing.T) {
	s := start(t, func(c *config.Config) { c.Loops, c.RefuseBehind = 1, time.Hour })
	log := new(logBuffer)
	h := s.handlers[0]
	on(t, h, func() {
		before := s.log
		defer func() { s.log = before }()
		s.log = slog.New(slog.NewTextHandler(log, nil))
		b := newBehind(s)
		h.passAge.Store(int64(2 * time.Hour))
		b.close()
		if !b.refuses(s.now() + int64(behindEvery)) {
			t.Error("does not refuse")
		}
		b.watching.Wait()
		h.passAge.Store(0)
	})
	if log.count("refused") != 0 {
		t.Error("a goroutine began when all had ended")
	}
}

// The lag that refuses and the one that takes again are apart, and 0 is never.
func TestBehindHysteresis(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *config.Config) { c.Loops, c.RefuseBehind = 1, time.Hour })
	h := s.handlers[0]
	age := func(d time.Duration) { h.passAge.Store(int64(d)) }
	ask := func() bool {
		s.behind.looked.Store(0)
		return s.behind.refuses(s.now() + int64(behindEvery))
	}
	on(t, h, func() { // holds the loop, so that it does not take its own look
		age(time.Hour)
		if ask() {
			t.Error("refuses at the limit")
		}
		age(time.Hour + time.Second)
		if !ask() || !s.behind.now.Load() {
			t.Error("does not refuse beyond the limit")
		}
		age(time.Hour/2 + time.Minute)
		time.Sleep(3 * behindEvery)
		if !ask() {
			t.Error("takes again before half of the limit")
		}
		age(time.Minute)
		for s.behind.now.Load() {
			time.Sleep(time.Millisecond)
		}
		age(2 * time.Hour)
		off := *h.config
		off.RefuseBehind = 0
		if err := s.apply(&off); err != nil {
			t.Error(err)
		}
		if ask() {
			t.Error("refuses although it never should")
		}
	})
}
