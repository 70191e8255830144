//go:build linux

package main

import (
	"bufio"
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestReadHeader(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		in      []byte
		size    int
		payload int
		err     error
		deflate bool
	}{
		{name: "short", in: []byte{0x81, 5}, size: 2, payload: 5},
		{name: "medium", in: []byte{0x81, 126, 1, 0}, size: 4, payload: 256},
		{name: "long", in: []byte{0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0}, size: 10, payload: 65536},
		{name: "ping", in: []byte{0x89, 0}, size: 2},
		{name: "close", in: []byte{0x88, 2}, size: 2, payload: 2},
		{name: "reserved bit", in: []byte{0xc1, 5}, err: errReserved},
		{name: "compressed", in: []byte{0xc1, 5}, size: 2, payload: 5, deflate: true},
		{name: "plain beside compressed", in: []byte{0x81, 5}, size: 2, payload: 5, deflate: true},
		{name: "compressed ping", in: []byte{0xc9, 5}, err: errReserved, deflate: true},
		{name: "another reserved bit", in: []byte{0xe1, 5}, err: errReserved, deflate: true},
		{name: "masked", in: []byte{0x81, 0x85}, err: errMasked},
		{name: "first fragment", in: []byte{0x01, 5}, err: errFragment},
		{name: "continuation", in: []byte{0x80, 5}, err: errFragment},
		{name: "binary", in: []byte{0x82, 5}, err: errOpcode},
		{name: "medium not shortest", in: []byte{0x81, 126, 0, 125}, err: errLength},
		{name: "long not shortest", in: []byte{0x81, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, err: errLength},
		{name: "absurd", in: []byte{0x81, 127, 0x7f, 0, 0, 0, 0, 0, 0, 0}, err: errTooLong},
		{name: "long ping", in: []byte{0x89, 126, 1, 0}, err: errControl},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, ok, err := readHeader(c.in, c.deflate)
			if !errors.Is(err, c.err) || ok != (c.err == nil) {
				t.Fatalf("ok %t, error %v, want %v", ok, err, c.err)
			}
			if ok && (h.size != c.size || h.payload != c.payload) {
				t.Errorf("header %d, payload %d, want %d and %d", h.size, h.payload, c.size, c.payload)
			}
			for n := range len(c.in) - 1 {
				if _, ok, _ := readHeader(c.in[:n], c.deflate); ok {
					t.Errorf("complete with %d of %d bytes", n, len(c.in))
				}
			}
		})
	}
}

func TestMaskedFramesComeBack(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 125, 126, 4000} {
		want := []byte(strings.Repeat("x", n))
		p := appendMasked(nil, opText, want, 0x12345678)
		if n > 0 && bytes.Contains(p, want[:min(n, 8)]) && n > 8 {
			t.Error("the payload is not masked")
		}
		op, got, err := readMasked(bufio.NewReader(bytes.NewReader(p)))
		if err != nil || op != opText || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: op %d, %d bytes back, %v", n, op, len(got), err)
		}
	}
}

func TestSeqOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		seq  uint64
		fail bool
	}{
		{in: `{"type":"batch","room":"r","seq":42,"ts":1,`, seq: 42},
		{in: `{"type":"batch","room":"` + strings.Repeat("r", 64) + `","seq":18446744073709551,"ts"`, seq: 18446744073709551},
		{in: `{"type":"batch","room":"r","seq":,"ts":1`, fail: true},
		{in: `{"type":"batch","room":"r","ts":1`, fail: true},
		{in: `{"type":"skipped","from":1}`, fail: true},
		{in: ``, fail: true},
	} {
		seq, err := seqOf([]byte(c.in))
		if (err != nil) != c.fail || seq != c.seq {
			t.Errorf("%.60s: %d, %v", c.in, seq, err)
		}
	}
}
