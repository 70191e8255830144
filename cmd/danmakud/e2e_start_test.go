package main

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestStartWithoutFlags: the defaults work with no flag and no environment.
func TestStartWithoutFlags(t *testing.T) {
	for _, address := range []string{":8080", "127.0.0.1:8081"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Skipf("the default port is taken on this machine: %v", err)
		}
		l.Close()
	}
	s := launch(t, nil)
	s.awaitReady()
	if !strings.HasSuffix(s.public[0], ":8080") || s.control != "127.0.0.1:8081" {
		t.Errorf("listens on %q and %q", s.public, s.control)
	}
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		conn, err := net.Dial("tcp", host+":8080")
		if err != nil {
			t.Errorf("the default address is not both IPv4 and IPv6: %v", err)
			continue
		}
		v := s.viewerOn(conn)
		v.write([]byte(requestHead("/ws/lobby")))
		v.accepted()
		if v.welcome.TickMs != 100 {
			t.Errorf("tick is %d ms, want 100", v.welcome.TickMs)
		}
	}
}

func TestStartFromEnvironment(t *testing.T) {
	t.Parallel()
	s := launch(t, []string{
		"DANMAKUD_LISTEN=127.0.0.1:0,127.0.0.1:0", "DANMAKUD_CONTROL=127.0.0.1:0",
		"DANMAKUD_TICK=250ms", "DANMAKUD_LOG_FORMAT=json", "DANMAKUD_TIK=1s",
	}, "--drain-time=1s")
	s.awaitReady()
	if len(s.public) != 2 || s.public[0] == s.public[1] {
		t.Fatalf("listens on %q, want two addresses", s.public)
	}
	if v := s.join("a"); v.welcome.TickMs != 250 {
		t.Errorf("tick is %d ms, want that of the environment", v.welcome.TickMs)
	}
	if !strings.Contains(s.stderr.String(), "DANMAKUD_TIK") {
		t.Error("no warning about a variable that is no setting")
	}
}

// TestSeveralListeners: viewers on IPv4, IPv6 and a unix socket are in one room.
func TestSeveralListeners(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "d.sock")
	s := launch(t, nil, "--listen=127.0.0.1:0", "--listen=[::1]:0", "--listen=unix:"+path, "--control=off", "--drain-time=1s")
	s.awaitReady()
	if s.control != "off" {
		t.Errorf("control is %q", s.control)
	}
	var viewers []*viewer
	for _, address := range [][2]string{{"tcp", s.public[0]}, {"tcp", s.public[1]}, {"unix", path}} {
		conn, err := net.Dial(address[0], address[1])
		if err != nil {
			t.Fatalf("%q: %v", s.public, err)
		}
		v := s.viewerOn(conn)
		v.write([]byte(requestHead("/ws?room=one")))
		v.accepted()
		viewers = append(viewers, v)
	}
	viewers[2].send(say("from a socket file", ""))
	for i, v := range viewers {
		if b, _ := v.until("batch"); b.Room != "one" || len(b.comments) != 1 || b.comments[0].Text != "from a socket file" {
			t.Errorf("viewer %d got %+v", i, b)
		}
	}
}

func TestStartFailures(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, args := range [][]string{
		{"--listen=" + taken.Addr().String(), "--control=off"},
		{"--listen=127.0.0.1:0", "--control=" + taken.Addr().String()},
	} {
		out, err := exec.Command(underTest(t), args...).CombinedOutput()
		if err == nil {
			t.Errorf("%q: started on a port that is taken", args)
		}
		_, port, _ := net.SplitHostPort(taken.Addr().String())
		last := lastLine(string(out))
		if !strings.HasPrefix(last, "danmakud: ") || !strings.Contains(last, port) || !strings.Contains(last, "in use") {
			t.Errorf("%q: last line %q, want one that names port %s", args, last, port)
		}
		if strings.Contains(string(out), "Usage:") {
			t.Errorf("%q: usage is printed:\n%s", args, out)
		}
	}
	cmd := exec.Command(underTest(t), "--tick=1ms", "--ring=0")
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != exitFailed || strings.Count(string(out), "\n") != 3 {
		t.Errorf("bad settings: %v, output\n%s", err, out)
	}
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

func TestCommandsOfTheRealBinary(t *testing.T) {
	t.Parallel()
	out, err := exec.Command(underTest(t), "version", "--json").Output()
	var b build
	if err != nil || json.Unmarshal(out, &b) != nil || b.Version == "" || b.Commit == "" || b.Go == "" {
		t.Errorf("version: %v, %s", err, out)
	}
	out, err = exec.Command(underTest(t), "doctor", "--connections=1").Output()
	if err != nil || !strings.Contains(string(out), "RLIMIT_NOFILE") {
		t.Errorf("doctor: %v\n%s", err, out)
	}
	out, err = exec.Command(underTest(t), "completion", "bash").Output()
	if err != nil || !strings.Contains(string(out), "danmakud") {
		t.Errorf("completion: %v, %d bytes", err, len(out))
	}
}

func TestPublicHTTP(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	base := "http://" + s.public[0]
	for _, tc := range []struct {
		path, contentType, content string
		status                     int
	}{
		{"/", "text/html", "<!doctype html", http.StatusOK},
		{"/healthz", "text/plain", "ok", http.StatusOK},
		{"/readyz", "text/plain", "ready", http.StatusOK},
		{"/nothing/here", "", "", http.StatusNotFound},
		{"/metrics", "", "", http.StatusNotFound},
		{"/v1/rooms", "", "", http.StatusNotFound},
		{"/debug/pprof/", "", "", http.StatusNotFound},
	} {
		r, body := s.get(base + tc.path)
		if r.StatusCode != tc.status || !strings.HasPrefix(r.Header.Get("Content-Type"), tc.contentType) {
			t.Errorf("%s answers %s, %s", tc.path, r.Status, r.Header.Get("Content-Type"))
		}
		if !strings.Contains(strings.ToLower(body), tc.content) {
			t.Errorf("%s has no %q in\n%.300s", tc.path, tc.content, body)
		}
	}
	r, _ := s.get(base + "/")
	if policy := r.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") {
		t.Errorf("the page's policy is %q", policy)
	}
	r, err := s.http.Post(base+"/healthz", "text/plain", strings.NewReader(strings.Repeat("x", 20000)))
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
}

// TestPlainHTTPOneRequestAConnection: the answer says that it is the last, and
// it is. On a connection that were kept a proxy could send an upgrade, which
// net/http cannot give back to a loop.
func TestPlainHTTPOneRequestAConnection(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	request := "GET /healthz HTTP/1.1\r\nHost: danmaku.test\r\nConnection: keep-alive\r\n\r\n"
	for _, p := range []string{request, request + requestHead("/ws/a"), request + request} {
		v := s.dial()
		v.write([]byte(p))
		if r, body := v.response(); r.StatusCode != http.StatusOK || body != "ok\n" || !r.Close {
			t.Errorf("answer %s %q, close %v", r.Status, body, r.Close)
		}
		v.ended()
		v.conn.Close()
	}
	s.awaitMetric("danmakud_http_connections", 0)
}

// TestPlainHTTPIsBounded: beyond the bound there is a clean 503, viewers are
// not touched by it, and a place that becomes free is used again.
func TestPlainHTTPIsBounded(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--http-connections=3")
	var held []*viewer
	for range 3 { // net/http waits for the body
		v := s.dial()
		v.write([]byte("POST /healthz HTTP/1.1\r\nHost: danmaku.test\r\nContent-Length: 50\r\n\r\n"))
		held = append(held, v)
	}
	s.awaitMetric("danmakud_http_connections", 3)
	request := []byte("GET /healthz HTTP/1.1\r\nHost: danmaku.test\r\n\r\n")
	v := s.dial()
	v.write(request)
	if r, _ := v.response(); r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" {
		t.Errorf("answer beyond the bound: %s %v", r.Status, r.Header)
	}
	s.join("a").ping("p")
	if n := s.metrics()[`danmakud_rejected_total{reason="http_connections"}`]; n != 1 {
		t.Errorf("rejected %v, want 1", n)
	}
	for _, v := range held {
		v.conn.Close()
	}
	s.awaitMetric("danmakud_http_connections", 0)
	v = s.dial()
	v.write(request)
	if r, _ := v.response(); r.StatusCode != http.StatusOK {
		t.Errorf("answer after the places became free: %s", r.Status)
	}
}

func TestControlListener(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	a := s.join("a")
	s.join("b")
	a.send(say("hello", ""))
	a.until("batch")
	samples := s.metrics()
	for _, name := range []string{
		"danmakud_connections", "danmakud_rooms", "danmakud_batches_sealed_total", `danmakud_encodings_total{encoding="json"}`,
		"danmakud_frames_written_total", "danmakud_write_calls_total", "danmakud_bytes_written_total",
		"danmakud_comments_received_total", "danmakud_comments_delivered_total", "danmakud_batches_skipped_total",
		"danmakud_tick_lag_seconds_count", "danmakud_pass_seconds_count", "danmakud_wakeups_total",
		"go_goroutines", "process_open_fds",
	} {
		if _, ok := samples[name]; !ok {
			t.Errorf("no metric %s", name)
		}
	}
	for _, name := range []string{"danmakud_closes_total", "danmakud_rejected_total"} {
		labelled := 0
		for key := range samples {
			if strings.HasPrefix(key, name+`{reason="`) {
				labelled++
			}
		}
		if labelled == 0 {
			t.Errorf("no metric %s with a reason", name)
		}
	}
	for name, want := range map[string]float64{
		"danmakud_connections": 2, "danmakud_rooms": 2, "danmakud_batches_sealed_total": 1,
		`danmakud_encodings_total{encoding="json"}`: 1, "danmakud_frames_written_total": 1,
		"danmakud_comments_received_total": 1, "danmakud_comments_delivered_total": 1, "danmakud_batches_skipped_total": 0,
	} {
		if samples[name] != want {
			t.Errorf("%s is %v, want %v", name, samples[name], want)
		}
	}
	base := "http://" + s.control
	for path, want := range map[string]int{
		"/healthz": 200, "/readyz": 200, "/debug/pprof/": 200, "/v1/rooms": 200, "/v1/rooms/a": 200, "/v1/rooms/none": 404,
	} {
		if r, body := s.get(base + path); r.StatusCode != want {
			t.Errorf("%s answers %s %.100s, want %d", path, r.Status, body, want)
		}
	}
	if n := s.online("a"); n != 1 {
		t.Errorf("room a has %d online, want 1", n)
	}
}

// TestConnectionLimit: beyond --max-connections there is a readable 503, and a
// place that becomes free is given away again.
func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--max-connections=5", "--loops=2")
	var first *viewer
	for i := range 5 {
		v := s.join("full")
		if i == 0 {
			first = v
		}
	}
	v := s.dial()
	v.conn.(*net.TCPConn).CloseWrite()
	if r, body := v.response(); r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" || body == "" {
		t.Errorf("beyond the limit: %s %v %q", r.Status, r.Header, body)
	}
	first.conn.Close()
	s.awaitMetric("danmakud_connections", 4)
	s.join("full").ping("p")
	if n := s.metrics()[`danmakud_rejected_total{reason="connections"}`]; n != 1 {
		t.Errorf("rejected %v, want 1", n)
	}
}

// TestSecondSignal: viewers that do not answer the close frame hold up the drain,
// and one that does not say what it wants does for all of its time; the second signal
// does not wait for them.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--drain-time=5m", "--handshake-timeout=5m", "--loops=1")
	s.dial()
	for range 40 {
		s.join("a")
	}
	s.signal(syscall.SIGTERM)
	if _, err := s.stderr.record("draining"); err != nil {
		t.Fatal(err)
	}
	s.signal(os.Interrupt)
	if status := s.wait(); status != exitAtOnce {
		t.Errorf("exit status %d, want %d", status, exitAtOnce)
	}
	if !strings.Contains(s.stderr.String(), "second signal") {
		t.Errorf("no log line about it:\n%s", s.stderr)
	}
}
