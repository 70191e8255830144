package server

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/poller"
	"github.com/gorilla/websocket"
)

// TestDrainPace walks through a drain without any clock: closes in each second
// are within 1.5 times the mean, whoever comes late, leaves or halts the machine.
func TestDrainPace(t *testing.T) {
	const seconds = 10
	for _, tc := range []struct {
		name    string
		viewers int
		step    func(i int) time.Duration // time between step i-1 and i
		change  func(i int) int           // viewers that come or go by themselves
	}{
		{"even", 10_000, func(int) time.Duration { return drainStep }, nil},
		{"slow steps", 10_000, func(int) time.Duration { return 3 * drainStep }, nil},
		{"ragged steps", 10_000, func(i int) time.Duration { return time.Duration(1+i*7%5) * 23 * time.Millisecond }, nil},
		{"late arrivals", 10_000, func(int) time.Duration { return drainStep }, func(i int) int { return max(0, 40-i) }},
		{"leavers", 10_000, func(int) time.Duration { return drainStep }, func(i int) int { return -10 }},
		{"fewer than steps", 1003, func(int) time.Duration { return drainStep }, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newDrainPlan(5e9, tc.viewers, seconds*time.Second)
			var w drainWalk
			var bySecond [seconds + 1]int
			untold, told, now := tc.viewers, 0, p.start
			for i := 0; untold > 0; i++ {
				n := w.quota(p, now, untold)
				untold, told = untold-n, told+n
				bySecond[min(int((now-p.start)/1e9), seconds)] += n
				if tc.change != nil && now < p.spread {
					untold = max(0, untold+tc.change(i))
				}
				now += int64(tc.step(i + 1))
			}
			bySecond[seconds-1] += bySecond[seconds] // the step that ends it may come late
			mean := told / seconds
			for second, n := range bySecond[:seconds] {
				if 2*n > 3*mean+2 {
					t.Errorf("%d of %d in second %d: %v", n, told, second, bySecond)
				}
			}
		})
	}
}

// TestDrainAfterAHalt: what a machine that halted has missed is spread over the
// rest of the time.
func TestDrainAfterAHalt(t *testing.T) {
	p := newDrainPlan(0, 10_000, 10*time.Second)
	w := drainWalk{at: 1}
	if n := w.quota(p, 5e9, 10_000); n > 500 {
		t.Errorf("%d in the first step after 5 s", n)
	}
	if n := w.quota(p, 10e9, 9_500); n != 9_500 {
		t.Errorf("%d at the end, want all", n)
	}
}

func TestDrainPlanOfFew(t *testing.T) {
	p := newDrainPlan(0, 50, time.Minute)
	if p.spread != int64(500*time.Millisecond) || p.handshakes != int64(time.Minute) {
		t.Errorf("plan %+v", p)
	}
	if p := newDrainPlan(0, 0, 0); p.spread != 0 || p.handshakes != int64(drainHandshakes) {
		t.Errorf("plan %+v", p)
	}
}

// TestDrainLetsHandshakesFinish: who is in the handshake when the listeners close
// gets in and is told goodbye; who asks for nothing gets a 503 in the end.
func TestDrainLetsHandshakesFinish(t *testing.T) {
	t.Parallel()
	c := config.Default()
	c.Listen, c.Control, c.Loops, c.DrainTime = []string{"127.0.0.1:0"}, "", 2, 6*time.Second // for which handshakes are waited for
	s, err := New(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	head := "GET /ws/r HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
	var late []net.Conn
	for range 8 {
		conn, err := net.Dial("tcp", s.addr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(60 * time.Second))
		late = append(late, conn)
	}
	io.WriteString(late[0], head[:20])
	silent := late[7]
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	for s.hasListeners() {
		time.Sleep(time.Millisecond)
	}
	io.WriteString(late[0], head[20:])
	for _, conn := range late[1:7] {
		io.WriteString(conn, head)
	}
	for i, conn := range late[:7] {
		r := bufio.NewReader(conn)
		response, err := http.ReadResponse(r, nil)
		if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("%d: %v, %v", i, response, err)
		}
		rest, err := io.ReadAll(r)
		if err != nil || !strings.Contains(string(rest), `"welcome"`) || !strings.Contains(string(rest), `{"type":"goodbye","reason":"draining","retry_after_ms":`) {
			t.Errorf("%d: %v, %q", i, err, rest)
		}
		conn.Close()
	}
	if answer, err := io.ReadAll(silent); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 503") || !strings.Contains(string(answer), "Retry-After") {
		t.Errorf("who asked for nothing: %v, %q", err, answer)
	}
	silent.Close()
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// hasListeners reports whether the port still accepts.
func (s *Server) hasListeners() bool {
	conn, err := net.Dial("tcp", s.addr())
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// TestDrainCutsOff: a viewer that does not take what it is owed is cut off at the
// end, and that is an error.
func TestDrainCutsOff(t *testing.T) {
	t.Parallel()
	c := config.Default()
	c.Listen, c.Control, c.Loops, c.DrainTime = []string{"127.0.0.1:0"}, "", 1, 50*time.Millisecond
	c.SendBuffer, c.CommentRate = 4<<10, 0
	s, err := New(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	dialer := websocket.Dialer{NetDial: func(network, address string) (net.Conn, error) {
		conn, err := net.Dial(network, address)
		if err == nil {
			err = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		}
		return conn, err
	}}
	stalled, _, err := dialer.Dial("ws://"+s.addr()+"/ws/r", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer stalled.Close()
	talker := join(t, s, "r")
	blocked := func() bool {
		answer := make(chan bool)
		h := s.handlers[0]
		h.loop.Post(func() {
			for i := range h.loop.Slots() {
				if h.session(poller.Slot(i)).state == stateOpen && !h.shard.Drained(uint32(i)) {
					answer <- true
					return
				}
			}
			answer <- false
		})
		return <-answer
	}
	for !blocked() {
		talker.say(`{"type":"comment","text":%q}`, strings.Repeat("x", 200))
	}
	go func() {
		for {
			if _, _, err := talker.ReadMessage(); err != nil {
				talker.Close()
				return
			}
		}
	}()
	if err := s.Close(); !errors.Is(err, errDrainIncomplete) || !strings.Contains(err.Error(), "1 were cut off") {
		t.Errorf("close: %v", err)
	}
	if n := s.handlers[0].closes[reasonDrainCut]; n != 1 {
		t.Errorf("%d closes for %s", n, reasonName(reasonDrainCut))
	}
}
