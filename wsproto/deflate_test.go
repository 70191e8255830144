package wsproto

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// sampleText is n bytes as compressible as chat.
func sampleText(n int) []byte {
	words := []string{"\u5f39\u5e55", "666", "hahaha", "\u54c8\u54c8\u54c8", " nice ", "\u597d\u770b", "?", "\u4e3b\u64ad ", "gg wp"}
	rnd := rand.New(rand.NewPCG(7, uint64(n)))
	var p []byte
	for len(p) < n {
		p = append(p, words[rnd.IntN(len(words))]...)
	}
	return p[:n]
}

func noise(n int) []byte {
	rnd := rand.New(rand.NewPCG(3, uint64(n)))
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(rnd.Uint32())
	}
	return p
}

// openFrame takes the header off a frame of ours.
func openFrame(t *testing.T, frame []byte, op Op) (payload []byte) {
	t.Helper()
	size := HeaderSize(0)
	switch frame[1] {
	case length16:
		size = 4
	case length64:
		size = 10
	}
	payload = frame[size:]
	header := AppendHeader(nil, op, len(payload))
	header[0] |= 0x40
	if !bytes.Equal(frame[:size], header) {
		t.Fatalf("header %x of %d bytes, want %x", frame[:size], len(payload), header)
	}
	return payload
}

// TestDeflateRoundTrip: what is compressed is read back by the standard library
// and by our own Inflater, whatever was compressed before, and no reference goes
// further back than the window reaches.
func TestDeflateRoundTrip(t *testing.T) {
	sizes := []int{0, 1, 2, 20, 100, 125, 126, 127, 200, 300, 1000, 4096, 33_000, 65_535, 65_536, 70_000, 200_000}
	type kind struct{ level, bits int }
	var kinds []kind
	for level := 1; level <= 9; level++ {
		kinds = append(kinds, kind{level, 15})
	}
	for bits := 8; bits < 15; bits++ {
		kinds = append(kinds, kind{1, bits})
	}
	i := NewInflater()
	for _, k := range kinds {
		d := NewDeflater(k.level, k.bits)
		for _, size := range sizes {
			for _, plain := range [][]byte{sampleText(size), noise(size), make([]byte, size)} {
				sent := bytes.Clone(plain)
				frame := d.AppendFrame([]byte("kept"), OpBinary, plain)
				frame, found := bytes.CutPrefix(frame, []byte("kept"))
				if !found || !bytes.Equal(plain, sent) {
					t.Fatalf("%+v: %d bytes: something was overwritten", k, size)
				}
				payload := openFrame(t, frame, OpBinary)
				if got, ok := stdInflate(payload); !ok || !bytes.Equal(got, plain) {
					t.Fatalf("%+v: %d bytes: the standard library reads %v, %d bytes", k, size, ok, len(got))
				}
				got, err := i.Message(Message{Op: OpBinary, Data: payload, Compressed: true}, size)
				if err != nil || !bytes.Equal(got, plain) {
					t.Fatalf("%+v: %d bytes: %v", k, size, err)
				}
				if k.bits == 15 && k.level > 1 || size > 40_000 {
					continue // the reader below is as slow as it is simple
				}
				if far := farthest(t, payload); far > 1<<k.bits {
					t.Fatalf("%+v: %d bytes: refers %d bytes back", k, size, far)
				}
			}
		}
	}
}

// TestDeflateEmpty: an empty message is the single byte of RFC 7692 section
// 7.2.3.6.
func TestDeflateEmpty(t *testing.T) {
	for _, bits := range []int{8, 15} {
		if frame := NewDeflater(1, bits).AppendFrame(nil, OpText, nil); !bytes.Equal(frame, []byte{0xC1, 1, 0}) {
			t.Errorf("%x", frame)
		}
	}
}

// TestDeflateShrinks: there is a reason for all this.
func TestDeflateShrinks(t *testing.T) {
	for _, bits := range []int{9, 15} {
		d := NewDeflater(1, bits)
		plain := sampleText(10_000)
		if frame := d.AppendFrame(nil, OpText, plain); len(frame) > len(plain)/2 {
			t.Errorf("%d window bits: %d of %d bytes", bits, len(frame), len(plain))
		}
	}
}

func TestDeflateAllocations(t *testing.T) {
	for _, bits := range []int{10, 15} {
		for _, level := range []int{1, 5, 6, 9} {
			d := NewDeflater(level, bits)
			plain := sampleText(10_000)
			dst := make([]byte, 0, 20_000)
			if n := testing.AllocsPerRun(20, func() { dst = d.AppendFrame(dst[:0], OpText, plain) }); n != 0 {
				t.Errorf("level %d, %d window bits: %v allocations", level, bits, n)
			}
		}
	}
}

func TestDeflaterRefuses(t *testing.T) {
	for name, f := range map[string]func(){
		"level 0":       func() { NewDeflater(0, 15) },
		"level 10":      func() { NewDeflater(10, 15) },
		"7 bits":        func() { NewDeflater(1, 7) },
		"16 bits":       func() { NewDeflater(1, 16) },
		"control frame": func() { NewDeflater(1, 15).AppendFrame(nil, OpPing, nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

// bitReader reads a deflate stream as slowly as RFC 1951 describes it. It serves
// to see distances, which no library tells.
type bitReader struct {
	t   *testing.T
	p   []byte
	pos int // in bits
}

func (r *bitReader) bits(n int) (v int) {
	for i := range n {
		if r.pos/8 >= len(r.p) {
			r.t.Fatal("deflate stream ends early")
		}
		v |= int(r.p[r.pos/8]>>(r.pos%8)&1) << i
		r.pos++
	}
	return v
}

// code reads one symbol of a canonical code, section 3.2.2.
func (r *bitReader) code(lengths []int) int {
	code, first := 0, 0
	for length := 1; length < 16; length++ {
		code = code<<1 | r.bits(1)
		first <<= 1
		for symbol, l := range lengths {
			if l != length {
				continue
			}
			if code == first {
				return symbol
			}
			first++
		}
	}
	r.t.Fatal("no such code")
	return 0
}

// dynamic reads the codes of a block, section 3.2.7.
func (r *bitReader) dynamic() (literals, distances []int) {
	nlit, ndist, ncode := 257+r.bits(5), 1+r.bits(5), 4+r.bits(4)
	order := []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
	codes := make([]int, 19)
	for _, at := range order[:ncode] {
		codes[at] = r.bits(3)
	}
	var lengths []int
	for len(lengths) < nlit+ndist {
		switch symbol := r.code(codes); symbol {
		case 16:
			for range 3 + r.bits(2) {
				lengths = append(lengths, lengths[len(lengths)-1])
			}
		case 17:
			lengths = append(lengths, make([]int, 3+r.bits(3))...)
		case 18:
			lengths = append(lengths, make([]int, 11+r.bits(7))...)
		default:
			lengths = append(lengths, symbol)
		}
	}
	return lengths[:nlit], lengths[nlit:]
}

// fixedCodes are those of section 3.2.6.
func fixedCodes() (literals, distances []int) {
	for symbol := range 288 {
		length := 8
		switch {
		case symbol >= 144 && symbol < 256:
			length = 9
		case symbol >= 256 && symbol < 280:
			length = 7
		}
		literals = append(literals, length)
	}
	return literals, bytesToInts(bytes.Repeat([]byte{5}, 30))
}

func bytesToInts(p []byte) []int {
	var list []int
	for _, b := range p {
		list = append(list, int(b))
	}
	return list
}

// farthest returns the largest distance in the payload of a message.
func farthest(t *testing.T, payload []byte) (far int) {
	t.Helper()
	r := &bitReader{t: t, p: append(bytes.Clone(payload), 0, 0, 0xFF, 0xFF)}
	for r.pos/8 < len(r.p) {
		if r.bits(1) != 0 {
			t.Fatal("a final block, which a peer may not expect")
		}
		var literals, distances []int
		switch r.bits(2) {
		case 0:
			r.pos = (r.pos + 7) / 8 * 8
			r.pos += 8 * r.bits(16)
			r.pos += 16
			continue
		case 1:
			literals, distances = fixedCodes()
		case 2:
			literals, distances = r.dynamic()
		default:
			t.Fatal("reserved block type")
		}
		far = max(far, r.block(literals, distances))
	}
	return far
}

// block reads the symbols of a block, section 3.2.5.
func (r *bitReader) block(literals, distances []int) (far int) {
	for {
		symbol := r.code(literals)
		switch {
		case symbol < 256:
			continue
		case symbol == 256:
			return far
		case symbol >= 265 && symbol < 285:
			r.bits((symbol - 261) / 4)
		}
		code := r.code(distances)
		distance := code + 1
		if code >= 4 {
			extra := code/2 - 1
			distance = (2+code&1)<<extra + 1 + r.bits(extra)
		}
		far = max(far, distance)
	}
}

func BenchmarkInflate(b *testing.B) {
	for _, n := range []int{30, 200, 4096} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			i := NewInflater()
			m := compressedText(deflated(bytes.ToValidUTF8(sampleText(n), nil), 6))
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := i.Message(m, 4096); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
