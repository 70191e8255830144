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
	op         Op // of the message under way; OpContinuation when idle
	compressed bool
	buf        []byte
	fragments  int
	text       textCheck // at the end of the last fragment

	// Progress of Peek in the frame that is still arriving.
	peeked int
	ahead  textCheck
}

// Idle reports whether no message is under way, so that the value may be
// dropped and a new one used later.
func (a *Assembler) Idle() bool { return a.op == OpContinuation && a.peeked == 0 }

// Held returns how many bytes of memory the message under way takes.
func (a *Assembler) Held() int { return cap(a.buf) }

// FragmentsMax returns how many fragments a message may have under a limit of
// so many bytes. It leaves room for every honest sender (the smallest fragments
// of the Autobahn suite's long messages have 64 bytes) and stops one that sends
// empty fragments for ever.
func FragmentsMax(limit int) int { return 64 + max(limit, 0)/16 }

// Message is a whole message from a viewer.
type Message struct {
	Op         Op // text or binary
	Data       []byte
	Compressed bool // Data is still deflated: an Inflater makes it plain
}

// Push takes the next data frame as Decode returned it. When the message is
// complete, done is true and m is set.
//
// A message in one frame is returned as it is: m.Data is f.Payload, nothing is
// copied. Of fragments a copy is made; m.Data is then the caller's. To be safe
// with both, treat it as valid until the next Push and while f.Payload is.
//
// limit bounds the whole message in bytes, a compressed one as it is on the
// wire. Text is checked as it arrives, the first bad byte of any fragment is an
// error; only that of compressed messages is left to the Inflater. Errors are
// *Violation, the connection is then to be failed and the value dropped. Push
// panics on a control frame, which is no part of any message.
func (a *Assembler) Push(f Frame, limit int) (m Message, done bool, err error) {
	if f.Op.Control() {
		panic(fmt.Sprintf("wsproto: %v frame pushed into a message", f.Op))
	}
	a.peeked = 0
	idle := a.op == OpContinuation
	switch {
	case idle && f.Op == OpContinuation:
		return m, false, ErrContinuation
	case !idle && f.Op != OpContinuation:
		return m, false, ErrInterleaved
	case len(f.Payload) > max(limit, 0)-len(a.buf):
		return m, false, ErrMessageBig
	case idle && f.Fin:
		if f.Op == OpText && !f.Compressed && !utf8.Valid(f.Payload) {
			return m, false, ErrText
		}
		return Message{f.Op, f.Payload, f.Compressed}, true, nil
	case a.fragments >= FragmentsMax(limit):
		return m, false, ErrFragments
	}
	if idle {
		a.op, a.compressed = f.Op, f.Compressed
	}
	if a.op == OpText && !a.compressed && (!a.text.add(f.Payload) || f.Fin && !a.text.complete()) {
		return m, false, ErrText
	}
	a.fragments++
	a.buf = append(a.buf, f.Payload...)
	if !f.Fin {
		return m, false, nil
	}
	m = Message{a.op, a.buf, a.compressed}
	*a = Assembler{}
	return m, true, nil
}

// Peek judges the text in a frame that has arrived only in part, for failing
// at the first bad byte even inside a frame. p begins where the frame does and
// is what Decode answered with n = 0 and no error; it is not changed. Peek goes
// on where the last call for the same frame ended, so that calling it after
// each read costs one walk over the frame in all. It is optional: Push checks
// the whole frame in any case. Compressed text is not looked into. The error is
// ErrText or nil.
func (a *Assembler) Peek(p []byte) error {
	h, ok, v := parseHeader(p, true)
	if v != nil || !ok || len(p) < h.size {
		return nil
	}
	idle := a.op == OpContinuation
	begins := h.op == OpText && idle && !h.compressed
	goesOn := h.op == OpContinuation && a.op == OpText && !a.compressed
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
