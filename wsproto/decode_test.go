package wsproto

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/gobwas/ws"
)

// testLimit is the limit of the tables: between the 2-byte and 8-byte lengths.
const testLimit = 70_000

func filled(n int) []byte { return bytes.Repeat([]byte("0123456789abcdef"), n/16+1)[:n] }

// frameCase is shared by the tests, the fuzz seeds and the benchmarks.
type frameCase struct {
	name  string
	frame frameSpec
	err   *Violation
	at    int // bytes after which the error must be there
}

var frameCases = []frameCase{
	{
		name:  "text empty",
		frame: frameSpec{op: OpText},
	},
	{
		name:  "text 1",
		frame: text("x"),
	},
	{
		name:  "text comment",
		frame: text(`{"type":"comment","text":"666","color":16711680}`),
	},
	{
		name:  "text 125",
		frame: frameSpec{op: OpText, payload: filled(125)},
	},
	{
		name:  "text 126",
		frame: frameSpec{op: OpText, payload: filled(126)},
	},
	{
		name:  "text 4096",
		frame: frameSpec{op: OpText, payload: filled(4096)},
	},
	{
		name:  "binary 65535",
		frame: frameSpec{op: OpBinary, payload: filled(65535)},
	},
	{
		name:  "binary 65536",
		frame: frameSpec{op: OpBinary, payload: filled(65536)},
	},
	{
		name:  "binary at the limit",
		frame: frameSpec{op: OpBinary, payload: filled(testLimit)},
	},
	{
		name:  "text first fragment",
		frame: textStart("abc"),
	},
	{
		name:  "continuation",
		frame: next("abc"),
	},
	{
		name:  "continuation last",
		frame: last(""),
	},
	{
		name:  "ping empty",
		frame: ping(""),
	},
	{
		name:  "ping 125",
		frame: frameSpec{op: OpPing, payload: filled(125)},
	},
	{
		name:  "pong",
		frame: frameSpec{op: OpPong, payload: []byte("p")},
	},
	{
		name:  "close",
		frame: closing("\x03\xe8bye"),
	},
	{
		name:  "rsv1",
		frame: frameSpec{op: OpText, rsv: 0x40},
		err:   ErrReservedBits,
		at:    2,
	},
	{
		name:  "rsv2",
		frame: frameSpec{op: OpPing, rsv: 0x20},
		err:   ErrReservedBits,
		at:    2,
	},
	{
		name:  "rsv3 with payload",
		frame: frameSpec{op: OpBinary, rsv: 0x10, payload: filled(300)},
		err:   ErrReservedBits,
		at:    2,
	},
	{
		name:  "opcode 3",
		frame: frameSpec{op: 3},
		err:   ErrOpcode,
		at:    2,
	},
	{
		name:  "opcode 7",
		frame: frameSpec{op: 7, payload: []byte("x")},
		err:   ErrOpcode,
		at:    2,
	},
	{
		name:  "opcode 11",
		frame: frameSpec{op: 11},
		err:   ErrOpcode,
		at:    2,
	},
	{
		name:  "opcode 15",
		frame: frameSpec{op: 15, more: true},
		err:   ErrOpcode,
		at:    2,
	},
	{
		name:  "ping fragmented",
		frame: frameSpec{op: OpPing, more: true},
		err:   ErrControlFragmented,
		at:    2,
	},
	{
		name:  "close fragmented",
		frame: frameSpec{op: OpClose, more: true, payload: []byte("\x03\xe8")},
		err:   ErrControlFragmented,
		at:    2,
	},
	{
		name:  "ping 126",
		frame: frameSpec{op: OpPing, payload: filled(126)},
		err:   ErrControlLong,
		at:    2,
	},
	{
		name:  "close with 8 bytes of length",
		frame: frameSpec{op: OpClose, payload: filled(2), lengthBytes: 8},
		err:   ErrControlLong,
		at:    2,
	},
	{
		name:  "unmasked text",
		frame: frameSpec{op: OpText, bare: true, payload: []byte("hello")},
		err:   ErrUnmasked,
		at:    2,
	},
	{
		name:  "unmasked close",
		frame: frameSpec{op: OpClose, bare: true},
		err:   ErrUnmasked,
		at:    2,
	},
	{
		name:  "125 in 2 bytes",
		frame: frameSpec{op: OpText, payload: filled(125), lengthBytes: 2},
		err:   ErrLengthNotMinimal,
		at:    4,
	},
	{
		name:  "0 in 8 bytes",
		frame: frameSpec{op: OpText, lengthBytes: 8},
		err:   ErrLengthNotMinimal,
		at:    10,
	},
	{
		name:  "65535 in 8 bytes",
		frame: frameSpec{op: OpText, payload: filled(65535), lengthBytes: 8},
		err:   ErrLengthNotMinimal,
		at:    10,
	},
	{
		name:  "above the limit",
		frame: frameSpec{op: OpBinary, payload: filled(testLimit + 1)},
		err:   ErrFrameBig,
		at:    10,
	},
}

// TestDecode gives every case at every cut of its first bytes and its last: the
// answer is "not yet" exactly until it is the final one.
func TestDecode(t *testing.T) {
	for _, c := range frameCases {
		t.Run(c.name, func(t *testing.T) {
			whole := appendViewerFrame(nil, c.frame)
			done := len(whole)
			if c.err != nil {
				done = c.at
			}
			for _, cut := range cuts(len(whole)) {
				p := bytes.Clone(whole[:cut])
				f, n, err := Decode(p, testLimit, false)
				if cut < done {
					if n != 0 || err != nil || f.Payload != nil {
						t.Fatalf("%d of %d bytes: n %d, error %v", cut, len(whole), n, err)
					}
					if !bytes.Equal(p, whole[:cut]) {
						t.Fatalf("%d bytes that were not taken have changed", cut)
					}
					if need := Need(p); need <= cut || c.err == nil && need > len(whole) {
						t.Fatalf("Need says %d of %d bytes, there are %d", need, len(whole), cut)
					}
					continue
				}
				c.check(t, f, n, err, len(whole))
			}
		})
	}
}

func (c *frameCase) check(t *testing.T, f Frame, n int, err error, size int) {
	t.Helper()
	if c.err != nil {
		if err != error(c.err) || n != 0 {
			t.Fatalf("n %d, error %v, want %v", n, err, c.err)
		}
		return
	}
	if err != nil || n != size {
		t.Fatalf("n %d, error %v, want %d", n, err, size)
	}
	if f.Op != c.frame.op || f.Fin == c.frame.more || !bytes.Equal(f.Payload, c.frame.payload) {
		t.Fatalf("frame %v fin %v %.40q", f.Op, f.Fin, f.Payload)
	}
	if cap(f.Payload) != len(f.Payload) {
		t.Fatalf("an append to the payload would run into the next frame")
	}
}

// cuts are the positions worth trying: all near both ends, some between.
func cuts(n int) []int {
	var at []int
	for i := 0; i <= n; i++ {
		if i < 300 || i > n-40 || i%4097 == 0 {
			at = append(at, i)
		}
	}
	return at
}

// TestDecodeSequence takes frames off one buffer, one after the other.
func TestDecodeSequence(t *testing.T) {
	var p []byte
	var want []frameCase
	for _, c := range frameCases {
		if c.err == nil {
			p, want = appendViewerFrame(p, c.frame), append(want, c)
		}
	}
	for _, c := range want {
		f, n, err := Decode(p, testLimit, false)
		c.check(t, f, n, err, len(appendViewerFrame(nil, c.frame)))
		p = p[n:]
	}
	if len(p) != 0 {
		t.Fatalf("%d bytes left", len(p))
	}
}

func TestDecodeLimit(t *testing.T) {
	cases := []struct {
		limit, size int
		err         error
	}{
		{limit: 0, size: 0},
		{limit: 0, size: 1, err: ErrFrameBig},
		{limit: -1, size: 0},
		{limit: -1, size: 1, err: ErrFrameBig},
		{limit: 100, size: 100},
		{limit: 100, size: 101, err: ErrFrameBig},
		{limit: 4096, size: 4097, err: ErrFrameBig},
		{limit: math.MaxInt, size: 66_000},
	}
	for _, c := range cases {
		p := viewerBytes(frameSpec{op: OpText, payload: filled(c.size)})
		if _, _, err := Decode(p, c.limit, false); err != c.err {
			t.Errorf("%d bytes under limit %d: %v, want %v", c.size, c.limit, err, c.err)
		}
	}
	// Control frames have their own limit.
	if f, _, err := Decode(viewerBytes(frameSpec{op: OpPing, payload: filled(125)}), 10, false); err != nil || len(f.Payload) != 125 {
		t.Errorf("ping of 125 bytes under limit 10: %v", err)
	}
}

// TestDecodeAgainstLibrary compares with the reader of gobwas/ws on random
// headers: whatever we take, it reads in the same way.
func TestDecodeAgainstLibrary(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	taken := 0
	for range 200_000 {
		p := make([]byte, 64)
		for i := range p {
			p[i] = byte(rnd.Uint32())
		}
		p[0] &^= byte(rnd.Uint32()) & 0x70 // more often valid
		p[1] |= 0x80
		wire := bytes.Clone(p)
		f, n, err := Decode(p, 1000, false)
		if err != nil || n == 0 {
			continue
		}
		taken++
		want, err := ws.ReadFrame(bytes.NewReader(wire))
		if err != nil {
			t.Fatalf("taken, but the library says %v: %x", err, wire)
		}
		want = ws.UnmaskFrameInPlace(want)
		if byte(f.Op) != byte(want.Header.OpCode) || f.Fin != want.Header.Fin || !bytes.Equal(f.Payload, want.Payload) {
			t.Fatalf("%x\n ours %v %v %x\n library %+v", wire, f.Op, f.Fin, f.Payload, want)
		}
	}
	if taken < 1000 {
		t.Fatalf("only %d random frames were valid", taken)
	}
}

// TestB8DeclaredLengthCostsNothing: a length that a peer merely declares is
// compared with the limit before anything is allocated or added to it.
func TestB8DeclaredLengthCostsNothing(t *testing.T) {
	cases := []struct {
		length uint64
		err    error
	}{
		{length: 1 << 63, err: ErrLengthTopBit},
		{length: math.MaxUint64, err: ErrLengthTopBit},
		{length: math.MaxInt64, err: ErrFrameBig},
		{length: math.MaxInt64 - 13, err: ErrFrameBig},
		{length: math.MaxInt64 - 14, err: ErrFrameBig},
		{length: 1 << 62, err: ErrFrameBig},
		{length: 1 << 40, err: ErrFrameBig},
		{length: 1<<32 + 1, err: ErrFrameBig}, // small once cut to 32 bits
		{length: 1 << 32, err: ErrFrameBig},
		{length: math.MaxUint32, err: ErrFrameBig},
		{length: math.MaxInt32 + 1, err: ErrFrameBig},
		{length: 1 << 16, err: ErrFrameBig},
	}
	for _, op := range []Op{OpText, OpBinary, OpContinuation} {
		for _, c := range cases {
			head := binary.BigEndian.AppendUint64([]byte{0x80 | byte(op), 0xFF}, c.length)
			for extra := range 8 { // with and without the mask and a payload
				p := append(bytes.Clone(head), make([]byte, extra)...)
				var n int
				var err error
				allocs := testing.AllocsPerRun(10, func() { _, n, err = Decode(p, 4096, false) })
				if err != c.err || n != 0 || allocs != 0 {
					t.Errorf("%v of %d bytes: n %d, error %v, %v allocations", op, c.length, n, err, allocs)
				}
			}
		}
	}

	// Below a limit without reason the length is waited for, and still nothing
	// is allocated; the size to wait for does not overflow.
	for _, length := range []uint64{math.MaxInt64, math.MaxInt64 - 13, math.MaxInt64 - 14, 1 << 62} {
		p := binary.BigEndian.AppendUint64([]byte{0x82, 0xFF}, length)
		p = append(p, testMask[:]...)
		p = append(p, "some"...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f, n, err := Decode(p, math.MaxInt, false)
		need := Need(p)
		runtime.ReadMemStats(&after)
		if n != 0 || err != nil || f.Payload != nil {
			t.Errorf("length %d without a limit: n %d, error %v", length, n, err)
		}
		if want := min(length, math.MaxInt64-14) + 14; need != int(want) {
			t.Errorf("length %d: Need says %d, want %d", length, need, want)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
			t.Errorf("length %d: %d bytes allocated", length, grown)
		}
	}
}

func TestNeed(t *testing.T) {
	cases := []struct {
		name string
		p    []byte
		want int
	}{
		{"nothing", nil, 2},
		{"one byte", []byte{0x81}, 2},
		{"short", []byte{0x81, 0x80 | 5}, 11},
		{"2 bytes of length to come", []byte{0x81, 0xFE}, 4},
		{"2 bytes of length, one there", []byte{0x81, 0xFE, 1}, 4},
		{"2 bytes of length", []byte{0x81, 0xFE, 1, 0}, 8 + 256},
		{"8 bytes of length to come", []byte{0x81, 0xFF, 0, 0, 0, 0, 0, 1, 0}, 10},
		{"8 bytes of length", []byte{0x81, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0}, 14 + 65536},
		{"refused by Decode", binary.BigEndian.AppendUint64([]byte{0x81, 0xFF}, math.MaxUint64), 10},
	}
	for _, c := range cases {
		if got := Need(c.p); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// TestNeedHidesNothing: who decodes again only when there are as many bytes as
// Need says finds each violation no later than who decodes after each byte.
func TestNeedHidesNothing(t *testing.T) {
	for _, p := range [][]byte{
		{0x81, 0x00},                               // not masked
		{0xC1, 0x80},                               // a reserved bit
		{0x81, 0xFE, 0, 1},                         // not the shortest length
		{0x82, 0xFF, 0x40, 0, 0, 0, 0, 0, 0, 0},    // beyond any limit
		{0x82, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0},       // beyond this limit
		{0x82, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0},    // top bit
		{0x82, 0xFE, 0xFF, 0xFF},                   // beyond this limit, short form
		{0x89, 0xFE},                               // long ping
		{0x81, 0x81, 1, 2, 3, 4, 'a' ^ 1, 0x83, 0}, // the second frame
	} {
		for first := range p {
			var at int // of the frame at hand
			need := 0
			var found error
			for end := first + 1; end <= len(p) && found == nil; end++ {
				for end-at >= need && found == nil {
					_, n, err := Decode(bytes.Clone(p[at:end]), 1000, false)
					found = err
					if at += n; n == 0 {
						need = Need(p[at:end])
						break
					}
					need = 0
				}
			}
			if found == nil {
				t.Errorf("%x, first read of %d bytes: nothing found", p, first+1)
			}
		}
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	for _, c := range frameCases {
		whole := appendViewerFrame(nil, c.frame)
		p := bytes.Clone(whole)
		allocs := testing.AllocsPerRun(20, func() {
			copy(p, whole)
			Decode(p[:len(p)/2], testLimit, false)
			Need(p[:len(p)/2])
			Decode(p, testLimit, false)
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations", c.name, allocs)
		}
	}
}

func TestOpString(t *testing.T) {
	want := map[Op]string{
		OpContinuation: "continuation",
		OpText:         "text",
		OpBinary:       "binary",
		OpClose:        "close",
		OpPing:         "ping",
		OpPong:         "pong",
		3:              "op(3)",
	}
	for op, s := range want {
		if got := fmt.Sprint(op); got != s {
			t.Errorf("op %d is %q, want %q", byte(op), got, s)
		}
	}
}
