// Package strictjson judges JSON from outside before it is parsed: fastjson's parser
// lets bad escapes and numbers pass, and its validator needs time by the square of
// how deep a text is nested when it fails: seconds for 4 KiB of brackets.
package strictjson

import (
	"bytes"
	"errors"

	"github.com/valyala/fastjson"
)

// DepthMax is how deep arrays and objects may be nested: far beyond what any message
// has, and below what the parser takes.
const DepthMax = 64

// ErrDeep is a text nested deeper than DepthMax.
var ErrDeep = errors.New("strictjson: nested too deep")

// Check reports what is wrong with text as one JSON value (RFC 8259), nil = nothing.
// It takes time by the length of text, whatever is in it, and allocates nothing while
// all is well. Any goroutine; text is only read.
func Check(text []byte) error {
	// Most texts have fewer brackets than that in all.
	if bytes.Count(text, []byte{'['})+bytes.Count(text, []byte{'{'}) > DepthMax && deep(text) {
		return ErrDeep
	}
	return fastjson.ValidateBytes(text)
}

// deep reports whether text opens more than DepthMax arrays and objects at one time.
// Of a text that is no JSON it is right up to where that shows.
func deep(text []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			if depth++; depth > DepthMax {
				return true
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return false
}
