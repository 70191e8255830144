package main

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestHandOverWithData: the store goes from the old process to the new one, with
// all that is in force, and there is somebody who listens at any time.
func TestHandOverWithData(t *testing.T) {
	t.Parallel()
	data := "--data=" + t.TempDir()
	first := startServer(t, "--reuse-port", data, "--drain-grace=10s") // in which the second one listens, on a busy machine, too
	listen := "--listen=" + first.public[0]
	body := strings.NewReader(`{"kind":"mute","address":"127.0.0.1","seconds":600}`)
	r, err := first.http.Post("http://"+first.control+"/v1/sanctions", "application/json", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusCreated {
		t.Fatal(r.Status)
	}

	second := launch(t, nil, listen, "--control=127.0.0.1:0", "--drain-time=1s", "--reuse-port", data)
	if _, err := second.stderr.record("waiting for --data: send SIGTERM to the process that has it"); err != nil {
		t.Fatal(err)
	}
	stop, failed := make(chan struct{}), make(chan error, 1)
	go func() { failed <- dialUntil(stop, first.public[0]) }()
	first.signal(syscall.SIGTERM)
	second.awaitReady()
	if status := first.wait(); status != exitOK {
		t.Errorf("exit status %d of the old process", status)
	}
	close(stop)
	if err := <-failed; err != nil {
		t.Errorf("a new viewer: %v", err)
	}
	v := second.join("r")
	v.send(say("hello", "1"))
	if m, _ := v.until("error"); m.Code != "muted" {
		t.Errorf("got %+v", m)
	}
	v.conn.Close()
	second.stop()
}

// dialUntil connects again and again and returns the first refusal. A reset is none:
// see TestHandOver.
func dialUntil(stop <-chan struct{}, address string) error {
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	for {
		select {
		case <-stop:
			return nil
		case <-pace.C:
		}
		conn, err := net.Dial("tcp", address)
		switch {
		case errors.Is(err, syscall.ECONNREFUSED):
			return err
		case err == nil:
			conn.Close()
		}
	}
}

// TestWaitingForDataEnds: a process that waits for the store can be told to end, and
// one that does not share its port does not wait.
func TestWaitingForDataEnds(t *testing.T) {
	t.Parallel()
	data := "--data=" + t.TempDir()
	first := startServer(t, data)
	second := launch(t, nil, "--listen=127.0.0.1:0", "--control=127.0.0.1:0", "--reuse-port", data)
	third := launch(t, nil, "--listen=127.0.0.1:0", "--control=127.0.0.1:0", data)
	if _, err := second.stderr.record("waiting for --data: send SIGTERM to the process that has it"); err != nil {
		t.Fatal(err)
	}
	second.signal(syscall.SIGTERM)
	if status := second.wait(); status != exitOK {
		t.Errorf("exit status %d: %s", status, second.stderr)
	}
	if status := third.wait(); status != exitFailed || !strings.Contains(third.stderr.String(), "is in use by another process") {
		t.Errorf("exit status %d: %s", status, third.stderr)
	}
	first.stop()
}
