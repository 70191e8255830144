package wsproto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/gobwas/ws"
)

// testMask is asymmetric, so that a mask applied at a wrong offset shows.
var testMask = [4]byte{0x37, 0xFA, 0x21, 0x3D}

// frameSpec is a frame as a viewer sends it. The zero length form is the
// shortest; lengthBytes forces 0, 2 or 8 extra bytes of length.
type frameSpec struct {
	op          Op
	more        bool // not the last fragment
	rsv         byte // 0x40, 0x20, 0x10
	bare        bool // not masked
	payload     []byte
	lengthBytes int
}

// appendViewerFrame is the client's half of the protocol, written apart from
// the code under test.
func appendViewerFrame(dst []byte, s frameSpec) []byte {
	b0 := byte(s.op) | s.rsv
	if !s.more {
		b0 |= 0x80
	}
	masked := byte(0x80)
	if s.bare {
		masked = 0
	}
	n := len(s.payload)
	extra := s.lengthBytes
	if extra == 0 && n > 125 {
		extra = 2
		if n > 0xFFFF {
			extra = 8
		}
	}
	switch extra {
	case 0:
		dst = append(dst, b0, masked|byte(n))
	case 2:
		dst = append(dst, b0, masked|126, byte(n>>8), byte(n))
	case 8:
		dst = append(dst, b0, masked|127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	if s.bare {
		return append(dst, s.payload...)
	}
	dst = append(dst, testMask[:]...)
	for i, b := range s.payload {
		dst = append(dst, b^testMask[i%4])
	}
	return dst
}

func text(s string) frameSpec { return frameSpec{op: OpText, payload: []byte(s)} }
func textStart(s string) frameSpec {
	return frameSpec{op: OpText, payload: []byte(s), more: true}
}
func next(s string) frameSpec {
	return frameSpec{op: OpContinuation, payload: []byte(s), more: true}
}
func last(s string) frameSpec    { return frameSpec{op: OpContinuation, payload: []byte(s)} }
func ping(s string) frameSpec    { return frameSpec{op: OpPing, payload: []byte(s)} }
func closing(s string) frameSpec { return frameSpec{op: OpClose, payload: []byte(s)} }

func viewerBytes(specs ...frameSpec) []byte {
	var p []byte
	for _, s := range specs {
		p = appendViewerFrame(p, s)
	}
	return p
}

// echo is the smallest owner of a connection: it carries what was cut short,
// answers pings, echoes messages and answers a close. Tests drive the package
// through it the way a session would.
type echo struct {
	limit   int
	peek    bool
	carry   []byte
	message Assembler
	out     []byte // what it would write
	closed  bool
}

// feed takes the bytes of one read.
func (e *echo) feed(p []byte) {
	e.carry = append(e.carry, p...)
	for !e.closed {
		f, n, err := Decode(e.carry, e.limit, false)
		if err == nil && n == 0 {
			if e.peek {
				err = e.message.Peek(e.carry)
			}
			if err == nil {
				return
			}
		}
		if err == nil {
			err = e.frame(f)
			e.carry = e.carry[n:]
		}
		if err != nil {
			e.fail(err)
		}
	}
}

func (e *echo) frame(f Frame) error {
	switch f.Op {
	case OpPing:
		e.out = AppendFrame(e.out, OpPong, f.Payload)
	case OpPong:
	case OpClose:
		code, reason, err := ParseClose(f.Payload)
		if err != nil {
			return err
		}
		e.out, e.closed = AppendClose(e.out, code, string(reason)), true
	default:
		m, done, err := e.message.Push(f, e.limit)
		if err != nil {
			return err
		}
		if done {
			e.out = AppendFrame(e.out, m.Op, m.Data)
		}
	}
	return nil
}

func (e *echo) fail(err error) {
	e.closed = true
	var v *Violation
	if errors.As(err, &v) {
		e.out = AppendClose(e.out, v.Code, v.Text)
	}
}

// written reads back what a server wrote with the library's own reader, as
// "op payload" lines; a close is "close code".
func written(t testing.TB, p []byte) []string {
	t.Helper()
	var got []string
	r := bytes.NewReader(p)
	for r.Len() > 0 {
		f, err := ws.ReadFrame(r)
		if err != nil {
			t.Fatalf("server wrote a broken frame: %v in %x", err, p)
		}
		if f.Header.Masked || f.Header.Rsv != 0 || !f.Header.Fin {
			t.Fatalf("server frame header %+v", f.Header)
		}
		op := Op(f.Header.OpCode)
		switch {
		case op == OpClose && len(f.Payload) == 0:
			got = append(got, "close")
		case op == OpClose:
			got = append(got, fmt.Sprintf("close %d", binary.BigEndian.Uint16(f.Payload)))
		default:
			got = append(got, fmt.Sprintf("%v %s", op, f.Payload))
		}
	}
	return got
}
