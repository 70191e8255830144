package wsproto

import "unicode/utf8"

// textCheck judges UTF-8 that arrives in pieces, RFC 6455 section 8.1 and
// RFC 3629. It fails at the first byte that no continuation can save, so
// overlong forms, surrogates and anything above U+10FFFF are caught at their
// second byte even when the piece ends there. The zero value is ready.
type textCheck struct {
	missing byte // continuation bytes still to come of the character under way
	lo, hi  byte // what the next of them may be
}

// add takes the next piece and reports whether all so far is good.
func (c *textCheck) add(p []byte) bool {
	p, ok := c.finish(p)
	if !ok {
		return false
	}
	// Whole characters go through the library's fast path, only a character
	// cut by the end of the piece is walked byte by byte.
	cut := cutCharacter(p)
	if !utf8.Valid(p[:cut]) {
		return false
	}
	if cut < len(p) {
		c.missing, c.lo, c.hi = following(p[cut])
		_, ok = c.finish(p[cut+1:])
	}
	return ok
}

// complete reports whether no character is under way.
func (c *textCheck) complete() bool { return c.missing == 0 }

// finish takes the bytes of the character under way and returns the others.
func (c *textCheck) finish(p []byte) ([]byte, bool) {
	for c.missing > 0 && len(p) > 0 {
		if p[0] < c.lo || p[0] > c.hi {
			return p, false
		}
		c.lo, c.hi = 0x80, 0xBF
		c.missing--
		p = p[1:]
	}
	return p, true
}

// cutCharacter returns where the character begins that the end of p cuts, or
// len(p).
func cutCharacter(p []byte) int {
	for i := len(p) - 1; i >= 0 && i > len(p)-utf8.UTFMax; i-- {
		if !utf8.RuneStart(p[i]) {
			continue
		}
		if missing, _, _ := following(p[i]); int(missing) > len(p)-1-i {
			return i
		}
		break
	}
	return len(p)
}

// following says how many bytes follow a leading byte and what the first of
// them may be: the table of RFC 3629 section 4. A byte that begins nothing
// longer, or nothing at all, has none.
func following(lead byte) (missing, lo, hi byte) {
	switch {
	case lead < 0xC2 || lead > 0xF4:
		return 0, 0, 0
	case lead < 0xE0:
		return 1, 0x80, 0xBF
	case lead == 0xE0: // below A0: overlong
		return 2, 0xA0, 0xBF
	case lead == 0xED: // above 9F: surrogates
		return 2, 0x80, 0x9F
	case lead < 0xF0:
		return 2, 0x80, 0xBF
	case lead == 0xF0: // below 90: overlong
		return 3, 0x90, 0xBF
	case lead == 0xF4: // above 8F: beyond U+10FFFF
		return 3, 0x80, 0x8F
	}
	return 3, 0x80, 0xBF
}
