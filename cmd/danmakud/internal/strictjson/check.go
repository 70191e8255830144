// Package strictjson judges JSON from outside before it is parsed: fastjson's parser
// lets bad escapes and numbers pass, and its validator needs time by the square of
// how deep a text is nested when it fails, seconds for 4 KiB of brackets, and sees
// no control character in a string that has an escape behind it.
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

// ErrControl is a text with a control character in a string, which must be escaped
// (RFC 8259 section 7).
var ErrControl = errors.New("strictjson: a control character in a string")

// Check reports what is wrong with text as one JSON value (RFC 8259), nil = nothing.
// It takes time by the length of text, whatever is in it, and allocates nothing while
// all is well. Any goroutine; text is only read.
func Check(text []byte) error {
	// Most texts have fewer brackets than that in all, and no escapes.
	if bytes.Count(text, []byte{'['})+bytes.Count(text, []byte{'{'}) > DepthMax || bytes.IndexByte(text, '\\') >= 0 {
		if err := look(text); err != nil {
			return err
		}
	}
	return fastjson.ValidateBytes(text)
}

// look finds what the validator takes too long for or does not see. Of a text that is
// no JSON it is right up to where that shows.
func look(text []byte) error {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c < ' ':
			return ErrControl
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			if depth++; depth > DepthMax {
				return ErrDeep
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return nil
}
