package main

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestResetStorm: viewers reset their connections by the hundred in the middle of
// a broadcast, half of them with frames torn. Who stays misses nothing without
// notice, and each of the others is counted once.
func TestResetStorm(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--loops=2", "--tick=10ms", "--comment-rate=0", "--ring=4", "--tcp-send-buffer=8KiB", "--tcp-notsent-lowat=4096")
	const stayers, waves, each = 8, 3, 100
	results := make(chan seen, stayers)
	for range stayers {
		v := s.join("storm")
		go func() { results <- v.watchToTheEnd() }()
	}
	over, talker := make(chan struct{}), s.join("storm")
	type said struct {
		sealed map[uint64]string
		err    error
	}
	talked := make(chan said, 1)
	go func() {
		sealed, err := talker.talk(true, func(int) bool {
			select {
			case <-over:
				return true
			default:
				return false
			}
		})
		talked <- said{sealed, err}
	}()
	for range waves {
		var doomed []*viewer
		for i := range each {
			if i%2 == 0 {
				doomed = append(doomed, s.joinWithSmallBuffer("storm"))
			} else {
				doomed = append(doomed, s.join("storm"))
			}
		}
		for s.metrics()["danmakud_blocked_viewers"] < each/4 {
			time.Sleep(time.Millisecond)
		}
		var all sync.WaitGroup
		for _, v := range doomed {
			all.Go(v.reset)
		}
		all.Wait()
	}
	s.awaitMetric("danmakud_connections", stayers+1)
	close(over)
	talk := <-talked
	if talk.err != nil {
		t.Fatal(talk.err)
	}
	for range stayers {
		got := <-results
		got.expect(t, talk.sealed)
	}
	m := s.metrics()
	if n := m[`danmakud_closes_total{reason="peer_reset"}`]; n != waves*each || total(m, "danmakud_closes_total") != n {
		t.Errorf("%v connections were closed by reset, %v in all, want %d", n, total(m, "danmakud_closes_total"), waves*each)
	}
	if n := s.online("storm"); n != stayers+1 {
		t.Errorf("%d are online, want %d", n, stayers+1)
	}
}

// TestOutOfFiles: the limit of open files is lower than that of connections. Who
// comes when there are none left is answered, who is there is served, and when
// some go others find a place.
func TestOutOfFiles(t *testing.T) {
	t.Parallel()
	const files, come, refusals = 120, 160, 3
	cmd := exec.Command("sh", "-c", `ulimit -n "$1" && shift && exec "$@"`, "sh", strconv.Itoa(files), underTest(t),
		"--listen=127.0.0.1:0", "--control=127.0.0.1:0", "--drain-time=1s", "--loops=2", "--tick=10ms", "--comment-rate=0", "--max-connections=1000")
	s := launchCommand(t, here, nil, cmd)
	s.awaitReady()
	before := s.metrics()["process_open_fds"]
	var in []*viewer
	refused := 0
	for range come {
		v := s.dial()
		v.write([]byte(requestHead("/ws/files")))
		v.conn.SetReadDeadline(time.Now().Add(patience))
		r, err := http.ReadResponse(v.r, nil)
		if err != nil {
			t.Fatalf("neither served nor refused: %v", err)
		}
		switch r.StatusCode {
		case http.StatusSwitchingProtocols:
			v.welcome = v.next()
			in = append(in, v)
		case http.StatusServiceUnavailable:
			body, _ := io.ReadAll(r.Body)
			if refused++; r.Header.Get("Retry-After") == "" || len(body) == 0 {
				t.Errorf("refused with %v %q", r.Header, body)
			}
		default:
			t.Fatalf("answered %s", r.Status)
		}
		if refused == refusals {
			break // each waits for a pause to end
		}
	}
	if refused != refusals || len(in) < files/2 {
		t.Fatalf("%d were served and %d refused with %d files", len(in), refused, files)
	}
	in[0].send(say("still here", ""))
	for _, v := range in {
		if b, _ := v.until("batch"); len(b.comments) != 1 || b.comments[0].Text != "still here" {
			t.Errorf("got %+v", b)
		}
	}
	for _, v := range in[:len(in)/2] {
		v.reset()
	}
	s.awaitMetric("danmakud_connections", float64(len(in)-len(in)/2)) // the control listener waited for a file too
	m := s.metrics()
	if m[`danmakud_rejected_total{reason="open_files"}`] != refusals || m["danmakud_accept_paused_total"] == 0 || m["danmakud_accept_errors_total"] == 0 {
		t.Errorf("%v are counted as refused, %v pauses, %v errors; want 3 and some",
			m[`danmakud_rejected_total{reason="open_files"}`], m["danmakud_accept_paused_total"], m["danmakud_accept_errors_total"])
	}
	for range len(in) / 2 {
		s.join("files")
	}
	for _, v := range in[len(in)/2:] {
		v.reset()
	}
	s.awaitMetric("danmakud_connections", float64(len(in)/2))
	if now := s.metrics()["process_open_fds"]; now > before+float64(len(in)/2)+2 { // a request of ours may still be closing
		t.Errorf("%v files are open with %d viewers, %v were with none", now, len(in)/2, before)
	}
}

// TestSoakStalledReaders: viewers read nothing for 30 seconds of heavy batches,
// which the default clocks allow, and go on then: none is
// lost, each is told exactly what it missed, and memory is that of the ring.
func TestSoakStalledReaders(t *testing.T) {
	if os.Getenv("SOAK") == "" {
		t.Skip("takes half a minute: make soak")
	}
	t.Parallel()
	s := startServer(t, "--loops=2", "--tick=20ms", "--comment-rate=0", "--tcp-send-buffer=8KiB", "--tcp-notsent-lowat=4096")
	const stalled = 100
	results := make(chan seen, stalled)
	begin := time.Now()
	for range stalled {
		v := s.joinWithSmallBuffer("stall")
		go func() {
			time.Sleep(time.Until(begin.Add(31 * time.Second)))
			results <- v.watchToTheEnd()
		}()
	}
	before := s.metrics()["process_resident_memory_bytes"]
	talker := s.join("stall")
	sealed, err := talker.talk(true, func(int) bool { return time.Since(begin) > 35*time.Second })
	if err != nil {
		t.Fatal(err)
	}
	skips := 0
	for range stalled {
		got := <-results
		got.expect(t, sealed)
		skips += got.skipped
	}
	m := s.metrics()
	t.Logf("%d batches, %d skipped by %d viewers; RSS from %.0f to %.0f MiB", len(sealed), skips, stalled, before/(1<<20), m["process_resident_memory_bytes"]/(1<<20))
	if n := total(m, "danmakud_closes_total"); n != 0 || skips == 0 {
		t.Errorf("%v viewers were closed, %d batches skipped; want none, and some", n, skips)
		for name, v := range m {
			if strings.HasPrefix(name, "danmakud_closes_total") && v > 0 {
				t.Logf("%s %v", name, v)
			}
		}
	}
}
