package wsproto

import (
	"fmt"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// Assembler makes messages of frames, RFC 6455 section 5.4. The zero value is
// idle. It holds memory only while a fragmented message is under way. One
// goroutine at a time.
type Assembler struct {
	op        Op // of the message under way; OpContinuation when idle
	buf       []byte
	fragments int
	text      textCheck // at the end of the last fragment

	// Progress of Peek in the frame that is still arriving.
	peeked int
	ahead  textCheck
}

// Idle reports whether no message is under way, so that the value may be
// dropped and a new one used later.
func (a *Assembler) Idle() bool { return a.op == OpContinuation && a.peeked == 0 }

// FragmentsMax returns how many fragments a message may have under a limit of
// so many bytes. It leaves room for every honest sender (the smallest fragments
// of the Autobahn suite's long messages have 64 bytes) and stops one that sends
// empty fragments for ever.
func FragmentsMax(limit int) int { return 64 + max(limit, 0)/16 }

// Push takes the next data frame as Decode returned it. When the message is
// complete, done is true and op (text or binary) and msg are set.
//
// A message in one frame is returned as it is: msg is f.Payload, nothing is
// copied. Of fragments a copy is made; msg is then the caller's. To be safe
// with both, treat msg as valid until the next Push and while f.Payload is.
//
// limit bounds the whole message in bytes. Text is checked as it arrives: the
// first bad byte of any fragment is an error. Errors are *Violation, the
// connection is then to be failed and the value dropped. Push panics on a
// control frame, which is no part of any message.
func (a *Assembler) Push(f Frame, limit int) (op Op, msg []byte, done bool, err error) {
	if f.Op.Control() {
		panic(fmt.Sprintf("wsproto: %v frame pushed into a message", f.Op))
	}
	a.peeked = 0
	idle := a.op == OpContinuation
	switch {
	case idle && f.Op == OpContinuation:
		return 0, nil, false, ErrContinuation
	case !idle && f.Op != OpContinuation:
		return 0, nil, false, ErrInterleaved
	case len(f.Payload) > max(limit, 0)-len(a.buf):
		return 0, nil, false, ErrMessageBig
	case idle && f.Fin:
		if f.Op == OpText && !utf8.Valid(f.Payload) {
			return 0, nil, false, ErrText
		}
		return f.Op, f.Payload, true, nil
	case a.fragments >= FragmentsMax(limit):
		return 0, nil, false, ErrFragments
	}
	if idle {
		a.op = f.Op
	}
	if a.op == OpText && (!a.text.add(f.Payload) || f.Fin && !a.text.complete()) {
		return 0, nil, false, ErrText
	}
	a.fragments++
	a.buf = append(a.buf, f.Payload...)
	if !f.Fin {
		return 0, nil, false, nil
	}
	op, msg = a.op, a.buf
	*a = Assembler{}
	return op, msg, true, nil
}

// Peek judges the text in a frame that has arrived only in part, for failing
// at the first bad byte even inside a frame. p begins where the frame does and
// is what Decode answered with n = 0 and no error; it is not changed. Peek goes
// on where the last call for the same frame ended, so that calling it after
// each read costs one walk over the frame in all. It is optional: Push checks
// the whole frame in any case. The error is ErrText or nil.
func (a *Assembler) Peek(p []byte) error {
	h, ok, v := parseHeader(p)
	if v != nil || !ok || len(p) < h.size {
		return nil
	}
	idle := a.op == OpContinuation
	begins := h.op == OpText && idle
	goesOn := h.op == OpContinuation && a.op == OpText
	if !begins && !goesOn {
		return nil // no text, or a frame out of order: Push has the word for that
	}
	if a.peeked == 0 {
		a.ahead = a.text
	}
	mask := [4]byte(p[h.size-maskSize : h.size])
	payload := p[h.size:]
	if uint64(len(payload)) > h.length {
		payload = payload[:h.length]
	}
	var clear [256]byte
	for a.peeked < len(payload) {
		n := copy(clear[:], payload[a.peeked:])
		ws.Cipher(clear[:n], mask, a.peeked)
		if !a.ahead.add(clear[:n]) {
			return ErrText
		}
		a.peeked += n
	}
	return nil
}
