//go:build linux

package main

import (
	"bufio"
	"bytes"
	"compress/flate"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeServer speaks the native protocol well enough to be judged, and makes
// the mistakes it is told to make. It is written for clarity: a goroutine a
// connection, every frame by hand.
type fakeServer struct {
	listener net.Listener
	mistakes mistakes
	all      sync.WaitGroup
	stop     chan struct{}

	peers []*fakeServer // other nodes, fixed before anybody comes

	mu    sync.Mutex
	conns []*fakeConn // in the order of joining
	rooms map[string]*fakeRoom
	epoch string
	asked int // handshakes
}

// mistakes are hooks into what the fake does. nil is to do it right.
type mistakes struct {
	// frames turns one whole frame for one connection into what is written.
	frames func(c *fakeConn, seq uint64, frame []byte) [][]byte
	// seal may change the comments of a batch, for everybody.
	seal func(seq uint64, comments []fakeComment) []fakeComment
	// welcome may change the welcome of a connection.
	welcome func(number int, text string) string
	// noHistory leaves the history out of welcomes.
	noHistory bool
	// extensions may change the answer to an offer of permessage-deflate.
	extensions func(answer string) string
	// plainOnly takes the extension and never compresses.
	plainOnly bool
	// turnAway answers the nth handshake with this instead of 101; "" is not to.
	turnAway func(nth int) string
	// packets may change the comments of a batch for viewers that speak packets.
	packets func(comments []fakeComment) []fakeComment
	// admission is the answer to auth; "" is the right one.
	admission string
	// deaf does not answer heartbeats.
	deaf bool
	// refuse answers a comment with an error instead of taking it.
	refuse func(nth int) bool
	// bus is what the other nodes get of the nth comment that was said here.
	bus func(nth int, c fakeComment) []fakeComment
	// resume says from which batch on who comes from another node gets them; 0 is to say
	// that it cannot. nil is from the first.
	resume func() uint64
}

type fakeRoom struct {
	name    string
	seq     uint64
	pending []fakeComment
	waited  bool // one tick already
	past    []fakeComment
	frames  [][]byte // plain, from seq 1 on
	taken   int
}

type fakeConn struct {
	number int // order of joining
	conn   net.Conn
	room   *fakeRoom
	held   []byte // a frame kept back by a mistake
	state  any    // of a mistake

	deflate bool // has the extension

	packets  bool // speaks packets
	protover int

	skipFrom     uint64
	skipComments int
}

type fakeComment struct {
	ID   string `json:"id"`
	UID  string `json:"uid"`
	Text string `json:"text"`
	TS   int64  `json:"ts"`

	Count int `json:"count,omitempty"`
}

// The fake seals a room when so many comments are pending, so that the number
// of batches does not depend on how busy the machine is, and what is left
// after a tick; few wait for one tick more, so that most batches have several.
const (
	fakeBatch = 8
	fakeFew   = 3
	fakeTick  = 15 * time.Millisecond
)

func startFake(t *testing.T, m mistakes) *fakeServer {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &fakeServer{listener: l, mistakes: m, stop: make(chan struct{}), rooms: map[string]*fakeRoom{}, epoch: "e1"}
	s.all.Go(s.accept)
	s.all.Go(s.tick)
	t.Cleanup(s.end)
	return s
}

func (s *fakeServer) end() {
	close(s.stop)
	s.listener.Close()
	s.mu.Lock()
	for _, c := range s.conns {
		c.conn.Close()
	}
	s.mu.Unlock()
	s.all.Wait()
}

func (s *fakeServer) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.all.Go(func() { s.serve(conn) })
	}
}

func (s *fakeServer) tick() {
	t := time.NewTicker(fakeTick)
	defer t.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-t.C:
			s.mu.Lock()
			for _, r := range s.rooms {
				if len(r.pending) >= fakeFew || r.waited {
					s.seal(r)
				} else {
					r.waited = len(r.pending) > 0
				}
			}
			s.mu.Unlock()
		}
	}
}

// seal sends what is pending in a room. The caller holds mu.
func (s *fakeServer) seal(r *fakeRoom) {
	if len(r.pending) == 0 {
		return
	}
	r.seq++
	comments := r.pending
	r.pending, r.waited = nil, false
	if s.mistakes.seal != nil {
		comments = s.mistakes.seal(r.seq, comments)
	}
	r.past = append(r.past, comments...)
	list, _ := json.Marshal(comments)
	text := fmt.Sprintf(`{"type":"batch","room":%q,"seq":%d,"ts":%d,"comments":%s}`, r.name, r.seq, time.Now().UnixMilli(), list)
	plain := serverFrame(opText, []byte(text))
	r.frames = append(r.frames, plain)
	// Each of the others is made once, and only for somebody: with the race detector
	// compressing is most of what a fake does.
	packed := sync.OnceValue(func() []byte {
		if r.seq%7 == 0 || s.mistakes.plainOnly {
			return plain // a message may always go uncompressed
		}
		return deflatedFrame([]byte(text))
	})
	events := sync.OnceValue(func() []byte {
		if s.mistakes.packets != nil {
			return fakeEvents(s.mistakes.packets(comments))
		}
		return fakeEvents(comments)
	})
	zipped := sync.OnceValue(func() []byte { return serverFrame(opBinary, zipped(events())) })
	for _, c := range s.conns {
		if c.room != r {
			continue
		}
		frame := plain
		switch {
		case c.packets && c.protover == packetZlib:
			frame = zipped()
		case c.packets:
			frame = serverFrame(opBinary, events())
		case c.deflate:
			frame = packed()
		}
		frames := [][]byte{frame}
		if s.mistakes.frames != nil {
			frames = s.mistakes.frames(c, r.seq, frame)
		}
		for _, f := range frames {
			_, _ = c.conn.Write(f)
		}
	}
}

func (s *fakeServer) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	req, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	if answer := s.turnsAway(); answer != "" {
		_, _ = io.WriteString(conn, "HTTP/1.1 "+answer+"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		return
	}
	sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	head := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(sum[:]) + "\r\n"
	deflate := strings.Contains(req.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate")
	if deflate {
		answer := "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
		if s.mistakes.extensions != nil {
			answer = s.mistakes.extensions(answer)
		}
		head += "Sec-WebSocket-Extensions: " + answer + "\r\n"
	}
	if req.URL.Path == "/sub" {
		_, _ = io.WriteString(conn, head+"\r\n")
		s.servePackets(conn, in)
		return
	}
	c := s.join(conn, strings.TrimPrefix(req.URL.Path, "/ws/"), head+"\r\n", deflate, req.URL.Query().Get("epoch"))
	for {
		op, payload, err := readMasked(in)
		if err != nil {
			return
		}
		switch op {
		case opText:
			s.publish(c, payload)
		case opClose:
			s.leave(c)
			_, _ = conn.Write(serverFrame(opClose, payload))
			return
		}
	}
}

func (s *fakeServer) turnsAway() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.mistakes.turnAway == nil {
		return ""
	}
	return s.mistakes.turnAway(s.asked)
}

// dismiss says goodbye to all connections and closes them with 1012; from then
// on it is another server. goodbye may leave out the words for a connection.
func (s *fakeServer) dismiss(goodbye func(number int) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch = "e2"
	for _, c := range s.conns {
		if c.room == nil {
			continue
		}
		c.room = nil
		if goodbye(c.number) {
			_, _ = c.conn.Write(serverFrame(opText, []byte(`{"type":"goodbye","reason":"draining","retry_after_ms":50}`)))
		}
		_, _ = c.conn.Write(serverFrame(opClose, []byte{1012 >> 8, 1012 & 0xff}))
		_ = c.conn.(*net.TCPConn).CloseWrite()
	}
}

// join answers the handshake and puts the connection into its room, in one go.
// epoch is that of another node, for who comes from there.
func (s *fakeServer) join(conn net.Conn, room, head string, deflate bool, epoch string) *fakeConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rooms[room]
	if r == nil {
		r = &fakeRoom{name: room}
		s.rooms[room] = r
	}
	s.seal(r) // so that nothing pending is older than the welcome
	c := &fakeConn{number: len(s.conns), conn: conn, room: r, deflate: deflate}
	s.conns = append(s.conns, c)
	history, _ := json.Marshal(r.past[max(0, len(r.past)-5):])
	if len(r.past) == 0 || s.mistakes.noHistory {
		history = []byte("[]")
	}
	seq, resumed := r.seq, ""
	if epoch != "" {
		from := uint64(1)
		if s.mistakes.resume != nil {
			from = s.mistakes.resume()
		}
		history = []byte("[]")
		if resumed = `,"resumed":false`; from > 0 {
			seq, resumed = min(from-1, r.seq), `,"resumed":true`
		}
	}
	text := fmt.Sprintf(`{"type":"welcome","room":%q,"epoch":%q,"seq":%d,"tick_ms":15,"online":1,"uid":"u%d","history":%s%s}`, room, s.epoch, seq, c.number, history, resumed)
	if s.mistakes.welcome != nil {
		text = s.mistakes.welcome(c.number, text)
	}
	_, _ = conn.Write(append([]byte(head), serverFrame(opText, []byte(text))...))
	for _, frame := range r.frames[seq:] {
		_, _ = conn.Write(frame)
	}
	return c
}

func (s *fakeServer) leave(c *fakeConn) {
	s.mu.Lock()
	c.room = nil
	s.mu.Unlock()
}

func (s *fakeServer) publish(c *fakeConn, payload []byte) {
	var m struct{ Text string }
	if json.Unmarshal(payload, &m) != nil {
		return
	}
	room, said := s.take(c, m.Text)
	for _, p := range s.peers { // without the lock, which they may be waiting for
		p.hear(room, said)
	}
}

// crash ends all connections without a word, and takes no more.
func (s *fakeServer) crash() {
	s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.room = nil
		_ = c.conn.(*net.TCPConn).SetLinger(0)
		c.conn.Close()
	}
}

// hear takes what was said on another node.
func (s *fakeServer) hear(room string, said []fakeComment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.rooms[room]; r != nil {
		r.pending = append(r.pending, said...)
		if len(r.pending) >= fakeBatch {
			s.seal(r)
		}
	}
}

// take adds a comment to its room, and returns what other nodes get of it.
func (s *fakeServer) take(c *fakeConn, text string) (room string, said []fakeComment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := c.room
	if r == nil {
		return "", nil // it has been dismissed
	}
	r.taken++
	if s.mistakes.refuse != nil && s.mistakes.refuse(r.taken) {
		_, _ = c.conn.Write(serverFrame(opText, []byte(`{"type":"error","code":"rate_limited","message":"slower"}`)))
		return "", nil
	}
	one := fakeComment{ID: fmt.Sprint("c", r.taken), UID: fmt.Sprint("u", c.number), Text: text, TS: time.Now().UnixMilli()}
	if s.peers != nil {
		one.ID = fmt.Sprintf("%s-%06d", s.epoch, r.taken)
	}
	r.pending = append(r.pending, one)
	said = []fakeComment{one}
	if s.mistakes.bus != nil {
		said = s.mistakes.bus(r.taken, one)
	}
	if len(r.pending) >= fakeBatch {
		s.seal(r)
	}
	return r.name, said
}

// serverFrame builds one unmasked frame.
func serverFrame(op byte, payload []byte) []byte {
	f := []byte{0x80 | op}
	switch n := len(payload); {
	case n < 126:
		f = append(f, byte(n))
	case n <= 0xffff:
		f = binary.BigEndian.AppendUint16(append(f, 126), uint16(n))
	default:
		f = binary.BigEndian.AppendUint64(append(f, 127), uint64(n))
	}
	return append(f, payload...)
}

// deflaters are kept, and of the fastest sort: others clear half a megabyte for each
// message.
var deflaters = sync.Pool{New: func() any { w, _ := flate.NewWriter(nil, flate.BestSpeed); return w }}

// deflatedFrame builds one compressed text frame without context takeover.
func deflatedFrame(payload []byte) []byte {
	var b bytes.Buffer
	w := deflaters.Get().(*flate.Writer)
	w.Reset(&b)
	_, _ = w.Write(payload)
	_ = w.Flush()
	deflaters.Put(w)
	f := serverFrame(opText, bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff}))
	f[0] |= 0x40
	return f
}

// readMasked reads one frame of a viewer.
func readMasked(in *bufio.Reader) (op byte, payload []byte, err error) {
	var h [2]byte
	if _, err = io.ReadFull(in, h[:]); err != nil {
		return 0, nil, err
	}
	n := int(h[1] & 0x7f)
	if n == 126 {
		var ext [2]byte
		if _, err = io.ReadFull(in, ext[:]); err != nil {
			return 0, nil, err
		}
		n = int(binary.BigEndian.Uint16(ext[:]))
	}
	if h[1]&0x80 == 0 || n == 127 {
		return 0, nil, fmt.Errorf("not masked, or too long for a test")
	}
	masked := make([]byte, 4+n)
	if _, err = io.ReadFull(in, masked); err != nil {
		return 0, nil, err
	}
	payload = masked[4:]
	for i := range payload {
		payload[i] ^= masked[i&3]
	}
	return h[0] & 0x0f, payload, nil
}
