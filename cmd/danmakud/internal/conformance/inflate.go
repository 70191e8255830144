package conformance

import (
	"errors"
	"fmt"
)

// inflate decodes RFC 1951 bit by bit and refuses a distance beyond window, which
// libraries, whose window is always the largest, cannot tell. p is one message
// with its cut tail put back; the decoding ends with p.
func inflate(p []byte, window int) ([]byte, error) {
	b := bits{p: p}
	var out []byte
	for b.left() >= 3 {
		final := b.take(1)
		var err error
		switch kind := b.take(2); kind {
		case 0:
			out, err = b.stored(out)
		case 1:
			out, err = b.block(out, fixedLengths, fixedDistances, window)
		case 2:
			var lengths, distances code
			if lengths, distances, err = b.codes(); err == nil {
				out, err = b.block(out, lengths, distances, window)
			}
		default:
			err = errors.New("deflate: block of kind 3")
		}
		if err != nil {
			return nil, err
		}
		if b.short {
			return nil, errors.New("deflate: data ends inside a block")
		}
		if final == 1 {
			break
		}
	}
	return out, nil
}

// bits reads from the lowest bit of each byte up.
type bits struct {
	p     []byte // not held yet
	held  uint64
	n     int // bits held
	short bool
}

func (b *bits) left() int { return 8*len(b.p) + b.n }

// fill holds at least 48 bits, or all that is left.
func (b *bits) fill() {
	for b.n <= 56 && len(b.p) > 0 {
		b.held |= uint64(b.p[0]) << b.n
		b.n += 8
		b.p = b.p[1:]
	}
}

// take reads at most 16 bits.
func (b *bits) take(n int) int {
	if b.n < n {
		b.fill()
	}
	if b.n < n {
		b.short = true
		return 0
	}
	v := int(b.held & (1<<n - 1))
	b.held >>= n
	b.n -= n
	return v
}

func (b *bits) stored(out []byte) ([]byte, error) {
	b.take(b.n % 8)
	n, check := b.take(16), b.take(16)
	if n != check^0xFFFF || b.left() < 8*n {
		return nil, fmt.Errorf("deflate: stored block of %d bytes, %d bits left", n, b.left())
	}
	for ; b.n > 0 && n > 0; n-- {
		out = append(out, byte(b.take(8)))
	}
	out = append(out, b.p[:n]...)
	b.p = b.p[n:]
	return out, nil
}

// code is a canonical Huffman code: how many symbols have each length, and the
// symbols in the order of their codes.
type code struct {
	count   [16]int
	symbols []int
}

func newCode(lengths []int) (c code) {
	for n := 1; n < 16; n++ {
		for symbol, length := range lengths {
			if length == n {
				c.count[n]++
				c.symbols = append(c.symbols, symbol)
			}
		}
	}
	return c
}

// symbol reads one; -1 when no code fits.
func (b *bits) symbol(c *code) int {
	if b.n < 15 {
		b.fill()
	}
	held := int(b.held)
	value, first, index := 0, 0, 0
	for n := 1; n < 16; n++ {
		value |= held & 1
		held >>= 1
		if value-first < c.count[n] {
			b.take(n)
			return c.symbols[index+value-first]
		}
		index += c.count[n]
		first = (first + c.count[n]) << 1
		value <<= 1
	}
	return -1
}

var (
	fixedLengths   = newCode(fixed())
	fixedDistances = newCode(repeated(5, 30))
	lengthBase     = [29]int{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthExtra    = [29]int{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	orderOfLengths = [19]int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
)

func fixed() (lengths []int) {
	lengths = append(repeated(8, 144), repeated(9, 112)...)
	return append(append(lengths, repeated(7, 24)...), repeated(8, 8)...)
}

func repeated(v, n int) (list []int) {
	for range n {
		list = append(list, v)
	}
	return list
}

// codes reads the two codes of a dynamic block.
func (b *bits) codes() (lengths, distances code, err error) {
	nl, nd, nc := b.take(5)+257, b.take(5)+1, b.take(4)+4
	order := make([]int, 19)
	for i := range nc {
		order[orderOfLengths[i]] = b.take(3)
	}
	c := newCode(order)
	var all []int
	for len(all) < nl+nd && !b.short {
		switch s := b.symbol(&c); {
		case s < 0 || s == 16 && len(all) == 0:
			return lengths, distances, errors.New("deflate: bad code lengths")
		case s < 16:
			all = append(all, s)
		case s == 16:
			all = append(all, repeated(all[len(all)-1], 3+b.take(2))...)
		case s == 17:
			all = append(all, repeated(0, 3+b.take(3))...)
		default:
			all = append(all, repeated(0, 11+b.take(7))...)
		}
	}
	if len(all) != nl+nd {
		return lengths, distances, errors.New("deflate: code lengths run over")
	}
	return newCode(all[:nl]), newCode(all[nl:]), nil
}

func (b *bits) block(out []byte, lengths, distances code, window int) ([]byte, error) {
	for !b.short {
		s := b.symbol(&lengths)
		switch {
		case s == 256:
			return out, nil
		case s < 0 || s > 285:
			return nil, errors.New("deflate: bad symbol")
		case s < 256:
			out = append(out, byte(s))
			continue
		}
		n := lengthBase[s-257] + b.take(lengthExtra[s-257])
		d := b.symbol(&distances)
		if d < 0 || d > 29 {
			return nil, errors.New("deflate: bad distance")
		}
		distance := d + 1
		if d > 3 {
			extra := d/2 - 1
			distance = 1 + (2+d%2)<<extra + b.take(extra)
		}
		if distance > len(out) || distance > window {
			return nil, fmt.Errorf("deflate: distance %d, window %d, %d bytes out", distance, window, len(out))
		}
		for range n {
			out = append(out, out[len(out)-distance])
		}
	}
	return out, nil
}
