package main

import (
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// hostile is a kind of viewer that means no good.
type hostile struct {
	name string
	head string // what it says first, a request for the room "bad" when empty
	// attack writes until the server has had enough, which over tells.
	attack func(v *viewer, over <-chan struct{})
	reason string // of danmakud_closes_total
	code   int    // close code or, below 1000, HTTP status; 0 = no answer at all
}

// once writes p and no more.
func once(p []byte) func(*viewer, <-chan struct{}) {
	return func(v *viewer, _ <-chan struct{}) { v.writeAll(p) }
}

// atLineRate writes p over and over.
func atLineRate(p []byte) func(*viewer, <-chan struct{}) {
	block := []byte(strings.Repeat(string(p), 1+(32<<10)/len(p)))
	return func(v *viewer, over <-chan struct{}) {
		for v.writeAll(block) == nil {
			select {
			case <-over:
				return
			default:
			}
		}
	}
}

// trickle writes first, and then next part by part, without ever coming to an end.
func trickle(first []byte, next []byte) func(*viewer, <-chan struct{}) {
	return func(v *viewer, over <-chan struct{}) {
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for err := v.writeAll(first); err == nil; err = v.writeAll(next) {
			select {
			case <-over:
				return
			case <-ticker.C:
			}
		}
	}
}

var hostiles = []hostile{
	{"slow head", "GET /ws/bad HTTP/1.1\r\n", trickle(nil, []byte("X")), "handshake_timeout", 408},
	{"one byte", "G", trickle(nil, nil), "handshake_timeout", 408},
	{"endless head", "GET /ws/bad HTTP/1.1\r\nX: ", atLineRate([]byte("X")), "head_too_large", 431},
	{"slow frame header", "", trickle([]byte{0x81}, nil), "message_timeout", 1008},
	{"slow payload", "", trickle(frameHeader(opText, true, true, 4000), []byte("x")), "message_timeout", 1008},
	{"slow fragments", "", trickle(maskedFragment(opText, false, ""), maskedFragment(opContinuation, false, " ")), "message_timeout", 1008},
	{"pings between slow fragments", "", trickle(maskedFragment(opText, false, "{"), masked(opPong, "")), "message_timeout", 1008},
	{"pings at line rate", "", atLineRate(masked(opPing, "ping")), "flood_pings", 1008},
	{"pongs at line rate", "", atLineRate(masked(opPong, "")), "flood_frames", 1008},
	{"continuations of nothing", "", atLineRate(maskedFragment(opContinuation, false, "")), "protocol_continuation", 1002},
	{"fragments without end", "", atLineRateBehind(maskedFragment(opText, false, ""), maskedFragment(opContinuation, false, "")), "flood_frames", 1008},
	{"long messages at line rate", "", atLineRate(masked(opText, `{"type":"like"`+strings.Repeat(" ", 4000)+"}")), "flood_bytes", 1008},
	{"bad JSON at line rate", "", atLineRate(masked(opText, "{")), "abuse", 1008},
	{"2^63", "", once(frameHeader(opText, true, true, 1<<63)), "protocol_length_top_bit", 1002},
	{"2^63-1", "", once(frameHeader(opText, true, true, 1<<63-1)), "protocol_frame_big", 1009},
	{"bad UTF-8", "", once(masked(opText, "\xff")), "protocol_text_utf8", 1007},
	{"unmasked", "", once(append(frameHeader(opText, true, false, 2), "{}"...)), "protocol_unmasked", 1002},
	{"garbage for PROXY", "PROXY TCP9 a b c d\r\n", once(nil), "proxy_header", 0},
	{"HTTP for PROXY", requestHead("/ws/bad"), once(nil), "proxy_header", 0},
}

// atLineRateBehind is atLineRate with something else first.
func atLineRateBehind(first, p []byte) func(*viewer, <-chan struct{}) {
	rest := atLineRate(p)
	return func(v *viewer, over <-chan struct{}) {
		if v.writeAll(first) == nil {
			rest(v, over)
		}
	}
}

// dialFrom connects from an address of this host.
func (s *instance) dialFrom(ip string) *viewer {
	s.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	conn, err := d.Dial("tcp", s.public[0])
	if err != nil {
		s.t.Fatal(err)
	}
	return s.viewerOn(conn)
}

// TestHostileViewers: hostile viewers of every kind beside good ones. Each is
// closed for its own counted reason; the good ones miss nothing.
func TestHostileViewers(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has all of 127.0.0.0/8 on its loopback")
	}
	const each, perAddress = 8, 10
	s := startServer(t, "--loops=2", "--handshake-timeout=8s", "--message-timeout=8s", // which the quick ones must not meet on a busy machine
		"--comment-rate=50", "--comment-burst=100", "--frame-rate=50", "--frame-burst=200",
		"--byte-rate=65536", "--byte-burst=196608", "--ping-rate=10", "--ping-burst=100",
		fmt.Sprintf("--max-connections-per-address=%d", perAddress), "--proxy-protocol=127.0.2.0/24")
	behindProxy := s.dialFrom("127.0.2.200")
	behindProxy.write([]byte("PROXY TCP4 192.0.2.1 192.0.2.2 40000 80\r\n" + requestHead("/ws/good")))
	behindProxy.accepted()
	good := s.watchGood(behindProxy, s.join("good"), s.join("good"), s.join("good"), s.join("good"))
	want := make(map[string]float64)
	var attacks sync.WaitGroup
	for i, kind := range hostiles {
		want[kind.reason] += each
		net := 1
		if kind.code == 0 {
			net = 2
		}
		for range each {
			v := s.dialFrom(fmt.Sprintf("127.0.%d.%d", net, i+1))
			attacks.Go(func() {
				if err := kind.run(v); err != nil {
					t.Errorf("%s: %v", kind.name, err)
				}
			})
		}
	}
	for range perAddress + each { // too many of one address, and nothing else wrong with them
		v := s.dialFrom("127.0.3.1")
		attacks.Go(func() {
			v.writeAll([]byte(requestHead("/ws/bad")))
			if r, err := http.ReadResponse(v.r, nil); err != nil || r.StatusCode != 101 && (r.StatusCode != 503 || r.Header.Get("Retry-After") == "") {
				t.Errorf("one of many of an address: %v, %v", r, err)
			}
		})
	}
	attacks.Wait()
	good.end()
	want["address_full"] = each
	for reason, n := range want {
		s.awaitMetric(fmt.Sprintf("danmakud_closes_total{reason=%q}", reason), n)
	}
	s.awaitMetric(`danmakud_rejected_total{reason="address"}`, each)
	s.awaitMetric("danmakud_partial_bytes", 0)
	s.awaitMetric("danmakud_panics_total", 0)
}

// run is one hostile viewer, from its first word to the server's last.
func (kind *hostile) run(v *viewer) error {
	defer v.conn.Close()
	v.conn.SetDeadline(time.Now().Add(patience))
	head := kind.head
	if head == "" {
		head = requestHead("/ws/bad")
	}
	if err := v.writeAll([]byte(head)); err != nil {
		return err
	}
	if kind.head == "" {
		if err := v.readAccepted(); err != nil {
			return err
		}
	}
	over := make(chan struct{})
	var attack sync.WaitGroup
	attack.Go(func() { kind.attack(v, over) })
	defer attack.Wait()
	defer v.conn.Close() // before: it may be in a write that nobody reads any more
	defer close(over)
	switch {
	case kind.code == 0:
		if b, err := v.r.ReadByte(); err == nil {
			return fmt.Errorf("answered with %q", b)
		}
	case kind.code < 1000:
		r, err := http.ReadResponse(v.r, nil)
		if err != nil || r.StatusCode != kind.code {
			return fmt.Errorf("answered with %v, %w; want %d", r, err, kind.code)
		}
	default:
		for {
			m, err := v.read()
			if err != nil {
				return err
			}
			if m.Type == "close" {
				if m.closeCode != kind.code {
					return fmt.Errorf("closed with %d %q, want %d", m.closeCode, m.Reason, kind.code)
				}
				return nil
			}
		}
	}
	return nil
}

// goodViewers talk to each other for as long as an attack lasts.
type goodViewers struct {
	stop chan struct{}
	done sync.WaitGroup
}

// watchGood lets viewers watch their room, in which one more speaks.
func (s *instance) watchGood(viewers ...*viewer) *goodViewers {
	s.t.Helper()
	g := &goodViewers{stop: make(chan struct{})}
	for i, v := range viewers {
		g.done.Go(func() {
			if said, err := v.watchAll(); err != nil {
				s.t.Errorf("good viewer %d, after %d comments: %v", i, said, err)
			}
		})
	}
	speaker := s.join("good")
	g.done.Go(func() {
		if err := speaker.speak(g.stop); err != nil {
			s.t.Errorf("speaker: %v", err)
		}
	})
	return g
}

// end lets the speaker say its last word and waits until everybody has heard it.
func (g *goodViewers) end() {
	close(g.stop)
	g.done.Wait()
}

const lastWord = "that is all"

// speak says numbers, each after the last was acknowledged.
func (v *viewer) speak(stop <-chan struct{}) error {
	ticker := time.NewTicker(40 * time.Millisecond)
	defer ticker.Stop()
	for i := 0; ; i++ {
		text := fmt.Sprint(i)
		select {
		case <-stop:
			text = lastWord
		case <-ticker.C:
		}
		if err := v.writeAll(masked(opText, say(text, text))); err != nil {
			return err
		}
		for {
			m, err := v.read()
			switch {
			case err != nil:
				return err
			case m.Type == "error" || m.Type == "close":
				return fmt.Errorf("%q answered with %+v", text, m)
			}
			if m.Type == "ack" {
				break
			}
		}
		if text == lastWord {
			return nil
		}
	}
}

// watchAll reads up to the last word; nothing may be missing before it.
func (v *viewer) watchAll() (said int, err error) {
	for seq := v.welcome.Seq + 1; ; seq++ {
		m, err := v.read()
		switch {
		case err != nil:
			return said, err
		case m.Type != "batch" || m.Seq != seq:
			return said, fmt.Errorf("got %+v, want batch %d", m, seq)
		}
		for _, text := range m.texts() {
			if text == lastWord {
				return said, nil
			}
			if text != fmt.Sprint(said) {
				return said, fmt.Errorf("got comment %q", text)
			}
			said++
		}
	}
}
