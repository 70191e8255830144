package wsproto

import (
	"bytes"
	stdflate "compress/flate"
	"encoding/hex"
	"io"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"
)

// unhex reads bytes written as in the RFC, blanks between them.
func unhex(s string) []byte {
	p, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return p
}

// deflated is what a client sends for a message, by the standard library.
func deflated(plain []byte, level int) []byte {
	var b bytes.Buffer
	w, _ := stdflate.NewWriter(&b, level)
	w.Write(plain)
	w.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xFF, 0xFF})
}

// inflateCase is shared by the tests and the fuzz seeds.
type inflateCase struct {
	name  string
	data  []byte
	plain string
	err   error
}

var inflateCases = []inflateCase{
	// The examples of RFC 7692 section 7.2.3.
	{name: "one block", data: unhex("f2 48 cd c9 c9 07 00"), plain: "Hello"},
	{name: "stored block", data: unhex("00 05 00 fa ff 48 65 6c 6c 6f 00"), plain: "Hello"},
	{name: "final block", data: unhex("f3 48 cd c9 c9 07 00 00"), plain: "Hello"},
	{name: "two blocks", data: unhex("f2 48 05 00 00 00 ff ff ca c9 c9 07 00"), plain: "Hello"},
	{name: "empty fragment", data: unhex("00"), plain: ""},
	// The second message of section 7.2.3.2, which needs the first.
	{name: "refers to the message before", data: unhex("f2 00 11 00 00"), err: ErrDeflate},

	{name: "no bytes at all", data: nil, plain: ""},
	{name: "final block and nothing behind", data: unhex("f3 48 cd c9 c9 07 00"), plain: "Hello"},
	{name: "final stored block", data: unhex("01 05 00 fa ff 48 65 6c 6c 6f 00"), plain: "Hello"},
	{name: "final block twice", data: unhex("f3 48 cd c9 c9 07 00 f3 48 cd c9 c9 07 00 00"), plain: "HelloHello"},
	{name: "final block and another", data: unhex("f3 48 cd c9 c9 07 00 f2 48 cd c9 c9 07 00"), plain: "HelloHello"},
	{name: "empty final blocks", data: unhex("03 00 03 00 03 00 00"), plain: ""},
	{name: "empty stored blocks", data: unhex("00 00 00 ff ff 00 00 00 ff ff 00"), plain: ""},
	{name: "empty fixed block", data: unhex("02 00"), plain: ""}, // and the header of the stored one, in 13 bits
	{name: "empty fixed block and a byte too much", data: unhex("02 00 00"), err: ErrDeflate},
	{name: "not cut off", data: unhex("f2 48 cd c9 c9 07 00 00 00 ff ff 00"), plain: "Hello"},
	{name: "dynamic", data: deflated(bytes.Repeat([]byte("\u5f39\u5e55 danmaku "), 20), 9), plain: strings.Repeat("\u5f39\u5e55 danmaku ", 20)},

	{name: "bytes behind a final block", data: unhex("f3 48 cd c9 c9 07 00 ff"), err: ErrDeflate},
	{name: "text behind a final block", data: append(unhex("f3 48 cd c9 c9 07 00"), "garbage"...), err: ErrDeflate},
	{name: "reserved block type", data: unhex("06 00"), err: ErrDeflate},
	{name: "length of a stored block", data: unhex("00 05 00 fa fe 48 65 6c 6c 6f 00"), err: ErrDeflate},
	{name: "stored block cut", data: unhex("00 ff 00 00 ff 48 65 6c 6c 6f"), err: ErrDeflate},
	{name: "refers to before the start", data: unhex("4a 04 02 00"), err: ErrDeflate},
	{name: "refers across a final block", data: unhex("f3 48 cd c9 c9 07 00 02 13 00 00"), err: ErrDeflate},
	{name: "a plain message", data: []byte("Hello"), err: ErrDeflate},
	{name: "a gzip file", data: unhex("1f 8b 08 00 00 00 00 00 00 03"), err: ErrDeflate},
	{name: "not UTF-8", data: deflated([]byte("a\xff"), 6), err: ErrText},
	{name: "cut in a character", data: deflated([]byte("a\xe5\xbc"), 6), err: ErrText},
	{name: "surrogate", data: deflated([]byte("\xed\xa0\x80"), 6), err: ErrText},
	{name: "above the limit", data: deflated(bytes.Repeat([]byte("x"), inflateLimit+1), 6), err: ErrMessageBig},
	{name: "at the limit", data: deflated(bytes.Repeat([]byte("x"), inflateLimit), 6), plain: strings.Repeat("x", inflateLimit)},
}

const inflateLimit = 1000

func compressedText(p []byte) Message { return Message{Op: OpText, Data: p, Compressed: true} }

// TestInflate runs all cases through one Inflater, so that none may leave
// anything to the next, and each again through a new one.
func TestInflate(t *testing.T) {
	shared := NewInflater()
	for round := range 2 {
		for _, c := range inflateCases {
			for _, i := range []*Inflater{shared, NewInflater()} {
				data := bytes.Clone(c.data)
				plain, err := i.Message(compressedText(data), inflateLimit)
				if err != c.err || string(plain) != c.plain {
					t.Errorf("round %d, %s: %.40q %v, want %.40q %v", round, c.name, plain, err, c.plain, c.err)
				}
				if !bytes.Equal(data, c.data) {
					t.Errorf("%s: the message was changed", c.name)
				}
			}
		}
	}
}

// TestInflateFinalBlocks: each final block has its price, so there is a bound.
func TestInflateFinalBlocks(t *testing.T) {
	i := NewInflater()
	empty, hello := unhex("03 00"), unhex("f3 48 cd c9 c9 07 00")
	for _, c := range []struct {
		name  string
		data  []byte
		plain string
		err   error
	}{
		{"as many as may be", bytes.Repeat(empty, finalBlocksMax), "", nil},
		{"as many, and a block that is not final", append(bytes.Repeat(empty, finalBlocksMax), 0), "", nil},
		{"as many with content", bytes.Repeat(hello, finalBlocksMax), strings.Repeat("Hello", finalBlocksMax), nil},
		{"one too many", bytes.Repeat(empty, finalBlocksMax+1), "", ErrDeflate},
		{"one too many with content", bytes.Repeat(hello, finalBlocksMax+1), "", ErrDeflate},
		{"a whole message of them", bytes.Repeat(empty, 2048), "", ErrDeflate},
	} {
		plain, err := i.Message(compressedText(c.data), inflateLimit)
		if err != c.err || string(plain) != c.plain {
			t.Errorf("%s: %d bytes, %v", c.name, len(plain), err)
		}
		checkInflate(t, i, c.data, inflateLimit)
	}
}

func TestInflateLeavesPlainMessages(t *testing.T) {
	i := NewInflater()
	data := []byte("Hello")
	plain, err := i.Message(Message{Op: OpText, Data: data}, 1)
	if err != nil || &plain[0] != &data[0] || i.flate != nil {
		t.Errorf("%q %v, library %v", plain, err, i.flate != nil)
	}
	// What is no text may have any bytes.
	plain, err = i.Message(Message{Op: OpBinary, Data: deflated([]byte("\xff\xfe"), 6), Compressed: true}, 2)
	if err != nil || string(plain) != "\xff\xfe" {
		t.Errorf("%q %v", plain, err)
	}
}

// TestInflateBomb: 4 KiB that want to be 4 MiB get no more than the limit, and
// no more memory than that either.
func TestInflateBomb(t *testing.T) {
	bomb := deflated(make([]byte, 4<<20), 9)
	if len(bomb) > 4200 {
		t.Fatalf("bomb of %d bytes", len(bomb))
	}
	for _, limit := range []int{-1, 0, 1, 100, 4096, 1 << 20, 4<<20 - 1} {
		i := NewInflater()
		i.Message(compressedText(unhex("00")), 0) // the library's own memory
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		plain, err := i.Message(Message{Op: OpBinary, Data: bomb, Compressed: true}, limit)
		runtime.ReadMemStats(&after)
		if err != error(ErrMessageBig) || plain != nil || cap(i.out) > max(limit, 0) {
			t.Errorf("limit %d: %d bytes, error %v, %d held", limit, len(plain), err, cap(i.out))
		}
		// All steps of the doubling together, and a copy of the input.
		if grown := after.TotalAlloc - before.TotalAlloc; int(grown) > 3*max(limit, 0)+3*len(bomb)+4096 {
			t.Errorf("limit %d: %d bytes allocated", limit, grown)
		}
	}
	i := NewInflater()
	if plain, err := i.Message(Message{Op: OpBinary, Data: bomb, Compressed: true}, 4<<20); err != nil || len(plain) != 4<<20 {
		t.Errorf("at its limit: %d bytes, %v", len(plain), err)
	}
	i.Message(compressedText(unhex("00")), 0)
	if cap(i.out) > inflateKeep || cap(i.in) > inflateKeep {
		t.Errorf("%d and %d bytes kept after a large message", cap(i.out), cap(i.in))
	}
}

// stdInflate is the same decision by the standard library, without a limit.
func stdInflate(data []byte) (plain []byte, ok bool) {
	src := bytes.NewReader(append(bytes.Clone(data), inflateTail...))
	finals := 0
	for src.Len() > 0 && src.Len() != len(inflateTail) {
		p, err := io.ReadAll(stdflate.NewReader(src))
		if err != nil {
			return nil, false
		}
		plain = append(plain, p...)
		if src.Len() > 0 {
			finals++
		}
	}
	return plain, finals <= finalBlocksMax
}

// checkInflate compares one message with the standard library's view of it.
func checkInflate(t *testing.T, i *Inflater, data []byte, limit int) {
	t.Helper()
	plain, err := i.Message(compressedText(data), limit)
	if cap(i.out) > max(limit, inflateKeep) || len(plain) > limit {
		t.Fatalf("%x: %d bytes, %d held, limit %d", data, len(plain), cap(i.out), limit)
	}
	want, ok := stdInflate(data)
	switch {
	case err == error(ErrMessageBig):
		// What follows beyond the limit is not looked at.
		ok = ok && len(want) > limit || !ok
	case err == error(ErrDeflate):
		ok = !ok
	case err == error(ErrText):
		ok = ok && !utf8.Valid(want)
	case err == nil:
		ok = ok && bytes.Equal(plain, want)
	default:
		ok = false
	}
	if !ok {
		t.Fatalf("%x: %.80q %v, the standard library %.80q", data, plain, err, want)
	}
}

// TestInflateDamaged cuts messages at every byte and flips every bit of them.
func TestInflateDamaged(t *testing.T) {
	i := NewInflater()
	for _, c := range inflateCases {
		for cut := range c.data {
			checkInflate(t, i, c.data[:cut], inflateLimit)
		}
		for bit := range 8 * len(c.data) {
			data := bytes.Clone(c.data)
			data[bit/8] ^= 1 << (bit % 8)
			checkInflate(t, i, data, inflateLimit)
		}
	}
	// A cut can not pass as a shorter message.
	plain := []byte(strings.Repeat("\u5f39\u5e55 flies by, \u5f39\u5e55 is gone. ", 8))
	for level := range 10 {
		data := deflated(plain, level)
		for cut := 2; cut < len(data); cut++ { // 00 alone is the empty message
			if got, err := i.Message(compressedText(data[:cut]), inflateLimit); err == nil {
				t.Errorf("level %d cut at %d of %d: %q", level, cut, len(data), got)
			}
		}
	}
}

func TestInflateAllocations(t *testing.T) {
	i := NewInflater()
	small := compressedText(deflated(bytes.Repeat([]byte("\u5f39\u5e55 danmaku "), 20), 9))
	broken := compressedText([]byte("no deflate at all"))
	bomb := compressedText(deflated(make([]byte, 1<<20), 9))
	if n := testing.AllocsPerRun(100, func() { i.Message(small, 4096) }); n != 0 {
		t.Errorf("message: %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { i.Message(bomb, 4096) }); n != 0 {
		t.Errorf("bomb: %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { i.Message(broken, 4096) }); n > 1 { // the library's error
		t.Errorf("broken message: %v allocations", n)
	}
}

// FuzzInflate: whatever comes, there is no panic, no more than the limit, and
// the same verdict as the standard library's.
func FuzzInflate(f *testing.F) {
	for _, c := range inflateCases {
		f.Add(c.data, uint16(inflateLimit))
	}
	f.Add(deflated(make([]byte, 64<<10), 9), uint16(4096))
	f.Fuzz(func(t *testing.T, data []byte, limit uint16) {
		if len(data) > 4096 {
			return // the standard library has no limit on what comes out
		}
		i := NewInflater()
		checkInflate(t, i, data, int(limit))
		checkInflate(t, i, data, int(limit)) // nothing is left over
	})
}

// TestPushCompressed: text that is still deflated is nobody's UTF-8, and RSV1 of
// the first frame is that of the message.
func TestPushCompressed(t *testing.T) {
	i := NewInflater()
	hello := unhex("f2 48 cd c9 c9 07 00")
	for split := range len(hello) {
		wire := appendViewerFrame(nil, frameSpec{op: OpText, more: true, rsv: 0x40, payload: hello[:split]})
		wire = appendViewerFrame(wire, ping("between"))
		wire = appendViewerFrame(wire, last(string(hello[split:])))
		var a Assembler
		var m Message
		for done := false; !done; {
			if err := a.Peek(wire); err != nil {
				t.Fatal(err)
			}
			f, n, err := Decode(wire, 100, true)
			if err != nil || n == 0 {
				t.Fatal(n, err)
			}
			wire = wire[n:]
			if f.Op.Control() {
				continue
			}
			if m, done, err = a.Push(f, 100); err != nil {
				t.Fatal(err)
			}
		}
		if plain, err := i.Message(m, 100); err != nil || string(plain) != "Hello" || !m.Compressed {
			t.Fatalf("split at %d: %q %v", split, plain, err)
		}
	}
	// The next message is plain again.
	var a Assembler
	a.Push(Frame{Op: OpText, Compressed: true, Payload: []byte("\xff")}, 100)
	if m, done, err := a.Push(Frame{Op: OpContinuation, Fin: true}, 100); !done || err != nil || !m.Compressed {
		t.Fatalf("%+v %v", m, err)
	}
	a.Push(Frame{Op: OpText, Payload: []byte("a")}, 100)
	if m, _, err := a.Push(Frame{Op: OpContinuation, Fin: true}, 100); err != nil || m.Compressed {
		t.Fatalf("%+v %v", m, err)
	}
	// Compressed fragments are bounded as they are on the wire.
	a.Push(Frame{Op: OpText, Compressed: true, Payload: make([]byte, 60)}, 100)
	if _, _, err := a.Push(Frame{Op: OpContinuation, Fin: true, Payload: make([]byte, 41)}, 100); err != error(ErrMessageBig) {
		t.Fatalf("%v", err)
	}
}

// TestDecodeReservedBits: RSV1 means something on the first frame of a message
// and only when the extension was negotiated, RFC 7692 section 6.
func TestDecodeReservedBits(t *testing.T) {
	for _, deflate := range []bool{false, true} {
		for op := range Op(16) {
			for rsv := range byte(8) {
				for _, more := range []bool{false, true} {
					if !op.known() || op.Control() && more {
						continue
					}
					wire := appendViewerFrame(nil, frameSpec{op: op, more: more, rsv: rsv << 4, payload: []byte("ab")})
					good := rsv == 0 || rsv == 4 && deflate && (op == OpText || op == OpBinary)
					for cut := 2; cut <= len(wire); cut++ {
						f, n, err := Decode(bytes.Clone(wire[:cut]), 100, deflate)
						if !good && err != error(ErrReservedBits) || good && err != nil {
							t.Fatalf("%v, bits %d, negotiated %v: %v", op, rsv, deflate, err)
						}
						if good && n == len(wire) && f.Compressed != (rsv == 4) {
							t.Fatalf("%v, bits %d: compressed %v", op, rsv, f.Compressed)
						}
						if good && cut < len(wire) && Need(wire[:cut]) <= cut {
							t.Fatalf("%v: Need says %d of %d", op, Need(wire[:cut]), cut)
						}
					}
				}
			}
		}
	}
	wire := appendViewerFrame(nil, frameSpec{op: OpText, rsv: 0x40, payload: []byte("ab")})
	if n := testing.AllocsPerRun(100, func() { Decode(wire, 100, true) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
