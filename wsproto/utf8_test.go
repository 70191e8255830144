package wsproto

import (
	"testing"
	"unicode/utf8"
)

// textCase is shared with the fuzz seeds.
type textCase struct {
	name string
	text string
	bad  int // index of the first byte that no continuation can save; -1: none
	cut  bool
}

var textCases = []textCase{
	{name: "empty", text: "", bad: -1},
	{name: "ascii", text: "hello, world", bad: -1},
	{name: "all lengths", text: "a\u00e9\u5f39\U0001F600z", bad: -1},
	{name: "first and last of two", text: "\u0080\u07ff", bad: -1},
	{name: "first and last of three", text: "\u0800\uffff", bad: -1},
	{name: "first and last of four", text: "\U00010000\U0010ffff", bad: -1},
	{name: "around the surrogates", text: "\ud7ff\ue000", bad: -1},
	{name: "noncharacters", text: "\ufffe\uffff\U0001fffe", bad: -1},
	{name: "nul", text: "\x00", bad: -1},
	{name: "cut two", text: "a\xc3", bad: -1, cut: true},
	{name: "cut three", text: "a\xe5\xbc", bad: -1, cut: true},
	{name: "cut four", text: "a\xf0\x9f\x98", bad: -1, cut: true},
	{name: "lone continuation", text: "ab\x80c", bad: 2},
	{name: "lone last continuation", text: "\xbf", bad: 0},
	{name: "overlong two, c0", text: "x\xc0\xaf", bad: 1},
	{name: "overlong two, c1", text: "x\xc1\xbf", bad: 1},
	{name: "overlong three", text: "\xe0\x80\xaf", bad: 1},
	{name: "longest overlong three", text: "\xe0\x9f\xbf", bad: 1},
	{name: "overlong four", text: "\xf0\x80\x80\xaf", bad: 1},
	{name: "longest overlong four", text: "\xf0\x8f\xbf\xbf", bad: 1},
	{name: "five bytes", text: "\xf8\x88\x80\x80\x80", bad: 0},
	{name: "six bytes", text: "\xfc\x84\x80\x80\x80\x80", bad: 0},
	{name: "first surrogate", text: "ok\xed\xa0\x80", bad: 3},
	{name: "last surrogate", text: "\xed\xbf\xbf", bad: 1},
	{name: "surrogate pair", text: "\xed\xa0\xbd\xed\xb8\x80", bad: 1},
	{name: "above U+10FFFF", text: "\xf4\x90\x80\x80", bad: 1},
	{name: "f5", text: "\xf5\x80\x80\x80", bad: 0},
	{name: "fe", text: "\xfe", bad: 0},
	{name: "ff in the middle", text: "abc\xffdef", bad: 3},
	{name: "second byte is a lead", text: "\xe5\xe5\xbc\xb9", bad: 1},
	{name: "third byte is ascii", text: "\xe5\xbcx", bad: 2},
	{name: "fourth byte is ascii", text: "\xf0\x9f\x98x", bad: 3},
	{name: "bad after long good", text: "\u5f39\u5e55\u5f39\u5e55\u5f39\u5e55\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited", bad: 30},
}

// TestTextCheck gives every case in two pieces cut at every place, and byte by
// byte: the check must fail with the piece that holds the bad byte.
func TestTextCheck(t *testing.T) {
	for _, c := range textCases {
		for cut := 0; cut <= len(c.text); cut++ {
			var check textCheck
			pieces := []string{c.text[:cut], c.text[cut:]}
			checkPieces(t, c, &check, pieces)
		}
		var check textCheck
		var bytes []string
		for i := range len(c.text) {
			bytes = append(bytes, c.text[i:i+1])
		}
		checkPieces(t, c, &check, bytes)
	}
}

func checkPieces(t *testing.T, c textCase, check *textCheck, pieces []string) {
	t.Helper()
	at := 0
	for _, p := range pieces {
		good := check.add([]byte(p))
		at += len(p)
		if want := c.bad < 0 || at <= c.bad; good != want {
			t.Fatalf("%s in pieces %q: after %d bytes good is %v", c.name, pieces, at, good)
		}
		if !good {
			return
		}
	}
	if check.complete() == c.cut {
		t.Fatalf("%s in pieces %q: complete is %v", c.name, pieces, check.complete())
	}
}

// TestTextCheckAllCharacters walks all code points, each cut at every place,
// and all two-byte beginnings against the library.
func TestTextCheckAllCharacters(t *testing.T) {
	var b [4]byte
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if r >= 0xD800 && r <= 0xDFFF {
			continue
		}
		n := utf8.EncodeRune(b[:], r)
		for cut := 1; cut < n; cut++ {
			var check textCheck
			if !check.add(b[:cut]) || check.complete() || !check.add(b[cut:n]) || !check.complete() {
				t.Fatalf("%U cut at %d", r, cut)
			}
		}
	}
	for first := range 256 {
		for second := range 256 {
			p := []byte{byte(first), byte(second)}
			var check textCheck
			if got, want := check.add(p), canBegin(p); got != want {
				t.Fatalf("%x: %v, want %v", p, got, want)
			}
		}
	}
}

// canBegin reports whether some bytes make p valid UTF-8, by trying.
func canBegin(p []byte) bool {
	for _, tail := range []string{"", "\x80", "\x80\x80", "\x90\x80\x80", "\x80\x80\x80", "\xa0\x80"} {
		if utf8.Valid(append(p[:len(p):len(p)], tail...)) {
			return true
		}
	}
	return false
}
