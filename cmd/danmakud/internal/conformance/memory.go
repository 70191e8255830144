package conformance

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/danmakud/danmakud/wsproto"
)

// session is one connection in memory: the parts of wsproto put together in the
// simplest way, as an echo.
type session struct {
	upgrader wsproto.Upgrader
	decide   func(*wsproto.Request) error // nil: every path is fine
	state    sessionState
	in       []byte // not taken yet
	out      []byte
	message  wsproto.Assembler
	peek     bool // look into incomplete frames
	agreed   wsproto.Accepted
	memory   *Memory
}

type sessionState int

const (
	shaking sessionState = iota
	talking
	over
)

// feed takes the bytes of one read.
func (s *session) feed(p []byte) {
	s.in = append(s.in, p...)
	if s.state == shaking {
		s.shake()
	}
	for s.state == talking && s.turn() {
	}
}

// shake answers the head when it is complete.
func (s *session) shake() {
	end := wsproto.HeadEnd(s.in)
	if end > wsproto.HeadMax || end == 0 && len(s.in) > wsproto.HeadMax {
		s.out = wsproto.AppendResponse(s.out, 431, nil, "")
		s.state = over
		return
	}
	if end == 0 {
		return
	}
	reply, agreed, err := s.upgrader.Upgrade(s.out, s.in[:end], s.decide)
	s.in = s.in[end:]
	var refusal *wsproto.Refusal
	switch {
	case err == nil:
		s.out, s.state, s.agreed = reply, talking, agreed
	case errors.As(err, &refusal):
		s.out, s.state = refusal.AppendTo(s.out), over
	default:
		s.out, s.state = wsproto.AppendResponse(s.out, 426, []string{"Upgrade: websocket"}, ""), over
	}
}

// turn takes one frame and reports whether there may be another.
func (s *session) turn() bool {
	f, n, err := wsproto.Decode(s.in, MessageLimit, s.agreed.Deflate)
	if err == nil && n == 0 {
		if s.peek {
			err = s.message.Peek(s.in)
		}
		if err == nil {
			return false
		}
	}
	if err == nil {
		err = s.frame(f)
		s.in = s.in[n:]
	}
	if err != nil {
		var v *wsproto.Violation
		if !errors.As(err, &v) {
			panic(err)
		}
		s.out, s.state = wsproto.AppendClose(s.out, v.Code, v.Text), over
	}
	return true
}

func (s *session) frame(f wsproto.Frame) error {
	switch f.Op {
	case wsproto.OpPing:
		s.out = wsproto.AppendFrame(s.out, wsproto.OpPong, f.Payload)
	case wsproto.OpPong:
	case wsproto.OpClose:
		code, _, err := wsproto.ParseClose(f.Payload)
		if err != nil {
			return err
		}
		s.out, s.state = wsproto.AppendClose(s.out, code, ""), over
	default:
		m, done, err := s.message.Push(f, MessageLimit)
		if err != nil || !done {
			return err
		}
		data, err := s.memory.inflater.Message(m, MessageLimit)
		switch {
		case err != nil:
			return err
		case s.memory.On == Serve && m.Op == wsproto.OpText:
		case m.Compressed:
			s.out = s.memory.deflater(s.agreed.WindowBits).AppendFrame(s.out, m.Op, data)
		default:
			s.out = wsproto.AppendFrame(s.out, m.Op, data)
		}
	}
	return nil
}

// Memory runs cases on wsproto alone, one after the other, as one loop of a
// server would: with one inflater and a deflater for each window. The zero value
// is ready. One goroutine at a time.
type Memory struct {
	// On is which of the servers is played, by what it has settled with wsproto; 0 =
	// Echo. Serve takes pages of its own host, its subprotocol, its path and the full
	// window alone, and passes over text.
	On Target

	inflater  wsproto.Inflater
	deflaters [16]*wsproto.Deflater
}

func (m *Memory) deflater(bits int) *wsproto.Deflater {
	if m.deflaters[bits] == nil {
		m.deflaters[bits] = wsproto.NewDeflater(6, bits)
	}
	return m.deflaters[bits]
}

// memoryPath is the target of all handshakes in memory.
const memoryPath = "/"

// Run runs a case in reads of chop bytes; 0 = as large as they are sent. With
// peek, incomplete frames are looked into, which cases that want an answer to
// half a frame need.
func (m *Memory) Run(c *Case, chop int, peek bool) error {
	s := &session{peek: peek, memory: m, upgrader: wsproto.Upgrader{
		Origin:  func(string, string) bool { return true },
		Deflate: &wsproto.DeflateConfig{MinWindowBits: 8},
	}}
	if m.On == Serve {
		s.upgrader.Origin, s.upgrader.Deflate.MinWindowBits = wsproto.SameHost, 15
		s.upgrader.Protocols = []string{"danmaku.v1.json"}
		s.decide = func(r *wsproto.Request) error {
			if r.Path != memoryPath {
				return &wsproto.Refusal{Status: 404}
			}
			return nil
		}
	}
	r := reader{deflate: c.Deflate, bits: c.window()}
	feed := func(p []byte) {
		p = bytes.Clone(p) // frames are unmasked in place
		for size := max(1, chop); chop > 0 && len(p) > size; p = p[size:] {
			s.feed(p[:size])
		}
		s.feed(p)
		r.p, s.out = append(r.p, s.out...), nil
	}
	feed(c.request(memoryPath))
	status, fields, ok, err := r.response()
	if err != nil || !ok {
		return fmt.Errorf("no response: %q %v", r.p, err)
	}
	if err := c.checkResponse(status, fields); err != nil {
		return err
	}
	for i, step := range c.ending() {
		if len(step.Send) > 0 {
			feed(step.Send)
		}
		for _, want := range step.Want {
			f, ok, err := r.frame()
			if err == nil && !ok {
				err = fmt.Errorf("want %v", want)
			}
			if err == nil {
				err = check(f, want)
			}
			if err != nil {
				return fmt.Errorf("step %d: %w", i, err)
			}
		}
		if len(r.p) > 0 {
			return fmt.Errorf("step %d: %x besides", i, r.p[:min(64, len(r.p))])
		}
	}
	if s.state != over && !c.Hangup {
		return errors.New("still open")
	}
	return nil
}

// ending returns the steps, with the client's close where the case leaves the
// connection open.
func (c *Case) ending() []Step {
	if c.Status != 0 {
		return nil
	}
	if c.Hangup {
		return c.Steps
	}
	if n := len(c.Steps); n > 0 {
		if want := c.Steps[n-1].Want; len(want) > 0 && want[len(want)-1].Op == opClose {
			return c.Steps
		}
	}
	end := Step{Send: bytesOf(closeFrame(1000, "")), Want: []Frame{gotClose(1000)}}
	return append(c.Steps[:len(c.Steps):len(c.Steps)], end)
}
