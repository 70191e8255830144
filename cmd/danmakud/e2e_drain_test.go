package main

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDrainGrace: after SIGTERM /readyz fails first, on both listeners, while new
// viewers are still taken; then the port closes and all are told.
func TestDrainGrace(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--drain-grace=10s")
	early := s.join("a")
	s.signal(syscall.SIGTERM)
	if _, err := s.stderr.record("draining"); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{s.public[0], s.control} {
		if r, body := s.get("http://" + address + "/readyz"); r.StatusCode != 503 || body != "draining\n" {
			t.Errorf("/readyz of %s answers %s %q", address, r.Status, body)
		}
		if r, body := s.get("http://" + address + "/healthz"); r.StatusCode != 200 {
			t.Errorf("/healthz of %s answers %s %q", address, r.Status, body)
		}
	}
	late := s.join("a")
	late.ping("served like any other")
	if n := s.metrics()["danmakud_draining"]; n != 1 {
		t.Errorf("danmakud_draining is %v", n)
	}
	if _, err := s.stderr.record("listeners closed"); err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", s.public[0]); err == nil {
		conn.Close()
		t.Error("the port still accepts")
	}
	for _, v := range []*viewer{early, late} {
		if m, _ := v.until("goodbye"); m.Reason != "draining" || m.RetryMs < 500 {
			t.Errorf("got %+v", m)
		}
		v.conn.Close()
	}
	if status := s.wait(); status != exitOK {
		t.Errorf("exit status %d", status)
	}
	if drained, err := s.stderr.record("drained"); err != nil || drained["told"] != 2.0 {
		t.Errorf("%v, %v", drained, err)
	}
}

// TestDrainOfNobody: without viewers there is nothing to wait for.
func TestDrainOfNobody(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--drain-time=1h")
	s.signal(os.Interrupt)
	if status := s.wait(); status != exitOK {
		t.Errorf("exit status %d", status)
	}
}

// TestDrainTellsItsProgress: many viewers go over the drain time, each told.
func TestDrainTellsItsProgress(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--drain-time=3s", "--loops=2")
	const viewers = 400
	results := make(chan error, viewers)
	for range viewers {
		v := s.join("a")
		go func() {
			m, err := v.read()
			for err == nil && m.Type != "close" {
				m, err = v.read()
			}
			v.conn.Close()
			results <- err
		}()
	}
	s.signal(syscall.SIGTERM)
	for range viewers {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if status := s.wait(); status != exitOK {
		t.Errorf("exit status %d", status)
	}
	if n := strings.Count(s.stderr.String(), "drain goes on"); n < 1 || n > 9 { // it may last for 5 s more, until the last have gone
		t.Errorf("progress is told %d times in 3 s", n)
	}
	if drained, err := s.stderr.record("drained"); err != nil || drained["told"] != float64(viewers) {
		t.Errorf("%v, %v", drained, err)
	}
}

// TestDrainStatus: a viewer that does not take its goodbye is cut off, and the
// exit status says so.
func TestDrainStatus(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--tcp-send-buffer=4KiB", "--comment-rate=0", "--loops=1", "--tick=10ms", "--max-text=1000", "--max-message=8KiB")
	stalled := s.dial()
	if err := stalled.conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	stalled.write([]byte(requestHead("/ws/a")))
	stalled.accepted() // and reads nothing from now on
	talker := s.join("a")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
			if talker.writeAll(masked(opText, say(strings.Repeat("x", 1000), ""))) != nil {
				return
			}
		}
	}()
	go func() {
		for {
			if _, err := talker.read(); err != nil {
				return
			}
		}
	}()
	s.awaitMetric("danmakud_blocked_viewers", 1)
	close(stop)
	<-stopped
	talker.conn.Close() // who does not answer its close frame may be left, too, when time is up
	s.signal(syscall.SIGTERM)
	if status := s.wait(); status != exitFailed {
		t.Errorf("exit status %d, want %d", status, exitFailed)
	}
	record, err := s.stderr.record("drain incomplete")
	if err != nil || record["cut_off"] != 1.0 {
		t.Errorf("%v, %v", record, err)
	}
}
