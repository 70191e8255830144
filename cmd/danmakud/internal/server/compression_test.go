package server

import (
	"bufio"
	"bytes"
	stdflate "compress/flate"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/room"
	"github.com/danmakud/danmakud/wsproto"
	"github.com/gorilla/websocket"
)

// joinCompressed joins with a client that offers permessage-deflate and uses it
// for what it says.
func joinCompressed(t *testing.T, s *Server, room string) viewer {
	t.Helper()
	dialer := websocket.Dialer{EnableCompression: true}
	c, r, err := dialer.Dial("ws://"+s.addr()+"/ws/"+room, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	const want = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	if got := r.Header.Get("Sec-WebSocket-Extensions"); got != want {
		t.Fatalf("answered %q", got)
	}
	v := viewer{t, c}
	v.expect("welcome")
	return v
}

// deflated is a message as a client compresses it.
func deflated(plain string) string {
	var b bytes.Buffer
	w, _ := stdflate.NewWriter(&b, 9)
	w.Write([]byte(plain))
	w.Flush()
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

const compressedFirst = 0xC1 // a whole compressed text

func (v viewer) raw(frames ...[]byte) {
	v.t.Helper()
	if _, err := v.UnderlyingConn().Write(bytes.Join(frames, nil)); err != nil {
		v.t.Fatal(err)
	}
}

func TestCompressedOnceForAll(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *config.Config) { c.CommentRate, c.Tick, c.CompressionMin = 0, config.Default().MaxTick, 300 })
	var viewers []viewer
	for range 6 {
		viewers = append(viewers, joinCompressed(t, s, "r"), join(t, s, "r"))
	}
	long := strings.Repeat("哈", 150)
	viewers[0].say(`{"type":"comment","text":"short"}`) // goes at once, and is too small
	for _, v := range viewers {
		if m := v.expect("batch"); m.texts(t)[0] != "short" {
			t.Fatalf("got %+v", m)
		}
	}
	for range 3 {
		viewers[0].say(`{"type":"comment","text":"%s"}`, long)
		viewers[1].say(`{"type":"comment","text":"%s"}`, long)
		for i, v := range viewers {
			for got := 0; got < 2; {
				m := v.expect("batch")
				for _, text := range m.texts(t) {
					if got++; text != long {
						t.Fatalf("viewer %d got %q", i, text)
					}
				}
			}
		}
	}
	sealed := s.hub.Sealed()
	for _, line := range []string{
		fmt.Sprintf(`danmakud_encodings_total{encoding="json"} %d`, sealed),
		fmt.Sprintf(`danmakud_encodings_total{encoding="json_deflate"} %d`, sealed-1), // all but the short one
		"danmakud_inflated_messages_total 4",                                          // gorilla compresses all it says
	} {
		eventually(t, s, line)
	}
	if in, out := s.hub.Deflated(); in == 0 || out > in/4 {
		t.Errorf("%d bytes in, %d out", in, out)
	}
}

// A viewer that switches rooms, or is moved to another loop before its handshake
// is answered, keeps what it has negotiated.
func TestCompressionFollowsTheViewer(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *config.Config) { c.Loops, c.CommentRate, c.CompressionMin = 4, 0, 1 })
	say := func(v viewer) {
		t.Helper()
		before := s.hub.Sealed()
		v.say(`{"type":"comment","text":"%s"}`, strings.Repeat("6", 100))
		v.expect("batch")
		if s.hub.Sealed() != before+1 || s.hub.Encoded(room.EncodingJSONDeflate) != before+1 {
			t.Fatalf("%d batches, %d compressed", s.hub.Sealed(), s.hub.Encoded(room.EncodingJSONDeflate))
		}
	}
	for i := range 12 {
		v := joinCompressed(t, s, fmt.Sprintf("home%d", i))
		say(v)
		v.say(`{"type":"switch","room":"other%d"}`, i)
		v.expect("welcome")
		say(v)
	}
	await(t, "somebody was moved: else the test shows less than it should", func() bool { return !strings.Contains(scrape(t, s), "danmakud_moved_total 0\n") })
}

func TestCompressionOffAndDeclined(t *testing.T) {
	off := start(t, func(c *config.Config) { c.Compression = false })
	on := start(t, nil)
	for _, c := range []struct {
		s             *Server
		offer, answer string
		status        int
	}{
		{off, "permessage-deflate", "", 101},
		{on, "permessage-deflate; server_max_window_bits=10", "", 101},
		{on, "permessage-deflate; server_max_window_bits=15", "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15", 101},
		{on, "permessage-deflate; what", "", 101},
		{on, "permessage-deflate;;", "", 400},
		{off, "permessage-deflate;;", "", 400},
	} {
		conn, err := net.Dial("tcp", c.s.addr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET /ws/r HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: %s\r\n\r\n", c.offer)
		r, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.StatusCode != c.status || r.Header.Get("Sec-WebSocket-Extensions") != c.answer {
			t.Errorf("%q: %d %q", c.offer, r.StatusCode, r.Header)
		}
		conn.Close()
	}
	eventually(t, on, `danmakud_closes_total{reason="refused_extensions"} 1`)
}

// A reload decides about who comes later; who is there keeps what it negotiated.
func TestCompressionAfterReload(t *testing.T) {
	s := start(t, func(c *config.Config) { c.CommentRate, c.CompressionMin = 0, 1 })
	before := joinCompressed(t, s, "r")
	changed := *s.settings()
	changed.Compression, changed.CompressionLevel = false, 1
	if err := s.apply(&changed); err != nil {
		t.Fatal(err)
	}
	for _, h := range s.handlers {
		on(t, h, func() {}) // has the new settings
	}
	dialer := websocket.Dialer{EnableCompression: true}
	conn, r, err := dialer.Dial("ws://"+s.addr()+"/ws/r", nil)
	if err != nil || r.Header.Get("Sec-WebSocket-Extensions") != "" {
		t.Fatalf("%v %v", r, err)
	}
	defer conn.Close()
	after := viewer{t, conn}
	after.expect("welcome")
	before.say(`{"type":"comment","text":"%s"}`, strings.Repeat("6", 100))
	before.expect("batch")
	after.expect("batch")
	if s.hub.Encoded(room.EncodingJSONDeflate) != 1 {
		t.Error("who was there gets no compressed batches")
	}
}

// What is wrong with a compressed message ends the connection, each with its own
// code and counter, and the next message of another viewer is none the worse.
func TestBadCompressedMessages(t *testing.T) {
	t.Parallel()
	bomb := deflated(strings.Repeat("x", 70_000))
	if len(bomb) > 125 {
		t.Fatalf("bomb of %d bytes", len(bomb))
	}
	fragments := func(first byte, message string, size int) (p []byte) {
		for begin := true; ; begin = false {
			n := min(size, len(message))
			b := byte(continuation)
			if begin {
				b = first
			}
			if n == len(message) {
				b |= 0x80
			}
			p = append(p, frame(b, message[:n])...)
			if message = message[n:]; message == "" {
				return p
			}
		}
	}
	noise := strings.Repeat("\x00\x64\x00\x9b\xff"+strings.Repeat("n", 100), 60) // stored blocks, above the limit as they are
	for _, c := range []struct {
		name, reason string
		code         int
		frames       []byte
	}{
		{"bomb", "protocol_message_big", 1009, frame(compressedFirst, bomb)},
		{"bomb in fragments", "protocol_message_big", 1009, fragments(0x41, bomb, 10)},
		{"fragments above the limit", "protocol_message_big", 1009, fragments(0x41, noise, 100)},
		{"broken", "protocol_deflate", 1007, frame(compressedFirst, "not deflate at all")},
		{"broken in fragments", "protocol_deflate", 1007, fragments(0x41, "not deflate at all", 3)},
		{"cut", "protocol_deflate", 1007, frame(compressedFirst, deflated(`{"type":"ping"}`)[:9])},
		{"not UTF-8", "protocol_text_utf8", 1007, frame(compressedFirst, deflated("\xff"))},
		{"binary", "binary", 1003, frame(0xC2, bomb)}, // is not even inflated
		{"compressed ping", "protocol_reserved_bits", 1002, frame(0xC9, "x")},
		{"compressed continuation", "protocol_reserved_bits", 1002, append(frame(0x41, "\x00"), frame(0xC0, "")...)},
		{"second reserved bit", "protocol_reserved_bits", 1002, frame(0xE1, deflated(`{"type":"ping"}`))},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, func(c *config.Config) { c.Loops = 1 })
			good, bad := joinCompressed(t, s, "r"), joinCompressed(t, s, "r")
			bad.raw(c.frames)
			if code := bad.expectClose(); code != c.code {
				t.Errorf("closed with %d, want %d", code, c.code)
			}
			bad.Close()
			eventually(t, s, fmt.Sprintf("danmakud_closes_total{reason=%q} 1", c.reason))
			good.say(`{"type":"ping","ref":"still here"}`)
			if m := good.expect("pong"); m.Ref != "still here" {
				t.Errorf("got %+v", m)
			}
		})
	}
}

// Legal ways to send a compressed message.
func TestGoodCompressedMessages(t *testing.T) {
	s := start(t, nil)
	v := joinCompressed(t, s, "r")
	ping := deflated(`{"type":"ping","ref":"a"}`)
	v.raw(
		frame(compressedFirst, ping),
		frame(0x41, ping[:5]), frame(pingFirst, "between"), frame(continuation, ping[5:6]), frame(lastPart, ping[6:]),
		frame(0x41, ""), frame(lastPart, ping),
		frame(0x81, `{"type":"ping","ref":"a"}`), // plain among compressed
	)
	for range 4 {
		if m := v.expect("pong"); m.Ref != "a" {
			t.Fatalf("got %+v", m)
		}
	}
	eventually(t, s, "danmakud_inflated_messages_total 3")
	v.raw(frame(compressedFirst, "\x00")) // an empty message is no JSON
	if m := v.expect("error"); m.Code != "bad_json" {
		t.Fatalf("got %+v", m)
	}
}

func TestCompressedWithoutNegotiation(t *testing.T) {
	s := start(t, nil)
	v := join(t, s, "r")
	v.raw(frame(compressedFirst, deflated(`{"type":"ping"}`)))
	if code := v.expectClose(); code != int(wsproto.CodeProtocol) {
		t.Errorf("closed with %d", code)
	}
	v.Close()
	eventually(t, s, `danmakud_closes_total{reason="protocol_reserved_bits"} 1`)
}
