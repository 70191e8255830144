package wsproto

import (
	"bytes"
	"fmt"
	"testing"
)

func BenchmarkUpgrade(b *testing.B) {
	for _, c := range upgradeCases[:2] {
		b.Run(c.name, func(b *testing.B) {
			head := []byte(c.head)
			var reply []byte
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if reply, _, err = sampleUpgrader.Upgrade(reply[:0], head, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDecode unmasks the same bytes over and over: the mask applied twice
// gives them back, and Decode does not mind what a payload says.
func BenchmarkDecode(b *testing.B) {
	for _, c := range frameCases {
		if c.err != nil {
			continue
		}
		b.Run(c.name, func(b *testing.B) {
			p := appendViewerFrame(nil, c.frame)
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				if _, n, err := Decode(p, testLimit, false); n != len(p) || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}

func BenchmarkFrameInPlace(b *testing.B) {
	for _, n := range payloadSizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			buf := make([]byte, HeaderMax+n)
			b.ReportAllocs()
			for b.Loop() {
				FrameInPlace(buf, HeaderMax, OpText)
			}
		})
	}
}

func BenchmarkAppendFrame(b *testing.B) {
	for _, n := range payloadSizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			payload := filled(n)
			var dst []byte
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				dst = AppendFrame(dst[:0], OpText, payload)
			}
		})
	}
}

func BenchmarkPush(b *testing.B) {
	for _, c := range messageCases {
		if c.err != nil {
			continue
		}
		b.Run(c.name, func(b *testing.B) {
			var a Assembler
			b.ReportAllocs()
			for b.Loop() {
				for _, s := range c.frames {
					if _, _, err := a.Push(frameOf(s), messageLimit); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// bits writes the bits of a deflate stream, the lowest of a value first.
type bits struct {
	p []byte
	n int
}

func (b *bits) add(value, n int) {
	for ; n > 0; n-- {
		if b.n%8 == 0 {
			b.p = append(b.p, 0)
		}
		b.p[b.n/8] |= byte(value&1) << (b.n % 8)
		b.n++
		value >>= 1
	}
}

// emptyDynamic is n bytes of dynamic blocks without content, RFC 1951 section
// 3.2.7, of a kind that makes the receiver build both its tables.
func emptyDynamic(n int) []byte {
	var b bits
	for b.n < 8*(n-16) {
		b.add(0b100, 3) // not final, dynamic
		b.add(0, 5)     // 257 literal codes
		b.add(0, 5)     // 1 distance code
		b.add(14, 4)    // 18 code length codes
		for symbol := range 18 {
			length := 0
			if symbol == 2 || symbol == 17 { // of runs of zeros, and of the length 1
				length = 1
			}
			b.add(length, 3)
		}
		b.add(1, 1) // 138 and 118 literals that do not occur
		b.add(138-11, 7)
		b.add(1, 1)
		b.add(118-11, 7)
		b.add(0, 1) // the end has length 1
		b.add(0, 1) // and so has the one distance
		b.add(0, 1) // the end
	}
	b.add(0, 3) // what the tail goes on with
	return b.p
}

// BenchmarkInflateHostile is the price of a message by the worst of 4 KiB that a sender
// can make of it, for inflateSurcharge in the server.
func BenchmarkInflateHostile(b *testing.B) {
	comment := []byte(`{"type":"comment","text":"前方高能 前方高能","color":16777215,"mode":"scroll"}`)
	for _, c := range []struct {
		name string
		data []byte
		err  error
	}{
		{"a comment", deflated(comment, 6), nil},
		{"text", deflated(filled(4096), 6), nil},
		{"zeros", deflated(make([]byte, 4096), 6), nil},
		{"final blocks", bytes.Repeat(unhex("03 00"), 2048), ErrDeflate},
		{"dynamic blocks", emptyDynamic(4096), nil},
	} {
		b.Run(c.name, func(b *testing.B) {
			i := NewInflater()
			b.SetBytes(int64(len(c.data)))
			for b.Loop() {
				if _, err := i.Message(Message{Op: OpBinary, Data: c.data, Compressed: true}, 4096); err != c.err {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkTextCheck is the price of UTF-8 in fragments, against whole text.
func BenchmarkTextCheck(b *testing.B) {
	for name, s := range map[string]string{"ascii": "hello, world", "chinese": "\u5f39\u5e55\u5f39\u5e55"} {
		p := bytes.Repeat([]byte(s), 100)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				var c textCheck
				if !c.add(p) {
					b.Fatal("bad")
				}
			}
		})
	}
}
