package main

import (
	"encoding/json"
	"testing"
	"unicode/utf8"
)

func TestStampRoundTrip(t *testing.T) {
	t.Parallel()
	salt := saltOf("room-1")
	for _, s := range []stamp{
		{0, 1, 0},
		{1<<24 - 1, 1<<32 - 1, 1<<48 - 1},
		{258, 77, 123456789012},
	} {
		for _, rest := range []string{"", "666", "弹幕 来了", `a"b\c`} {
			text := appendStamped(nil, s, rest, salt)
			got, ok := readStamp(text, salt)
			if !ok || got != s {
				t.Errorf("%+v with %q came back as %+v, %t", s, rest, got, ok)
			}
			if _, ok := readStamp(text, saltOf("room-2")); ok {
				t.Error("verified in another room")
			}
		}
	}
}

func TestStampFindsEveryChangedBit(t *testing.T) {
	t.Parallel()
	salt := saltOf("r")
	text := appendStamped(nil, stamp{3, 9, 1e12}, "前方高能", salt)
	for i := range text {
		for bit := range 8 {
			text[i] ^= 1 << bit
			if _, ok := readStamp(text, salt); ok {
				t.Errorf("bit %d of byte %d can change unnoticed", bit, i)
			}
			text[i] ^= 1 << bit
		}
	}
	for n := range text {
		if _, ok := readStamp(text[:n], salt); ok {
			t.Errorf("verified when cut to %d bytes", n)
		}
	}
}

func TestCommentIsJSON(t *testing.T) {
	t.Parallel()
	for _, rest := range []string{"", `"`, `\`, `say "hi" \o/`, "弹"} {
		p := appendComment(nil, stamp{1, 2, 3}, rest, 5)
		var m struct{ Type, Text string }
		if err := json.Unmarshal(p, &m); err != nil {
			t.Fatalf("%q: %v", p, err)
		}
		if _, ok := readStamp([]byte(m.Text), 5); !ok || m.Type != "comment" || m.Text[stampSize:] != rest {
			t.Errorf("%q does not come back from %s", rest, p)
		}
	}
}

func TestPaddingMeetsTheSize(t *testing.T) {
	t.Parallel()
	for _, size := range []int{52, 53, 64, 100, 200, 228, 229, 300, 400, 500, 578} {
		p := padding(size)
		whole := appendComment(nil, stamp{}, p, 0)
		if len(whole) < size-2 || len(whole) > size {
			t.Errorf("wanted %d bytes, made %d", size, len(whole))
		}
		if n := utf8.RuneCountInString(p) + stampSize; n > maxText {
			t.Errorf("size %d makes a text of %d code points", size, n)
		}
	}
}

func TestClipKeepsTheServersLimit(t *testing.T) {
	t.Parallel()
	long := ""
	for range 250 {
		long += "弹"
	}
	if n := utf8.RuneCountInString(clip(long)); n != maxText-stampSize {
		t.Errorf("clipped to %d code points", n)
	}
	if clip("short") != "short" {
		t.Error("a short text was changed")
	}
}
