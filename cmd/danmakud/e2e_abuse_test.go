package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestRefusedHandshakes(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	good := requestHead("/ws/a")
	for _, tc := range []struct {
		name, head string
		status     int
		header     string // of the answer, must be there
	}{
		{"not GET", strings.Replace(good, "GET", "POST", 1), 405, "Allow"},
		{"HTTP/1.0", strings.Replace(good, "HTTP/1.1", "HTTP/1.0", 1), 505, ""},
		{"no version of HTTP", "GET /ws/a\r\n\r\n", 400, ""},
		{"garbage", "\x16\x03\x01\x02\x00\x01\r\n\r\n", 400, ""},
		{"no host", strings.Replace(good, "Host: danmaku.test\r\n", "", 1), 400, ""},
		{"version 12", strings.Replace(good, "Version: 13", "Version: 12", 1), 426, "Sec-Websocket-Version"},
		{"no key", strings.Replace(good, "Sec-WebSocket-Key: "+testKey+"\r\n", "", 1), 400, ""},
		{"short key", strings.Replace(good, testKey, "AAEC", 1), 400, ""},
		{"subprotocol unknown", requestHead("/ws/a", "Sec-WebSocket-Protocol: chat, mqtt\r\n"), 400, ""},
		{"foreign origin", requestHead("/ws/a", "Origin: https://evil.example\r\n"), 403, ""},
		{"room name", requestHead("/ws/a%20b"), 400, ""},
		{"room name too long", requestHead("/ws/" + strings.Repeat("a", 65)), 400, ""},
		{"no room", requestHead("/ws/"), 400, ""},
		{"no room in query", requestHead("/ws?rom=a"), 400, ""},
		{"another path", requestHead("/socket"), 404, ""},
		{"history", requestHead("/ws/a?history=all"), 400, ""},
		{"head too large", requestHead("/ws/a", "X: "+strings.Repeat("x", 8<<10)+"\r\n"), 431, ""},
		{"head without end", "GET /ws/a HTTP/1.1\r\nX: " + strings.Repeat("x", 8<<10), 431, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := s.dial()
			v.write([]byte(tc.head))
			r, body := v.response()
			if r.StatusCode != tc.status {
				t.Errorf("answer %s %q, want %d", r.Status, body, tc.status)
			}
			if body == "" || !r.Close {
				t.Errorf("body %q, close %v; want something to read, and the end", body, r.Close)
			}
			if tc.header != "" && r.Header.Get(tc.header) == "" {
				t.Errorf("no %s in %v", tc.header, r.Header)
			}
			v.ended()
		})
	}
}

func TestAcceptedHandshakes(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--origin=https://friend.example,*.friend.example")
	for _, head := range []string{
		requestHead("/ws/" + strings.Repeat("a", 64)),
		requestHead("/ws/A-z_0.9:x"),
		requestHead("/ws?room=a&history=0"),
		requestHead("/ws?history=0&room=%61"),
		requestHead("/ws/a", "Origin: http://danmaku.test\r\n"),
		requestHead("/ws/a", "Origin: https://friend.example\r\n"),
		requestHead("/ws/a", "Origin: https://my.friend.example\r\n"),
		strings.NewReplacer("Upgrade: websocket", "UPGRADE:WebSocket ", "Connection: Upgrade", "connection: keep-alive, upgrade").Replace(requestHead("/ws/a")),
		requestHead("/ws/a", "X: "+strings.Repeat("x", 7<<10)+"\r\n"),
	} {
		v := s.dial()
		v.write([]byte(head))
		if err := v.readAccepted(); err != nil {
			t.Errorf("%.300s\n%v", head, err)
		}
	}
	v := s.dial()
	v.write([]byte(requestHead("/ws/a", "Sec-WebSocket-Protocol: mqtt, danmaku.v1.json\r\n")))
	r, err := http.ReadResponse(v.r, nil)
	if err != nil || r.Header.Get("Sec-WebSocket-Protocol") != "danmaku.v1.json" {
		t.Errorf("subprotocol answered with %v, %v", r, err)
	}
}

// TestOriginDefault: without --origin a page of the same host may connect, under any
// scheme, and so may what is no page; with it those that it names may, too.
func TestOriginDefault(t *testing.T) {
	t.Parallel()
	for _, s := range []*instance{startServer(t), startServer(t, "--origin=https://friend.example")} {
		for _, origin := range []string{"", "Origin: http://danmaku.test\r\n", "Origin: https://DANMAKU.test\r\n"} {
			v := s.dial()
			v.write([]byte(requestHead("/ws/a", origin)))
			if err := v.readAccepted(); err != nil {
				t.Errorf("%q: %v", origin, err)
			}
		}
		for _, origin := range []string{"https://evil.example", "https://danmaku.test.evil.example", "https://sub.danmaku.test", "http://danmaku.test:81", "null"} {
			v := s.dial()
			v.write([]byte(requestHead("/ws/a", "Origin: "+origin+"\r\n")))
			if r, _ := v.response(); r.StatusCode != http.StatusForbidden {
				t.Errorf("%q: answered %s, want 403", origin, r.Status)
			}
		}
		s.awaitMetric(`danmakud_closes_total{reason="refused_origin"}`, 5)
	}
}

// TestSlowHandshake: a head that does not come to its end within the handshake
// timeout is answered with 408.
func TestSlowHandshake(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--handshake-timeout=1s")
	silent, partial, trickled := s.dial(), s.dial(), s.dial()
	partial.write([]byte(requestHead("/ws/a")[:60]))
	go func() { // bytes that come one by one buy no time
		for i := 0; i < len(requestHead("/ws/a")) && trickled.writeAll([]byte(requestHead("/ws/a"))[i:i+1]) == nil; i++ {
			time.Sleep(100 * time.Millisecond)
		}
	}()
	for name, v := range map[string]*viewer{"silent": silent, "partial": partial, "trickled": trickled} {
		if r, body := v.response(); r.StatusCode != http.StatusRequestTimeout || body == "" {
			t.Errorf("%s: answer %s %q, want 408", name, r.Status, body)
		}
		v.ended()
	}
	s.awaitMetric(`danmakud_closes_total{reason="handshake_timeout"}`, 3)
	s.awaitMetric("danmakud_connections", 0)
}

// TestProtocolViolations: bytes that are not the protocol, and the close code
// that RFC 6455 names for them.
func TestProtocolViolations(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	unmasked := append(frameHeader(opText, true, false, 2), "{}"...)
	reserved := masked(opText, "{}")
	reserved[0] |= 0x40
	longPing := masked(opPing, strings.Repeat("p", 126))
	for _, tc := range []struct {
		name string
		p    []byte
		code int
	}{
		{"unmasked", unmasked, 1002},
		{"reserved bit", reserved, 1002},
		{"unknown opcode", masked(0x3, ""), 1002},
		{"unknown control opcode", masked(0xB, ""), 1002},
		{"long ping", longPing, 1002},
		{"fragmented ping", maskedFragment(opPing, false, ""), 1002},
		{"continuation of nothing", maskedFragment(opContinuation, true, "{}"), 1002},
		{"message inside a message", append(maskedFragment(opText, false, "{"), masked(opText, "{}")...), 1002},
		{"close of one byte", masked(opClose, "\x03"), 1002},
		{"close code 999", masked(opClose, "\x03\xe7"), 1002},
		{"close code 1005", masked(opClose, "\x03\xed"), 1002},
		{"close reason not UTF-8", masked(opClose, "\x03\xe8\xff"), 1007},
		{"not UTF-8", masked(opText, "{\"type\":\"comment\",\"text\":\"\xff\"}"), 1007},
		{"not UTF-8 in a fragment", append(maskedFragment(opText, false, "\xe4\xb8"), maskedFragment(opContinuation, false, "\x20")...), 1007},
		{"cut character at the end", masked(opText, "\xe4\xb8"), 1007},
		{"surrogate", masked(opText, "\xed\xa0\x80"), 1007},
		{"binary", masked(opBinary, "{}"), 1003},
		{"too big, header alone", frameHeader(opText, true, true, 4097), 1009},
		{"too big in sum", append(maskedFragment(opText, false, strings.Repeat(" ", 3000)), maskedFragment(opContinuation, true, strings.Repeat(" ", 1097))...), 1009},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := s.join("v")
			v.write(tc.p)
			v.closedWith(tc.code)
		})
	}
	// The limit itself is allowed.
	v := s.join("v")
	v.send(fmt.Sprintf(`{"type":"ping","ref":"x"%s}`, strings.Repeat(" ", 4096-25)))
	if pong, _ := v.until("pong"); pong.Ref != "x" {
		t.Errorf("got %+v", pong)
	}
	s.awaitMetric("danmakud_connections", 1)
}

// TestFragmentsWithControlFramesBetween: a message in pieces, cut inside a
// character, with pings between them.
func TestFragmentsWithControlFramesBetween(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	v := s.join("f")
	message := say("前方高能", "")
	var p []byte
	for i := range len(message) {
		op := byte(opContinuation)
		if i == 0 {
			op = opText
		}
		p = append(p, maskedFragment(op, i == len(message)-1, message[i:i+1])...)
		if i%16 == 0 {
			p = append(p, masked(opPing, "between")...)
		}
	}
	v.write(p)
	if b, _ := v.until("batch"); b.comments[0].Text != "前方高能" {
		t.Errorf("got %+v", b)
	}
}

// TestCommentFlood: beyond burst and rate a comment is answered with
// rate_limited and the connection stays.
func TestCommentFlood(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--comment-rate=0.001", "--comment-burst=2")
	v := s.join("f")
	v.send(say("1", "a"), say("2", "b"), say("3", "c"), say("4", ""))
	var acks, limited []string
	for _, m := range v.ping("p") {
		switch {
		case m.Type == "ack":
			acks = append(acks, m.Ref)
		case m.Type == "error" && m.Code == "rate_limited" && m.RetryMs > 0 && m.Message != "":
			limited = append(limited, m.Ref)
		case m.Type == "batch":
		default:
			t.Errorf("unexpected %+v", m)
		}
	}
	if fmt.Sprint(acks) != "[a b]" || fmt.Sprint(limited) != "[c ]" {
		t.Errorf("acks %q, rate_limited %q; want a b and c", acks, limited)
	}
	// Every kind of message is paid for from the same budget.
	for _, m := range []string{`{"type":"ping","ref":"z"}`, `{"type":"like","ref":"z"}`, `{"type":"switch","room":"g","ref":"z"}`} {
		v.send(m)
		if e, _ := v.until("error"); e.Code != "rate_limited" || e.Ref != "z" {
			t.Errorf("%s beyond the rate gives %+v", m, e)
		}
	}
	if other := s.join("f"); len(other.welcome.History) != 2 {
		t.Errorf("%d comments were published, want 2", len(other.welcome.History))
	}
}

// TestAbuseIsClosed: who goes on being refused is closed with 1008; others do
// not notice.
func TestAbuseIsClosed(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--comment-rate=0.001", "--comment-burst=1")
	for name, message := range map[string]string{
		"bad JSON": "{", "comments beyond the rate": say("spam", ""),
	} {
		v := s.join("f")
		p := []byte(nil)
		for range 400 {
			p = append(p, masked(opText, message)...)
		}
		v.writeAll(p)
		t.Run(name, func(t *testing.T) { v.closedWith(1008) })
	}
	s.awaitMetric(`danmakud_closes_total{reason="abuse"}`, 2)
	s.join("f").ping("p")
}

// TestPeersThatVanish: connections that end without a close handshake, by RST
// or by FIN, leave the counts and the rooms.
func TestPeersThatVanish(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--loops=2")
	stays := s.join("v")
	for i := range 40 {
		v := s.join("v")
		switch i % 4 {
		case 0:
			v.reset()
		case 1:
			v.conn.Close()
		case 2: // half-closed; the rest is kept open
			v.closeWrite()
		case 3: // in the middle of a frame
			v.write(masked(opText, say("never", ""))[:9])
			v.reset()
		}
	}
	for range 10 { // and in the middle of a handshake
		v := s.dial()
		v.write([]byte(requestHead("/ws/v")[:50]))
		v.reset()
	}
	s.awaitMetric("danmakud_connections", 1)
	if n := s.online("v"); n != 1 {
		t.Errorf("%d online, want 1", n)
	}
	if got := stays.ping("p"); len(got) != 0 {
		t.Errorf("a cut message had an effect: %+v", got)
	}
}
