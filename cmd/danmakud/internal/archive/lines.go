package archive

import (
	"bytes"
	"strconv"

	"github.com/danmakud/danmakud/room"
)

// appendLines appends JSON objects that are separated by commas as lines. Texts
// have no newline, since JSON escapes it.
func appendLines(dst, text []byte) []byte {
	depth, from := 0, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i = stringEnd(text, i)
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ',':
			if depth == 0 {
				dst = append(append(dst, text[from:i]...), '\n')
				from = i + 1
			}
		}
	}
	return append(append(dst, text[from:]...), '\n')
}

// stringEnd is the place of the quote that ends the string which begins at i.
func stringEnd(text []byte, i int) int {
	for i++; i < len(text) && text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i
}

// A key with its quotes cannot stand inside of a JSON string, where quotes are
// escaped: so the first one found is the comment's own.
var (
	keyTime     = []byte(`"ts":`)
	markRetract = []byte(`"kind":"retract"`)
	markID      = []byte(`{"id":"`)
)

// lineTime is the time of the comment that p begins with, Unix milliseconds.
func lineTime(p []byte) (ms int64, ok bool) {
	at := bytes.Index(p, keyTime)
	if at < 0 {
		return 0, false
	}
	digits := p[at+len(keyTime):]
	n := 0
	for n < len(digits) && '0' <= digits[n] && digits[n] <= '9' {
		n++
	}
	ms, err := strconv.ParseInt(string(digits[:n]), 10, 64)
	return ms, err == nil
}

// lineID is the id of the comment in a line. everything is said of a retract of all
// that was shown.
func lineID(line []byte) (id uint64, everything, ok bool) {
	rest, found := bytes.CutPrefix(line, markID)
	if !found {
		return 0, false, false
	}
	text, _, found := bytes.Cut(rest, []byte{'"'})
	if !found {
		return 0, false, false
	}
	if string(text) == "*" {
		return 0, true, true
	}
	id, ok = room.ParseID(string(text))
	return id, false, ok
}
