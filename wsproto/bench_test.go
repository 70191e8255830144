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
