package main

import (
	"bufio"
	"bytes"
	"compress/flate"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// Opcodes (RFC 6455 section 5.2).
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

// viewer is the client side of one connection, written apart from the server's
// code so that an error in both is unlikely. Used by one goroutine at a time.
type viewer struct {
	t       *testing.T
	conn    net.Conn
	r       *bufio.Reader
	welcome message
	tag     string        // payload of the ping frame under way
	inflate io.ReadCloser // if the server took permessage-deflate
}

// message is anything the server sends: every field of protocol section 3. A
// field it does not know is an error. A close frame has the type "close".
type message struct {
	Type     string    `json:"type"`
	Room     string    `json:"room"`
	Epoch    string    `json:"epoch"`
	Seq      uint64    `json:"seq"`
	TickMs   int       `json:"tick_ms"`
	TS       int64     `json:"ts"`
	Online   *int      `json:"online"`
	Likes    int       `json:"likes"`
	Sampled  int       `json:"sampled"`
	UID      string    `json:"uid"`
	Name     string    `json:"name"`
	Role     string    `json:"role"`
	History  []comment `json:"history"`
	Resumed  *bool     `json:"resumed"`
	Degraded bool      `json:"degraded"`
	Settings struct {
		Closed   bool   `json:"closed"`
		SlowMode int64  `json:"slow_mode_ms"`
		MinRole  string `json:"min_role"`
	} `json:"settings"`
	Superchats []struct {
		comment
		Left int `json:"left_s"`
	} `json:"superchats"`
	Ref       string `json:"ref"`
	ID        string `json:"id"`
	Code      string `json:"code"`
	Message   string `json:"message"`
	RetryMs   int    `json:"retry_after_ms"`
	From      uint64 `json:"from"`
	To        uint64 `json:"to"`
	Batches   uint64 `json:"batches"`
	Reason    string `json:"reason"`
	Host      string `json:"host"`
	closeCode int
	// Comments is the list of a batch and the number of a skipped notice.
	Comments json.RawMessage `json:"comments"`
	comments []comment
	missed   int
}

type comment struct {
	ID    string `json:"id"`
	UID   string `json:"uid"`
	Name  string `json:"name"`
	Role  string `json:"role"`
	Text  string `json:"text"`
	TS    int64  `json:"ts"`
	Color *int   `json:"color"`
	Mode  string `json:"mode"`
	Size  string `json:"size"`
	Kind  string `json:"kind"`
	Count int    `json:"count"`

	Gift     string `json:"gift"`
	Num      int    `json:"num"`
	Price    int64  `json:"price"`
	Duration int    `json:"duration_s"`
}

func (m message) texts() []string {
	var texts []string
	for _, c := range m.comments {
		texts = append(texts, c.Text)
	}
	return texts
}

const testKey = "AAECAwQFBgcICQoLDA0ODw=="

// requestHead returns a complete upgrade request; extra lines end with \r\n.
func requestHead(target string, extra ...string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: danmaku.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: " + testKey + "\r\nSec-WebSocket-Version: 13\r\n" + strings.Join(extra, "") + "\r\n"
}

// dial opens a plain connection to the public port, closed with the test.
func (s *instance) dial() *viewer {
	s.t.Helper()
	conn, err := s.place.dial(s.public[0])
	if err != nil {
		s.t.Fatal(err)
	}
	return s.viewerOn(conn)
}

func (s *instance) viewerOn(conn net.Conn) *viewer {
	s.t.Cleanup(func() { conn.Close() })
	return &viewer{t: s.t, conn: conn, r: bufio.NewReader(conn)}
}

// join opens a connection to a room and reads up to its welcome. Extra lines of
// the request end with \r\n.
func (s *instance) join(room string, extra ...string) *viewer {
	s.t.Helper()
	v := s.dial()
	v.write([]byte(requestHead("/ws/"+room, extra...)))
	v.accepted()
	return v
}

// accepted reads the answer to a good upgrade request, and the welcome.
func (v *viewer) accepted() {
	v.t.Helper()
	if err := v.readAccepted(); err != nil {
		v.t.Fatal(err)
	}
}

func (v *viewer) readAccepted() error {
	v.conn.SetReadDeadline(time.Now().Add(patience))
	r, err := http.ReadResponse(v.r, nil)
	if err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	sum := sha1.Sum([]byte(testKey + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	if want := base64.StdEncoding.EncodeToString(sum[:]); r.StatusCode != 101 || r.Header.Get("Sec-WebSocket-Accept") != want {
		body, _ := io.ReadAll(r.Body)
		return fmt.Errorf("handshake answered %s %v %s", r.Status, r.Header, body)
	}
	if r.Header.Get("Sec-WebSocket-Extensions") != "" {
		v.inflate = flate.NewReader(nil)
	}
	if v.welcome, err = v.read(); err != nil {
		return fmt.Errorf("welcome: %w", err)
	}
	if v.welcome.Type != "welcome" {
		return fmt.Errorf("first message is %+v, want welcome", v.welcome)
	}
	return nil
}

// write sends bytes as they are.
func (v *viewer) write(p []byte) {
	v.t.Helper()
	if err := v.writeAll(p); err != nil {
		v.t.Fatal(err)
	}
}

func (v *viewer) writeAll(p []byte) error {
	v.conn.SetWriteDeadline(time.Now().Add(patience))
	_, err := v.conn.Write(p)
	return err
}

// send sends each message as a text frame, all in one write.
func (v *viewer) send(messages ...string) {
	v.t.Helper()
	var p []byte
	for _, m := range messages {
		p = append(p, masked(opText, m)...)
	}
	v.write(p)
}

// say returns the JSON of a comment; without ref there will be no ack.
func say(text, ref string) string {
	m := map[string]string{"type": "comment", "text": text}
	if ref != "" {
		m["ref"] = ref
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// masked returns a whole client frame (RFC 6455 section 5.3).
func masked(op byte, payload string) []byte { return maskedFragment(op, true, payload) }

func maskedFragment(op byte, fin bool, payload string) []byte {
	p := frameHeader(op, fin, true, uint64(len(payload)))
	key := [4]byte{0x5a, byte(len(payload)), 0xc3, 0x17}
	p = append(p, key[:]...)
	for i := range len(payload) {
		p = append(p, payload[i]^key[i%4])
	}
	return p
}

// frameHeader returns a header up to, not including, the masking key.
func frameHeader(op byte, fin, mask bool, n uint64) []byte {
	first, bit := op, byte(0)
	if fin {
		first |= 0x80
	}
	if mask {
		bit = 0x80
	}
	switch {
	case n < 126:
		return []byte{first, bit | byte(n)}
	case n < 1<<16:
		return binary.BigEndian.AppendUint16([]byte{first, bit | 126}, uint16(n))
	}
	return binary.BigEndian.AppendUint64([]byte{first, bit | 127}, n)
}

// readFrame reads one frame and checks what every server frame must be: whole,
// unmasked, without reserved bits, its length written in the shortest way.
func (v *viewer) readFrame() (op byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(v.r, head[:]); err != nil {
		return 0, nil, err
	}
	compressed := v.inflate != nil && head[0]&rsv1 != 0 && head[0]&0x0f == opText
	if compressed {
		head[0] &^= rsv1
	}
	if head[0]&0xf0 != 0x80 || head[1]&0x80 != 0 {
		return 0, nil, fmt.Errorf("frame header %x: not whole, masked, or reserved bits", head)
	}
	n := uint64(head[1])
	switch n {
	case 126:
		var b [2]byte
		if _, err := io.ReadFull(v.r, b[:]); err != nil {
			return 0, nil, err
		}
		if n = uint64(binary.BigEndian.Uint16(b[:])); n < 126 {
			return 0, nil, fmt.Errorf("length %d is not written in the shortest way", n)
		}
	case 127:
		var b [8]byte
		if _, err := io.ReadFull(v.r, b[:]); err != nil {
			return 0, nil, err
		}
		if n = binary.BigEndian.Uint64(b[:]); n < 1<<16 || n > 64<<20 {
			return 0, nil, fmt.Errorf("length %d", n)
		}
	}
	payload = make([]byte, n)
	if _, err = io.ReadFull(v.r, payload); err == nil && compressed {
		payload, err = v.inflated(payload)
	}
	return head[0] & 0x0f, payload, err
}

// deflateOffer is a line of a request.
const deflateOffer = "Sec-WebSocket-Extensions: permessage-deflate\r\n"

// inflated returns what a compressed message says (RFC 7692 section 7.2.2). Each
// stands alone.
func (v *viewer) inflated(p []byte) ([]byte, error) {
	// The tail that the sender cut off, and a last, empty block.
	const tail = "\x00\x00\xff\xff\x01\x00\x00\xff\xff"
	v.inflate.(flate.Resetter).Reset(io.MultiReader(bytes.NewReader(p), strings.NewReader(tail)), nil)
	plain, err := io.ReadAll(io.LimitReader(v.inflate, 64<<20))
	if err != nil {
		return nil, fmt.Errorf("compressed message of %d bytes: %w", len(p), err)
	}
	return plain, nil
}

// read returns the next message; pings are answered on the way, and do not
// count as something that came.
func (v *viewer) read() (message, error) {
	v.conn.SetReadDeadline(time.Now().Add(patience))
	for {
		op, payload, err := v.readFrame()
		if err != nil {
			return message{}, err
		}
		if op != opClose && op != opPong && op != opPing && !utf8.Valid(payload) {
			return message{}, fmt.Errorf("message is not UTF-8: %q", payload)
		}
		switch op {
		case opPing:
			if err := v.writeAll(masked(opPong, string(payload))); err != nil {
				return message{}, err
			}
		case opPong:
			if v.tag != "" && v.tag == string(payload) {
				return message{Type: "pong frame"}, nil
			}
		case opClose:
			m := message{Type: "close"}
			if len(payload) >= 2 {
				m.closeCode, m.Reason = int(binary.BigEndian.Uint16(payload)), string(payload[2:])
			}
			return m, nil
		case opText:
			return parseMessage(payload)
		default:
			return message{}, fmt.Errorf("frame with opcode %d", op)
		}
	}
}

func parseMessage(payload []byte) (m message, err error) {
	d := json.NewDecoder(bytes.NewReader(payload))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return m, fmt.Errorf("%w in %s", err, payload)
	}
	if d.More() {
		return m, fmt.Errorf("more than one object in %s", payload)
	}
	switch {
	case m.Type == "batch" && m.Comments != nil:
		err = json.Unmarshal(m.Comments, &m.comments)
	case m.Type == "skipped":
		err = json.Unmarshal(m.Comments, &m.missed)
	}
	if err != nil {
		err = fmt.Errorf("%w in %s", err, payload)
	}
	return m, err
}

// next is read for the test's goroutine.
func (v *viewer) next() message {
	v.t.Helper()
	m, err := v.read()
	if err != nil {
		v.t.Fatal(err)
	}
	return m
}

// until returns the first message of a type, and those before it.
func (v *viewer) until(kind string) (message, []message) {
	v.t.Helper()
	var before []message
	for {
		m := v.next()
		if m.Type == kind {
			return m, before
		}
		if m.Type == "close" {
			v.t.Fatalf("closed with %d %q while waiting for %s", m.closeCode, m.Reason, kind)
		}
		before = append(before, m)
	}
}

// ping makes a round trip by a ping frame, which no rate limits: all that was
// written to this connection before it has been handled when it returns. It
// returns the messages on the way.
func (v *viewer) ping(tag string) []message {
	v.t.Helper()
	v.tag = tag
	defer func() { v.tag = "" }()
	v.write(masked(opPing, tag))
	_, before := v.until("pong frame")
	return before
}

// closedWith reads up to the close frame, which must have the code, and the end
// of the connection behind it.
func (v *viewer) closedWith(code int) {
	v.t.Helper()
	for {
		m, err := v.read()
		if err != nil {
			v.t.Fatalf("connection ended without a close frame: %v", err)
		}
		if m.Type != "close" {
			continue
		}
		if m.closeCode != code {
			v.t.Errorf("closed with %d %q, want %d", m.closeCode, m.Reason, code)
		}
		break
	}
	v.ended()
}

// ended expects the end of the connection and nothing before it.
func (v *viewer) ended() {
	v.t.Helper()
	v.conn.SetReadDeadline(time.Now().Add(patience))
	if b, err := v.r.ReadByte(); !errors.Is(err, io.EOF) {
		v.t.Errorf("byte %x, error %v after the end, want EOF", b, err)
	}
}

// response reads a plain HTTP response.
func (v *viewer) response() (*http.Response, string) {
	v.t.Helper()
	v.conn.SetReadDeadline(time.Now().Add(patience))
	r, err := http.ReadResponse(v.r, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return r, string(body)
}

// reset ends the connection with RST.
func (v *viewer) reset() {
	v.t.Helper()
	if err := v.conn.(*net.TCPConn).SetLinger(0); err != nil {
		v.t.Fatal(err)
	}
	v.conn.Close()
}

// closeWrite ends our direction alone.
func (v *viewer) closeWrite() {
	v.t.Helper()
	if err := v.conn.(*net.TCPConn).CloseWrite(); err != nil {
		v.t.Fatal(err)
	}
}
