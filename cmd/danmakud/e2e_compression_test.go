package main

import (
	"bytes"
	"compress/flate"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
)

// rsv1 marks a compressed message (RFC 7692 section 6).
const rsv1 = 0x40

// deflate compresses a message as a client does (RFC 7692 section 7.2.1).
func deflate(plain []byte) string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err == nil {
		_, err = w.Write(plain)
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		panic(err) // the buffer has none
	}
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

// joinCompressed joins with a foreign client that offers permessage-deflate.
func (s *instance) joinCompressed(room string) *gorilla.Conn {
	s.t.Helper()
	dialer := gorilla.Dialer{EnableCompression: true, HandshakeTimeout: patience}
	conn, r, err := dialer.Dial("ws://"+s.public[0]+"/ws/"+room, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	if r.Header.Get("Sec-WebSocket-Extensions") == "" {
		s.t.Fatal("permessage-deflate was not accepted")
	}
	conn.SetReadDeadline(time.Now().Add(patience))
	if _, p, err := conn.ReadMessage(); err != nil || !bytes.Contains(p, []byte(`"welcome"`)) {
		s.t.Fatalf("welcome: %s %v", p, err)
	}
	return conn
}

// runsAreBatches checks that every batch was compressed, and once.
func (s *instance) runsAreBatches() {
	s.t.Helper()
	m := s.metrics()
	sealed := m["danmakud_batches_sealed_total"]
	if runs := m[`danmakud_encodings_total{encoding="json_deflate"}`]; sealed == 0 || runs != sealed {
		s.t.Errorf("%v batches were sealed, %v compressed", sealed, runs)
	}
	if m[`danmakud_encodings_total{encoding="json"}`] != sealed {
		s.t.Errorf("%v batches were sealed, %v framed plain", sealed, m[`danmakud_encodings_total{encoding="json"}`])
	}
}

func TestCompatGorillaCompressed(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--compression-min=1")
	dialer := gorilla.Dialer{EnableCompression: true, Subprotocols: []string{"danmaku.v1.json"}}
	conn, _, err := dialer.Dial("ws://"+s.public[0]+"/ws/go?history=0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	converse(t, foreign{
		subprotocol: conn.Subprotocol(),
		send:        func(text string) error { return conn.WriteMessage(gorilla.TextMessage, []byte(text)) },
		read: func() ([]byte, error) {
			_, p, err := conn.ReadMessage()
			return p, err
		},
	})
	s.runsAreBatches()
	if n := s.metrics()["danmakud_inflated_messages_total"]; n != 5 {
		t.Errorf("%v messages were inflated of the 5 that were sent", n)
	}
}

func TestCompatCoderCompressed(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--compression-min=1")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, mode := range []coder.CompressionMode{coder.CompressionNoContextTakeover, coder.CompressionContextTakeover} {
		before := s.metrics()["danmakud_inflated_messages_total"]
		conn, r, err := coder.Dial(ctx, "ws://"+s.public[0]+"/ws/go?history=0", &coder.DialOptions{
			Subprotocols: []string{"danmaku.v1.json"}, HTTPClient: s.http,
			CompressionMode: mode, CompressionThreshold: 1,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.CloseNow()
		if r.Header.Get("Sec-WebSocket-Extensions") == "" {
			t.Error("permessage-deflate was not accepted")
		}
		converse(t, foreign{
			subprotocol: conn.Subprotocol(),
			send:        func(text string) error { return conn.Write(ctx, coder.MessageText, []byte(text)) },
			read: func() ([]byte, error) {
				_, p, err := conn.Read(ctx)
				return p, err
			},
		})
		if n := s.metrics()["danmakud_inflated_messages_total"] - before; n != 5 {
			t.Errorf("%v messages were inflated of the 5 that were sent", n)
		}
		if err := conn.Close(coder.StatusNormalClosure, "bye"); err != nil {
			t.Errorf("close: %v", err)
		}
		s.awaitMetric("danmakud_connections", 0) // the next begins in an empty room
	}
	s.runsAreBatches()
}

// TestCompressedOncePerBatch: the number of viewers has nothing to do with how
// often a batch is compressed, and all of them get the same bytes of JSON.
func TestCompressedOncePerBatch(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--compression-min=1", "--comment-rate=0", "--tick=20ms")
	const comments, each = 40, 15
	var compressed []*gorilla.Conn
	var plain []*viewer
	for range each {
		compressed = append(compressed, s.joinCompressed("r"))
		plain = append(plain, s.join("r"))
	}
	for i := range comments {
		plain[0].send(say(fmt.Sprintf("%d %s", i, strings.Repeat("哈", 20)), ""))
	}
	var want []string // payloads of the batches
	for got := 0; got < comments; {
		plain[0].conn.SetReadDeadline(time.Now().Add(patience))
		_, p, err := plain[0].readFrame()
		if err != nil {
			t.Fatal(err)
		}
		m, err := parseMessage(p)
		if err != nil || m.Type != "batch" {
			t.Fatalf("got %s %v", p, err)
		}
		got += len(m.comments)
		want = append(want, string(p))
	}
	for i := range each {
		for _, payload := range want {
			compressed[i].SetReadDeadline(time.Now().Add(patience))
			if _, p, err := compressed[i].ReadMessage(); err != nil || string(p) != payload {
				t.Fatalf("compressed viewer %d got %s %v, want %s", i, p, err, payload)
			}
			if i == 0 {
				continue // has read them
			}
			plain[i].conn.SetReadDeadline(time.Now().Add(patience))
			if _, p, err := plain[i].readFrame(); err != nil || string(p) != payload {
				t.Fatalf("plain viewer %d got %s %v, want %s", i, p, err, payload)
			}
		}
	}
	s.runsAreBatches()
	m := s.metrics()
	if in, out := m["danmakud_deflate_bytes_in_total"], m["danmakud_deflate_bytes_out_total"]; out == 0 || out >= in {
		t.Errorf("%v bytes in, %v out", in, out)
	}
}

// TestNobodyWantsCompression: nothing is compressed for viewers that did not ask,
// nor where the operator said so.
func TestNobodyWantsCompression(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"--compression-min=1", "--compression=false"} {
		s := startServer(t, flag)
		v := s.dial()
		offer := ""
		if flag == "--compression=false" {
			offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
		}
		v.write([]byte(requestHead("/ws/r", offer)))
		v.accepted()
		v.send(say(strings.Repeat("哈", 100), ""))
		v.until("batch") // which must have no reserved bit
		if n := s.metrics()[`danmakud_encodings_total{encoding="json_deflate"}`]; n != 0 {
			t.Errorf("%s: %v batches were compressed", flag, n)
		}
	}
}

// TestDeflateBomb: a message of 4 KiB that would become 4 MiB is cut off at the
// message limit and counted; the others in the room do not notice.
func TestDeflateBomb(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	good := s.joinCompressed("r")
	bomb := deflate(bytes.Repeat([]byte(" "), 4090<<10))
	if len(bomb) < 3900 || len(bomb) > 4096 {
		t.Fatalf("bomb of %d bytes", len(bomb))
	}
	const bombs = 20
	for i := range bombs {
		v := s.dial()
		v.write([]byte(requestHead("/ws/r", "Sec-WebSocket-Extensions: permessage-deflate\r\n")))
		v.accepted()
		if i%2 == 0 {
			v.write(masked(rsv1|opText, bomb))
		} else {
			half := len(bomb) / 2
			v.write(append(maskedFragment(rsv1|opText, false, bomb[:half]), masked(opContinuation, bomb[half:])...))
		}
		v.closedWith(1009)
	}
	s.awaitMetric(`danmakud_closes_total{reason="protocol_message_big"}`, bombs)
	if err := good.WriteMessage(gorilla.TextMessage, []byte(`{"type":"ping","ref":"still here"}`)); err != nil {
		t.Fatal(err)
	}
	good.SetReadDeadline(time.Now().Add(patience))
	if _, p, err := good.ReadMessage(); err != nil || !bytes.Contains(p, []byte("still here")) {
		t.Errorf("%s %v", p, err)
	}
}
