package wsproto

import (
	"bytes"
	"strings"
	"testing"
)

func frameOf(s frameSpec) Frame { return Frame{Op: s.op, Fin: !s.more, Payload: s.payload} }

// messageCase is shared by the tests, the fuzz seeds and the benchmarks.
type messageCase struct {
	name   string
	frames []frameSpec
	op     Op
	msg    string
	err    error // of the last frame
}

var messageCases = []messageCase{
	{
		name:   "one frame",
		frames: []frameSpec{text("hello")},
		op:     OpText,
		msg:    "hello",
	},
	{
		name:   "one empty frame",
		frames: []frameSpec{text("")},
		op:     OpText,
	},
	{
		name:   "one binary frame",
		frames: []frameSpec{{op: OpBinary, payload: []byte("\xff\x00")}},
		op:     OpBinary,
		msg:    "\xff\x00",
	},
	{
		name:   "two fragments",
		frames: []frameSpec{textStart("hel"), last("lo")},
		op:     OpText,
		msg:    "hello",
	},
	{
		name:   "empty fragments",
		frames: []frameSpec{textStart(""), next(""), last("")},
		op:     OpText,
	},
	{
		name:   "empty last fragment",
		frames: []frameSpec{textStart("a"), next("b"), last("")},
		op:     OpText,
		msg:    "ab",
	},
	{
		name:   "binary fragments that are no text",
		frames: []frameSpec{{op: OpBinary, more: true, payload: []byte("\xed")}, last("\xa0\x80")},
		op:     OpBinary,
		msg:    "\xed\xa0\x80",
	},
	{
		name:   "character over three fragments",
		frames: []frameSpec{textStart("x\xf0"), next("\x9f\x98"), last("\x80y")},
		op:     OpText,
		msg:    "x\U0001F600y",
	},
	{
		name:   "at the limit",
		frames: []frameSpec{textStart(strings.Repeat("a", 60)), last(strings.Repeat("b", 40))},
		op:     OpText,
		msg:    strings.Repeat("a", 60) + strings.Repeat("b", 40),
	},
	{
		name:   "continuation of nothing",
		frames: []frameSpec{next("x")},
		err:    ErrContinuation,
	},
	{
		name:   "last continuation of nothing",
		frames: []frameSpec{last("x")},
		err:    ErrContinuation,
	},
	{
		name:   "text inside text",
		frames: []frameSpec{textStart("a"), text("b")},
		err:    ErrInterleaved,
	},
	{
		name:   "binary begun inside text",
		frames: []frameSpec{textStart("a"), {op: OpBinary, more: true}},
		err:    ErrInterleaved,
	},
	{
		name:   "one frame too big",
		frames: []frameSpec{text(strings.Repeat("a", 101))},
		err:    ErrMessageBig,
	},
	{
		name:   "too big in sum",
		frames: []frameSpec{textStart(strings.Repeat("a", 60)), next(strings.Repeat("b", 40)), last("c")},
		err:    ErrMessageBig,
	},
	{
		name:   "one frame not UTF-8",
		frames: []frameSpec{text("a\xff")},
		err:    ErrText,
	},
	{
		name:   "one frame cut in a character",
		frames: []frameSpec{text("a\xe5\xbc")},
		err:    ErrText,
	},
	{
		name:   "bad byte in the first fragment",
		frames: []frameSpec{textStart("a\xc0")},
		err:    ErrText,
	},
	{
		name:   "bad byte in a middle fragment",
		frames: []frameSpec{textStart("a"), next("b\xffc")},
		err:    ErrText,
	},
	{
		name:   "surrogate over fragments, at its second byte",
		frames: []frameSpec{textStart("a\xed"), next("\xa0")},
		err:    ErrText,
	},
	{
		name:   "ends in the middle of a character",
		frames: []frameSpec{textStart("a\xe5"), last("\xbc")},
		err:    ErrText,
	},
	{
		name:   "empty end in the middle of a character",
		frames: []frameSpec{textStart("a\xe5"), last("")},
		err:    ErrText,
	},
}

const messageLimit = 100

func TestAssembler(t *testing.T) {
	for _, c := range messageCases {
		t.Run(c.name, func(t *testing.T) {
			var a Assembler
			// Twice through the same value: nothing may be left over.
			rounds := 2
			if c.err != nil {
				rounds = 1
			}
			for range rounds {
				for i, s := range c.frames {
					m, done, err := a.Push(frameOf(s), messageLimit)
					if i < len(c.frames)-1 {
						if done || err != nil || m.Data != nil {
							t.Fatalf("frame %d: done %v, error %v", i, done, err)
						}
						if a.Idle() {
							t.Fatalf("idle after frame %d", i)
						}
						continue
					}
					if err != c.err || done != (c.err == nil) {
						t.Fatalf("done %v, error %v, want %v", done, err, c.err)
					}
					if c.err == nil && (m.Op != c.op || string(m.Data) != c.msg || !a.Idle()) {
						t.Fatalf("%v %q, idle %v", m.Op, m.Data, a.Idle())
					}
				}
			}
			if c.err == nil && a.buf != nil {
				t.Fatal("memory held while idle")
			}
		})
	}
}

// TestAssemblerCopies: fragments are kept beyond the life of their bytes, and
// what comes later does not touch a message that was handed out.
func TestAssemblerCopies(t *testing.T) {
	var a Assembler
	p := []byte("first")
	a.Push(Frame{Op: OpText, Payload: p}, 100)
	copy(p, "XXXXX")
	one, _, _ := a.Push(Frame{Op: OpContinuation, Fin: true, Payload: []byte(" message")}, 100)
	a.Push(Frame{Op: OpBinary, Payload: []byte("second message")}, 100)
	if string(one.Data) != "first message" {
		t.Fatalf("%q", one.Data)
	}
}

func TestAssemblerFragmentCount(t *testing.T) {
	for _, limit := range []int{-1, 0, 100, 4096} {
		var a Assembler
		fragments := 0
		_, _, err := a.Push(Frame{Op: OpBinary}, limit)
		for ; err == nil && fragments < 10_000; fragments++ {
			_, _, err = a.Push(Frame{Op: OpContinuation}, limit)
		}
		if err != ErrFragments || fragments != FragmentsMax(limit) {
			t.Errorf("limit %d: %v after %d empty fragments, want %d", limit, err, fragments, FragmentsMax(limit))
		}
	}
	// Each message has its own count.
	var a Assembler
	for i := range 2 * FragmentsMax(0) {
		a.Push(Frame{Op: OpText}, 0)
		if _, done, err := a.Push(Frame{Op: OpContinuation, Fin: true}, 0); !done || err != nil {
			t.Fatalf("message %d: done %v, error %v", i, done, err)
		}
	}
	// The Autobahn suite's longest: 4 MiB in fragments of 64 bytes.
	if FragmentsMax(4<<20) < 4<<20/64 {
		t.Errorf("%d fragments for 4 MiB", FragmentsMax(4<<20))
	}
}

func TestAssemblerRefusesControl(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Fatal("no panic")
		}
	}()
	var a Assembler
	a.Push(Frame{Op: OpPing, Fin: true}, 100)
}

func TestAssemblerAllocations(t *testing.T) {
	var a Assembler
	whole := Frame{Op: OpText, Fin: true, Payload: filled(100)}
	if n := testing.AllocsPerRun(100, func() { a.Push(whole, 100) }); n != 0 {
		t.Errorf("whole message: %v allocations", n)
	}
	bad := Frame{Op: OpText, Fin: true, Payload: []byte("\xff")}
	if n := testing.AllocsPerRun(100, func() { a.Push(bad, 100) }); n != 0 {
		t.Errorf("violation: %v allocations", n)
	}
	partial := appendViewerFrame(nil, text(strings.Repeat("\u5f39", 1000)))
	partial = partial[:len(partial)-1]
	if n := testing.AllocsPerRun(100, func() { a = Assembler{}; a.Peek(partial) }); n != 0 {
		t.Errorf("Peek: %v allocations", n)
	}
}

// TestPeek gives every text as one frame, byte by byte: the error comes with
// the bad byte and the bytes stay as they were.
func TestPeek(t *testing.T) {
	for _, c := range textCases {
		for _, before := range []string{"", "\u5f39", "\xe5"} {
			if before == "\xe5" && c.text == "" {
				continue
			}
			var a Assembler
			s := text(c.text)
			if before != "" {
				a.Push(frameOf(textStart(before)), 1000)
				s.op = OpContinuation
			}
			bad := c.bad
			if before == "\xe5" { // waits for a continuation, none of the texts begins with two
				bad = peekBad(before + c.text)
			}
			p := appendViewerFrame(nil, s)
			size := len(p) - len(c.text)
			for n := 0; n < len(p); n++ {
				part := bytes.Clone(p[:n])
				err := a.Peek(part)
				if !bytes.Equal(part, p[:n]) {
					t.Fatalf("%s: bytes changed", c.name)
				}
				want := bad >= 0 && n-size > bad
				if (err != nil) != want || want && err != error(ErrText) {
					t.Fatalf("%s after %q: %d bytes of text: %v", c.name, before, n-size, err)
				}
				if err != nil {
					break
				}
			}
		}
	}
}

// peekBad finds the first bad byte of a text that begins with one byte sent
// before, counted without it.
func peekBad(s string) int {
	for i := 1; i <= len(s); i++ {
		var check textCheck
		if !check.add([]byte(s[:i])) {
			return i - 2
		}
	}
	return -1
}

// TestPeekLeavesOthers: frames that carry no text, or are out of order, are not
// for Peek, and Push judges the frame by itself whatever Peek has seen.
func TestPeekLeavesOthers(t *testing.T) {
	bad := []byte("\xff\xff\xff\xff")
	var idle, inText, inBinary Assembler
	inText.Push(frameOf(textStart("a")), 100)
	inBinary.Push(Frame{Op: OpBinary, Payload: bad}, 100)
	cases := []struct {
		name string
		a    *Assembler
		spec frameSpec
		want error
	}{
		{"text", &idle, frameSpec{op: OpText, payload: bad}, ErrText},
		{"text begun", &idle, frameSpec{op: OpText, more: true, payload: bad}, ErrText},
		{"continued text", &inText, frameSpec{op: OpContinuation, payload: bad}, ErrText},
		{"binary", &idle, frameSpec{op: OpBinary, payload: bad}, nil},
		{"continued binary", &inBinary, frameSpec{op: OpContinuation, payload: bad}, nil},
		{"ping inside text", &inText, frameSpec{op: OpPing, payload: bad}, nil},
		{"continuation of nothing", &idle, frameSpec{op: OpContinuation, payload: bad}, nil},
		{"text inside text", &inText, frameSpec{op: OpText, payload: bad}, nil},
		{"unmasked", &idle, frameSpec{op: OpText, bare: true, payload: bad}, nil},
	}
	for _, c := range cases {
		p := appendViewerFrame(nil, c.spec)
		if err := c.a.Peek(p[:len(p)-1]); err != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}

	var a Assembler
	whole := appendViewerFrame(nil, text("abcdef"))
	a.Peek(whole[:len(whole)-3])
	if a.Idle() {
		t.Error("idle with a frame half seen: its progress would be lost")
	}
	if err := a.Peek(append(whole, 0xFF, 0xFF, 0xFF)); err != nil {
		t.Errorf("Peek looked beyond its frame: %v", err)
	}
	if m, done, err := a.Push(frameOf(text("abc")), 100); !done || err != nil || string(m.Data) != "abc" || !a.Idle() {
		t.Errorf("after Peek: %q %v %v", m.Data, done, err)
	}
	p := appendViewerFrame(nil, text("\u5f39x"))
	if err := a.Peek(p[:len(p)-1]); err != nil {
		t.Errorf("progress of the frame before was kept: %v", err)
	}
}
