package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startEcho runs danmakud echo on a free port. At the end of the test it is
// stopped by SIGTERM and must have ended well.
func startEcho(t *testing.T, flags ...string) *instance {
	t.Helper()
	s := launch(t, nil, append([]string{"echo", "--listen=127.0.0.1:0"}, flags...)...)
	s.awaitReady()
	return s
}

// dialEcho makes a connection to the echo that is upgraded.
func dialEcho(t *testing.T, s *instance) (*net.TCPConn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", s.public[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	r := bufio.NewReader(conn)
	response, err := http.ReadResponse(r, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v %v", response, err)
	}
	return conn.(*net.TCPConn), r
}

// TestEchoHoldsBack: from a peer that does not read the echo does not read
// either, and it drops nothing of what it has.
func TestEchoHoldsBack(t *testing.T) {
	t.Parallel()
	s := startEcho(t)
	conn, r := dialEcho(t, s)
	const size, most = 1 << 20, 256
	frame := binary.BigEndian.AppendUint64([]byte{0x82, 0xFF}, size)
	frame = append(frame, make([]byte, 4+size)...) // a mask of zeros, and zeros
	messages, rest := 0, []byte(nil)
	// When nothing can be written for a second the echo has stopped to read. Should
	// it only be slow, the test shows less.
	for stuck := 0; stuck == 0; messages++ {
		if messages == most {
			t.Fatalf("%d MiB were taken from a peer that does not read", most)
		}
		rest = frame
		conn.SetWriteDeadline(time.Now().Add(time.Second))
		n, err := conn.Write(rest)
		rest = rest[n:]
		if errors.Is(err, os.ErrDeadlineExceeded) {
			stuck++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	conn.SetWriteDeadline(time.Now().Add(patience))
	go func() {
		conn.Write(rest)
		conn.Write([]byte{0x88, 0x80, 0, 0, 0, 0})
	}()
	header := binary.BigEndian.AppendUint64([]byte{0x82, 127}, size)
	got := make([]byte, len(header)+size)
	for i := range messages {
		if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got[:len(header)], header) || bytes.Count(got[len(header):], []byte{0}) != size {
			t.Fatalf("message %d of %d: %x %v", i, messages, got[:len(header)], err)
		}
	}
	if end, err := io.ReadAll(r); err != nil || !bytes.Equal(end, []byte{0x88, 0}) {
		t.Errorf("behind the messages: %x %v", end, err)
	}
	t.Logf("held back after %d MiB", messages)
}

// TestEchoEndsAtOnce: a signal does not wait for peers, and those who are there
// hold nothing up.
func TestEchoEndsAtOnce(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		s := startEcho(t)
		dialEcho(t, s)
		if err := s.signal(sig); err != nil {
			t.Fatal(err)
		}
		if status := s.wait(); status != exitOK {
			t.Errorf("%v: exit status %d:\n%s", sig, status, s.stderr)
		}
	}
}

// TestEchoIsHidden: the help of the whole command is for operators.
func TestEchoIsHidden(t *testing.T) {
	tr := newTrial(t, nil, "--help")
	if status := tr.run(); status != exitOK || strings.Contains(tr.out.String(), "echo") {
		t.Errorf("exit status %d, help:\n%s", status, tr.out.String())
	}
	tr = newTrial(t, nil, "echo", "--help")
	if status := tr.run(); status != exitOK || !strings.Contains(tr.out.String(), "--max-message") {
		t.Errorf("exit status %d, help:\n%s", status, tr.out.String())
	}
	for _, wrong := range []string{"--max-message=2048MiB", "--max-message=x", "--listen=nowhere"} {
		if tr = newTrial(t, nil, "echo", wrong); tr.run() != exitFailed {
			t.Errorf("%s: started", wrong)
		}
	}
}

// The clients of others, with compression and messages of 16 MiB.

func TestCompatEchoNodeWS(t *testing.T) {
	t.Parallel()
	node := nodeWithWS(t)
	s := startEcho(t)
	s.runClient(node, "echo.js", "ws://"+s.public[0])
}

func TestCompatEchoPythonWebsockets(t *testing.T) {
	t.Parallel()
	python := pythonWithWebsockets(t)
	s := startEcho(t)
	s.runClient(python, "echo_client.py", "ws://"+s.public[0])
}
