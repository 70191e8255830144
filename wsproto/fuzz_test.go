package wsproto

import (
	"bufio"
	"bytes"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// fuzzLimit keeps the inputs small while all three forms of length are legal.
const fuzzLimit = 66_000

// FuzzUpgrade: no input panics or changes the head. What is upgraded is a head
// that net/http reads in the same way and without a body, and gets the answer
// net/http understands.
func FuzzUpgrade(f *testing.F) {
	for _, c := range upgradeCases {
		f.Add([]byte(c.head))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		end := HeadEnd(p)
		if end < 0 || end > len(p) {
			t.Fatalf("head ends at %d of %d", end, len(p))
		}
		for cut := range end {
			if early := HeadEnd(p[:cut]); early != 0 {
				t.Fatalf("head of %d bytes ends at %d of %d", end, early, cut)
			}
		}
		head := p[:end]
		sent := bytes.Clone(p)
		var seen *Request
		reply, a, err := sampleUpgrader.Upgrade(nil, head, func(r *Request) error { seen = r; return nil })
		if !bytes.Equal(p, sent) {
			t.Fatal("the head was changed")
		}
		var refusal *Refusal
		switch {
		case err == nil:
			checkUpgraded(t, head, seen, reply, a.Protocol)
		case errors.As(err, &refusal):
			resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(refusal.AppendTo(nil))), nil)
			if err != nil || resp.StatusCode/100 < 4 {
				t.Fatalf("answer %v %v", resp, err)
			}
		case err != ErrNoUpgrade:
			t.Fatalf("error %v", err)
		}
		if err != nil && (reply != nil || seen != nil) {
			t.Fatalf("refused with reply %q", reply)
		}
	})
}

func checkUpgraded(t *testing.T, head []byte, r *Request, reply []byte, protocol int) {
	t.Helper()
	if protocol < 0 || protocol >= len(sampleUpgrader.Protocols) {
		t.Fatalf("protocol %d", protocol)
	}
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(reply)), nil)
	if err != nil || resp.StatusCode != 101 || resp.Header.Get("Sec-Websocket-Accept") == "" {
		t.Fatalf("reply %q: %v", reply, err)
	}
	br := bufio.NewReader(bytes.NewReader(head))
	std, err := http.ReadRequest(br)
	if err != nil {
		// net/http also parses the target as an URL, which is not ours to do.
		if strings.Contains(err.Error(), "parse ") {
			return
		}
		t.Fatalf("upgraded, but net/http says %v: %q", err, head)
	}
	if std.Method != "GET" || std.ContentLength != 0 || len(std.TransferEncoding) != 0 || br.Buffered() != 0 {
		t.Fatalf("net/http sees another request: %+v", std)
	}
	if !strings.EqualFold(std.Host, r.Host) || std.Header.Get("Origin") != r.Origin || std.URL.RawQuery != r.Query {
		t.Fatalf("net/http sees host %q, origin %q, query %q; we %+v", std.Host, std.Header.Get("Origin"), std.URL.RawQuery, r)
	}
}

// transcript decodes all it can of p, given in reads that end at each cut, and
// returns what came out.
func transcript(t *testing.T, p []byte, limit int, deflate bool, cuts ...int) (frames []Frame, rest int, err error) {
	t.Helper()
	var carry []byte
	from := 0
	for _, to := range append(cuts, len(p)) {
		carry = append(bytes.Clone(carry), p[from:to]...)
		from = to
		for {
			before := bytes.Clone(carry)
			f, n, err := Decode(carry, limit, deflate)
			if n < 0 || n > len(carry) || err != nil && n != 0 {
				t.Fatalf("took %d of %d bytes, error %v", n, len(carry), err)
			}
			if err != nil {
				return frames, 0, err
			}
			if n == 0 {
				if !bytes.Equal(carry, before) {
					t.Fatal("bytes not taken have changed")
				}
				if need := Need(carry); need <= len(carry) || need > max(limit, ControlMax)+14 {
					t.Fatalf("Need says %d, there are %d, limit %d", need, len(carry), limit)
				}
				break
			}
			if len(cuts) == 0 { // the others are compared with this one
				checkFrame(t, f, before[:n], limit, deflate)
			}
			frames = append(frames, f)
			carry = carry[n:]
		}
	}
	return frames, len(carry), nil
}

// checkFrame compares one frame with the library's reading of the same bytes,
// and with what our own viewer makes of it.
func checkFrame(t *testing.T, f Frame, wire []byte, limit int, deflate bool) {
	t.Helper()
	if !f.Op.known() || f.Op.Control() && (!f.Fin || len(f.Payload) > ControlMax) || !f.Op.Control() && len(f.Payload) > limit {
		t.Fatalf("frame %v fin %v of %d bytes, limit %d", f.Op, f.Fin, len(f.Payload), limit)
	}
	reserved := byte(0)
	if f.Compressed {
		reserved = ws.Rsv(true, false, false)
		if !deflate || f.Op == OpContinuation || f.Op.Control() {
			t.Fatalf("compressed %v, negotiated %v", f.Op, deflate)
		}
	}
	std, err := ws.ReadFrame(bytes.NewReader(wire))
	if err != nil || !std.Header.Masked || std.Header.Rsv != reserved {
		t.Fatalf("library: %+v %v", std.Header, err)
	}
	std = ws.UnmaskFrame(std)
	if byte(std.Header.OpCode) != byte(f.Op) || std.Header.Fin != f.Fin || !bytes.Equal(std.Payload, f.Payload) {
		t.Fatalf("library reads %+v, we %v %v", std.Header, f.Op, f.Fin)
	}
	again := appendViewerFrame(nil, frameSpec{op: f.Op, more: !f.Fin, rsv: reserved << 4, payload: f.Payload})
	back, n, err := Decode(again, limit, deflate)
	if err != nil || n != len(wire) || !sameFrame(back, f) {
		t.Fatalf("encoded again: %v, %d of %d bytes", err, n, len(wire))
	}
}

func sameFrame(a, b Frame) bool {
	return a.Op == b.Op && a.Fin == b.Fin && a.Compressed == b.Compressed && bytes.Equal(a.Payload, b.Payload)
}

// FuzzDecode: bytes cut anywhere decode as when whole; nothing panics; no frame
// is longer than its limit; what is decoded can be encoded again.
func FuzzDecode(f *testing.F) {
	for _, c := range frameCases {
		if len(c.frame.payload) <= 300 {
			f.Add(viewerBytes(c.frame), uint32(fuzzLimit), false)
			f.Add(viewerBytes(c.frame), uint32(fuzzLimit), true)
			f.Add(viewerBytes(ping("before"), c.frame, text("after")), uint32(200), true)
		}
	}
	f.Add([]byte{0x82, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4}, uint32(fuzzLimit), false)
	f.Add(viewerBytes(frameSpec{op: OpText, payload: filled(300)}, closing("\x03\xe8")), uint32(300), false)
	f.Fuzz(func(t *testing.T, p []byte, limit uint32, deflate bool) {
		if len(p) > 512 {
			return // every cut is tried: quadratic
		}
		limit %= fuzzLimit
		frames, rest, err := transcript(t, p, int(limit), deflate)
		for cut := 1; cut < len(p); cut++ {
			frames2, rest2, err2 := transcript(t, p, int(limit), deflate, cut)
			if err != err2 || rest != rest2 || !slices.EqualFunc(frames, frames2, sameFrame) {
				t.Fatalf("cut at %d: %d frames, %d left, %v; whole: %d, %d, %v", cut, len(frames2), rest2, err2, len(frames), rest, err)
			}
		}
		every := make([]int, len(p))
		for i := range every {
			every[i] = i
		}
		frames2, _, err2 := transcript(t, p, int(limit), deflate, every...)
		if err != err2 || !slices.EqualFunc(frames, frames2, sameFrame) {
			t.Fatalf("byte by byte: %d frames, %v; whole: %d, %v", len(frames2), err2, len(frames), err)
		}
	})
}

// naiveAssembler is the obvious way: keep all, look at the end. It can only say
// that a text is bad, not at which fragment.
type naiveAssembler struct {
	op  Op
	buf []byte
}

func (a *naiveAssembler) push(f Frame, limit int) (op Op, msg []byte, done bool, err *Violation) {
	if f.Op != OpContinuation && a.op != 0 {
		return 0, nil, false, ErrInterleaved
	}
	if f.Op == OpContinuation && a.op == 0 {
		return 0, nil, false, ErrContinuation
	}
	if f.Op != OpContinuation {
		a.op, a.buf = f.Op, nil
	}
	a.buf = append(a.buf, f.Payload...)
	if len(a.buf) > limit {
		return 0, nil, false, ErrMessageBig
	}
	if a.op == OpText && !beginsText(a.buf) || f.Fin && a.op == OpText && !utf8.Valid(a.buf) {
		return 0, nil, false, ErrText
	}
	if !f.Fin {
		return 0, nil, false, nil
	}
	op, a.op = a.op, 0
	return op, a.buf, true, nil
}

// beginsText reports whether some continuation makes p valid UTF-8.
func beginsText(p []byte) bool {
	for len(p) > 0 {
		r, n := utf8.DecodeRune(p)
		if r == utf8.RuneError && n == 1 {
			return !utf8.FullRune(p)
		}
		p = p[n:]
	}
	return true
}

// FuzzAssembler reads the input as a script of frames and compares with the
// naive assembler. Each script byte is an operation, FIN and a payload length.
func FuzzAssembler(f *testing.F) {
	for _, c := range messageCases {
		var script []byte
		for _, s := range c.frames {
			b := byte(s.op)
			if !s.more {
				b |= 0x80
			}
			script = append(append(script, b, byte(len(s.payload))), s.payload...)
		}
		f.Add(script, byte(messageLimit))
	}
	for _, c := range textCases {
		if half := len(c.text) / 2; half > 0 {
			script := append([]byte{byte(OpText), byte(half)}, c.text[:half]...)
			script = append(append(script, 0x80, byte(len(c.text)-half)), c.text[half:]...)
			f.Add(script, byte(200))
		}
	}
	f.Fuzz(func(t *testing.T, script []byte, limit byte) {
		var a Assembler
		var naive naiveAssembler
		fragments := 0
		for len(script) >= 2 {
			s := frameSpec{op: Op(script[0] & 0x0F % 3), more: script[0]&0x80 == 0}
			n := min(int(script[1]), len(script)-2)
			s.payload, script = script[2:2+n], script[2+n:]

			peeked := peekEvery(t, &a, s)
			m, done, err := a.Push(frameOf(s), int(limit))
			if fragments++; err == ErrFragments {
				if fragments <= FragmentsMax(int(limit)) {
					t.Fatalf("too many fragments after %d", fragments)
				}
				return
			}
			op2, msg2, done2, v := naive.push(frameOf(s), int(limit))
			if v != nil {
				if err != error(v) {
					t.Fatalf("%v, naive %v", err, v)
				}
				return
			}
			if err != nil || m.Op != op2 || done != done2 || done && !bytes.Equal(m.Data, msg2) {
				t.Fatalf("%v %q %v %v, naive %v %q %v", m.Op, m.Data, done, err, op2, msg2, done2)
			}
			if peeked != nil {
				t.Fatal("Peek refused what Push takes")
			}
			if a.Idle() != done || len(a.buf) > int(limit) || done && a.buf != nil {
				t.Fatalf("done %v, idle %v, holds %d bytes, limit %d", done, a.Idle(), len(a.buf), limit)
			}
			if done {
				fragments = 0
			}
		}
	})
}

// peekEvery gives the frame to Peek as it would arrive, byte by byte.
func peekEvery(t *testing.T, a *Assembler, s frameSpec) error {
	t.Helper()
	wire := appendViewerFrame(nil, s)
	for n := range wire {
		if err := a.Peek(wire[:n]); err != nil {
			return err
		}
	}
	return nil
}
