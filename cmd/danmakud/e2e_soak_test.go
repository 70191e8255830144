package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The soak: a crowd of connections that come, talk, switch, stall and go in every
// way there is, against a server that checks its invariants each turn.
//
//	TestSoak ── warm up ── measure ── churn for SOAK (12s) ── measure: as before?
//	              │
//	              └─ crowd: each member is a goroutine that lives one connection
//	                 after the other: dial ─► act, act, … ─► leave somehow
//	                                            └─ reader: follows every batch
//
// SOAK=20m is the long form (make soak). Without the verify tag there is nothing
// to see in the short one, which is skipped.

const soakShort = 12 * time.Second

// soak is one run. Its methods may be called by any goroutine.
type soak struct {
	s     *instance
	rooms []string

	failed sync.Once
	first  error         // after bad is closed
	bad    chan struct{} // something is wrong: everybody leaves

	mu   sync.Mutex
	acts map[string]int // what was done, and how often
}

// TestSoak churns for a while, and holds the server's memory, files, goroutines
// and counts against those before.
func TestSoak(t *testing.T) {
	t.Parallel()
	length := soakShort
	if text := os.Getenv("SOAK"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("SOAK: %v", err)
		}
		length = d
	} else if !verifyBuild {
		t.Skip("the short form runs in builds with the tag verify; SOAK=20m for the long one")
	}
	k := &soak{
		s: startServer(t, "--loops=2", "--tick=20ms", "--comment-rate=0", "--ring=4", "--history=5", "--max-rooms=40", "--trusted-proxy=127.0.0.0/8", "--max-connections-per-address=40", "--compression-min=300",
			"--resume-total=1MiB", // full before the first look at the heap, in the short form too
			"--tcp-send-buffer=8KiB", "--tcp-notsent-lowat=4096", "--handshake-timeout=15s", "--idle-timeout=2s", "--pong-timeout=15s", "--stall-timeout=10s"),
		bad:  make(chan struct{}),
		acts: make(map[string]int),
	}
	for i := range 8 {
		k.rooms = append(k.rooms, fmt.Sprintf("soak%d", i))
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, %v", seed, length)
	crowd := 40
	if length > time.Minute {
		crowd = 70
	}
	k.churn(t, seed, crowd, length/4)
	before := k.settled(t)
	k.churn(t, seed+1, crowd, length-length/4)
	after := k.settled(t)
	// A goroutine on its way out is no leak: one that stays is.
	for deadline := time.Now().Add(patience); after.goroutines > before.goroutines && time.Now().Before(deadline); {
		after = k.settled(t)
	}
	t.Logf("before %v", before)
	t.Logf("after  %v", after)
	k.report(t)
	if after.goroutines > before.goroutines || after.files > before.files {
		_, stacks := k.s.get("http://" + k.s.control + "/debug/pprof/goroutine?debug=1")
		t.Errorf("goroutines or files are left:\n%s", stacks)
	}
	if after.heap > before.heap*6/5+1<<20 {
		t.Errorf("live heap grew from %v to %v bytes", before.heap, after.heap)
	}
}

// churn lets a crowd live for a while. It returns when all have gone.
func (k *soak) churn(t *testing.T, seed uint64, crowd int, length time.Duration) {
	t.Helper()
	end := make(chan struct{})
	var all sync.WaitGroup
	for i := range crowd {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		all.Go(func() {
			for !over(end) && !over(k.bad) {
				k.live(r, end)
			}
		})
	}
	for began := time.Now(); time.Since(began) < length && !over(k.bad); {
		time.Sleep(min(time.Minute, max(0, length-time.Since(began))))
		if err := k.s.signal(syscall.SIGHUP); err != nil { // nothing changes, everything is taken over anew
			k.fail(err)
		}
		m := k.s.metrics()
		t.Logf("%6s: %v connections, %v accepted, %v batches, %v frames, %v skipped, %v blocked, RSS %.0f MiB",
			time.Since(began).Round(time.Second), m["danmakud_connections"], m["danmakud_accepted_total"], m["danmakud_batches_sealed_total"],
			m["danmakud_frames_written_total"], m["danmakud_batches_skipped_total"], m["danmakud_blocked_viewers"], m["process_resident_memory_bytes"]/(1<<20))
		if n := m["danmakud_panics_total"]; n > 0 {
			k.fail(fmt.Errorf("%v panics:\n%s", n, k.s.stderr))
		}
	}
	close(end)
	all.Wait()
	if over(k.bad) {
		t.Fatal(k.first)
	}
}

func over(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// fail ends the run with the first error.
func (k *soak) fail(err error) {
	k.failed.Do(func() {
		k.first = err
		close(k.bad)
	})
}

func (k *soak) did(act string) {
	k.mu.Lock()
	k.acts[act]++
	k.mu.Unlock()
}

// report logs what was done, and fails for what never was.
func (k *soak) report(t *testing.T) {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	t.Logf("done: %v", k.acts)
	for _, act := range []string{"comment", "compressed comment", "switch", "ping", "like", "nonsense", "stall", "plain HTTP", "behind a proxy", "half head", "no request",
		"close frame", "FIN", "RST", "half frame", "half-closed", "violation", "stalled to the end"} {
		if k.acts[act] == 0 {
			t.Errorf("%s never happened: the test shows less than it says", act)
		}
	}
}

// books are what must be the same after a churn as before.
type books struct {
	goroutines, files float64
	heap              int
	rss               float64
}

// settled waits until nobody is connected, checks the counts, and measures.
func (k *soak) settled(t *testing.T) (b books) {
	t.Helper()
	k.s.awaitMetric("danmakud_connections", 0)
	k.s.awaitMetric("danmakud_http_connections", 0)
	m := k.s.metrics()
	if closed := total(m, "danmakud_closes_total"); closed != m["danmakud_accepted_total"] {
		t.Errorf("%v connections were accepted, %v closed", m["danmakud_accepted_total"], closed)
	}
	if m[`danmakud_encodings_total{encoding="json_deflate"}`] == 0 {
		t.Error("nothing was compressed: the test shows less than it says")
	}
	for _, name := range []string{"danmakud_members", "danmakud_blocked_viewers", "danmakud_panics_total", "danmakud_batches_missed_total"} {
		if m[name] != 0 {
			t.Errorf("%s is %v with nobody there, want 0", name, m[name])
		}
	}
	for range 2 { // the second frees what the first one's finalizers let go
		_, profile := k.s.get("http://" + k.s.control + "/debug/pprof/heap?gc=1&debug=1")
		_, rest, _ := strings.Cut(profile, "# HeapAlloc = ")
		if _, err := fmt.Sscan(rest, &b.heap); err != nil {
			t.Fatalf("no HeapAlloc in the heap profile: %v", err)
		}
	}
	// What net/http ended last may still be on its way out: the lowest of a few.
	for i := range 20 {
		m = k.s.metrics()
		if i == 0 || m["go_goroutines"] < b.goroutines {
			b.goroutines = m["go_goroutines"]
		}
		if i == 0 || m["process_open_fds"] < b.files {
			b.files = m["process_open_fds"]
		}
		time.Sleep(20 * time.Millisecond)
	}
	b.rss = m["process_resident_memory_bytes"]
	return b
}

func (b books) String() string {
	return fmt.Sprintf("%v goroutines, %v files, %d bytes of heap, RSS %.0f bytes", b.goroutines, b.files, b.heap, b.rss)
}

// soakViewer is one connection of the crowd. The reader follows what comes; the
// writer acts.
type soakViewer struct {
	*viewer
	k       *soak
	room    string // as the reader has been welcomed
	leaving atomic.Bool
	stalled atomic.Bool   // the reader takes nothing
	ended   chan struct{} // closed when the reader has ended
	code    int           // of the close frame, after ended
}

// live is one connection from its begin to its end.
func (k *soak) live(r *rand.Rand, end <-chan struct{}) {
	dialer := net.Dialer{Timeout: patience}
	small := r.IntN(3) == 0
	if small {
		dialer.Control = func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
		}
	}
	conn, err := dialer.Dial("tcp", k.s.public[0])
	if err != nil {
		k.fail(err)
		return
	}
	defer conn.Close()
	v := &soakViewer{viewer: &viewer{t: k.s.t, conn: conn, r: bufio.NewReader(conn)}, k: k, ended: make(chan struct{})}
	switch r.IntN(16) {
	case 0:
		k.did("plain HTTP")
		v.writeAll([]byte("GET /healthz HTTP/1.1\r\nHost: danmaku.test\r\n\r\n"))
		v.conn.SetReadDeadline(time.Now().Add(patience))
		if body, err := io.ReadAll(v.r); err != nil || !strings.HasSuffix(string(body), "ok\n") {
			k.fail(fmt.Errorf("plain HTTP: %q, %v", body, err))
		}
	case 1:
		k.did("half head")
		v.writeAll([]byte(requestHead("/ws/half")[:1+r.IntN(60)]))
		nap(r, 30*time.Millisecond, end)
		if r.IntN(2) == 0 {
			conn.(*net.TCPConn).SetLinger(0)
		}
	case 2:
		k.did("no request")
		nap(r, 30*time.Millisecond, end)
	default:
		v.watch(r, small, end)
	}
}

// nap waits up to d, or until the end.
func nap(r *rand.Rand, d time.Duration, end <-chan struct{}) {
	select {
	case <-end:
	case <-time.After(time.Duration(r.Int64N(int64(d)))):
	}
}

// aRoom is mostly one of the few that others are in too, sometimes one of its own.
func (k *soak) aRoom(r *rand.Rand) string {
	if r.IntN(10) == 0 {
		return fmt.Sprintf("once%d", r.IntN(1000))
	}
	return k.rooms[min(r.IntN(len(k.rooms)), r.IntN(len(k.rooms)))]
}

// watch is a viewer's life in rooms.
func (v *soakViewer) watch(r *rand.Rand, small bool, end <-chan struct{}) {
	v.room = v.k.aRoom(r)
	var extra []string
	if r.IntN(2) == 0 {
		v.k.did("offer of compression")
		extra = append(extra, deflateOffer)
	}
	if r.IntN(3) == 0 {
		v.k.did("behind a proxy")
		// Few addresses: places that are not given back would soon be used up.
		extra = append(extra, fmt.Sprintf("X-Forwarded-For: 203.0.113.%d\r\n", 1+r.IntN(8)))
	}
	if err := v.writeAll([]byte(requestHead("/ws/"+v.room, extra...))); err != nil {
		v.k.fail(err)
		return
	}
	if err := v.readAccepted(); err != nil {
		if strings.Contains(err.Error(), "no place for another room") {
			v.k.did("refused for lack of rooms")
			return
		}
		v.k.fail(err)
		return
	}
	v.conn.SetReadDeadline(time.Time{}) // pings alone may come for long
	var reading sync.WaitGroup
	defer reading.Wait()
	defer v.conn.Close()
	reading.Go(v.follow)
	for range r.IntN(60) {
		if over(end) || over(v.k.bad) {
			break
		}
		if err := v.act(r, small, end); err != nil {
			v.k.fail(fmt.Errorf("viewer of %s: %w", v.room, err))
			return
		}
		nap(r, 50*time.Millisecond, end)
	}
	v.stalled.Store(false)
	if err := v.leave(r, small, end); err != nil {
		v.k.fail(err)
	}
}

// act does one of what viewers do. A talker's comments name the room that it was
// told to be in last, by which strays are found.
func (v *soakViewer) act(r *rand.Rand, small bool, end <-chan struct{}) error {
	say := func(act, message string) error {
		v.k.did(act)
		return v.writeAll(masked(opText, message))
	}
	switch n := r.IntN(100); {
	case n < 50:
		comment := `{"type":"comment","text":"` + strings.Repeat("弹", 1+r.IntN(150)) + `"}`
		if v.inflate == nil || n%2 == 0 {
			return say("comment", comment)
		}
		v.k.did("compressed comment")
		p := masked(opText, deflate([]byte(comment)))
		p[0] |= rsv1
		return v.writeAll(p)
	case n < 60:
		return say("like", `{"type":"like","count":2}`)
	case n < 70:
		return say("switch", `{"type":"switch","room":"`+v.k.aRoom(r)+`"}`)
	case n < 80:
		return say("ping", `{"type":"ping","ref":"p"}`)
	case n < 83:
		return say("nonsense", `{"type":`)
	case n < 90 && small:
		v.k.did("stall")
		v.stalled.Store(true)
		nap(r, time.Second, end)
		v.stalled.Store(false)
	}
	return nil
}

// follow reads until the end, and checks that batches come in order, each gap
// told before.
func (v *soakViewer) follow() {
	defer close(v.ended)
	room, at := v.room, v.welcome.Seq
	for {
		for v.stalled.Load() {
			time.Sleep(5 * time.Millisecond)
		}
		op, payload, err := v.readFrame()
		if err != nil {
			if !v.leaving.Load() {
				v.k.fail(fmt.Errorf("viewer of %s was cut off after batch %d: %w", room, at, err))
			}
			return
		}
		switch op {
		case opPing:
			v.writeAll(masked(opPong, string(payload)))
			continue
		case opClose:
			if len(payload) >= 2 {
				v.code = int(payload[0])<<8 | int(payload[1])
			}
			if !v.leaving.Load() {
				v.k.fail(fmt.Errorf("viewer of %s was closed with %d %q", room, v.code, payload))
			}
			return
		case opText:
		default:
			v.k.fail(fmt.Errorf("frame with opcode %d", op))
			return
		}
		m, err := parseMessage(payload)
		switch {
		case err != nil:
		case m.Type == "welcome":
			room, at = m.Room, m.Seq
		case m.Type == "batch" && m.Room == room && m.Seq == at+1:
			at = m.Seq
		case m.Type == "skipped" && m.From == at+1 && m.To >= m.From && m.Batches == m.To-m.From+1:
			v.k.did("told of skipped batches")
			at = m.To
		case m.Type == "pong" && m.Ref == "p":
		case m.Type == "error" && m.Code == "bad_json", m.Type == "error" && m.Code == "overloaded":
		default:
			err = errors.New("unexpected")
		}
		if err != nil {
			v.k.fail(fmt.Errorf("viewer of %s after batch %d: %w: %s", room, at, err, payload))
			return
		}
	}
}

// leave ends the connection in one of the ways there are, and waits for the
// answer where one is owed.
func (v *soakViewer) leave(r *rand.Rand, small bool, end <-chan struct{}) error {
	v.leaving.Store(true)
	way := r.IntN(7)
	if way == 6 && !small {
		way = 0
	}
	switch way {
	case 0:
		v.k.did("close frame")
		return v.closing(masked(opClose, "\x03\xe8"), 1000)
	case 1:
		v.k.did("FIN")
	case 2:
		v.k.did("RST")
		v.conn.(*net.TCPConn).SetLinger(0)
	case 3:
		v.k.did("half frame")
		v.writeAll(masked(opText, "cut")[:7])
		v.conn.(*net.TCPConn).SetLinger(0)
	case 4:
		v.k.did("half-closed")
		v.conn.(*net.TCPConn).CloseWrite()
		return v.awaitEnd()
	case 5:
		v.k.did("violation")
		return v.closing(masked(0x3, ""), 1002)
	case 6:
		v.k.did("stalled to the end")
		v.stalled.Store(true)
		nap(r, 13*time.Second, end)
		v.stalled.Store(false)
	}
	return nil
}

// closing sends a frame that must be answered with a close frame.
func (v *soakViewer) closing(p []byte, code int) error {
	if err := v.writeAll(p); err != nil {
		return err
	}
	if err := v.awaitEnd(); err != nil {
		return err
	}
	if v.code != code {
		return fmt.Errorf("closed with %d, want %d", v.code, code)
	}
	return nil
}

func (v *soakViewer) awaitEnd() error {
	select {
	case <-v.ended:
		return nil
	case <-time.After(patience):
		return errors.New("the server does not end a connection")
	}
}
