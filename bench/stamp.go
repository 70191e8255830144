package main

import (
	"encoding/base64"
	"encoding/binary"
	"unicode/utf8"
)

// Every comment that bench sends begins with a stamp, so that any viewer can
// tell who said it, whether something is missing, whether a byte was changed
// and how long it took:
//
//	bytes  0..2   sender, number in its fleet
//	bytes  3..6   sequence of that sender, from 1
//	bytes  7..12  intended send time, microseconds of CLOCK_MONOTONIC
//	bytes 13..17  check over the above, the rest of the text and the room
//
// written as 24 characters of base64url, which no JSON encoder escapes.
type stamp struct {
	sender   uint32 // below 1<<24
	sequence uint32 // from 1, no gaps
	intended int64  // microseconds, below 1<<48
}

const (
	stampBytes = 18
	stampSize  = 24 // characters in front of each comment's text
	checkMask  = 1<<40 - 1
)

// check folds an FNV-1a sum to 40 bits. The room's salt is part of it, so a
// comment that strays into another room or another run does not verify.
func check(head, rest []byte, salt uint64) uint64 {
	const prime = 1099511628211
	h := salt ^ 14695981039346656037
	for _, c := range head {
		h = (h ^ uint64(c)) * prime
	}
	for _, c := range rest {
		h = (h ^ uint64(c)) * prime
	}
	return (h ^ h>>40) & checkMask
}

// saltOf turns a room name, which holds the run's own random part, into the
// salt of its stamps.
func saltOf(room string) uint64 {
	return check(nil, []byte(room), 0x9e3779b97f4a7c15)
}

// appendStamped appends the text of a comment: the stamp, then rest as it is.
func appendStamped(dst []byte, s stamp, rest string, salt uint64) []byte {
	var raw [stampBytes]byte
	raw[0], raw[1], raw[2] = byte(s.sender>>16), byte(s.sender>>8), byte(s.sender)
	binary.BigEndian.PutUint32(raw[3:], s.sequence)
	put48(raw[7:], uint64(s.intended))
	put40(raw[13:], check(raw[:13], []byte(rest), salt))
	dst = base64.RawURLEncoding.AppendEncode(dst, raw[:])
	return append(dst, rest...)
}

// readStamp checks a received text. False means that its bytes are not those
// of a comment sent to this room in this run.
func readStamp(text []byte, salt uint64) (stamp, bool) {
	var raw [stampBytes]byte
	if len(text) < stampSize {
		return stamp{}, false
	}
	if n, err := base64.RawURLEncoding.Decode(raw[:], text[:stampSize]); err != nil || n != stampBytes {
		return stamp{}, false
	}
	if get40(raw[13:]) != check(raw[:13], text[stampSize:], salt) {
		return stamp{}, false
	}
	return stamp{
		sender:   uint32(raw[0])<<16 | uint32(raw[1])<<8 | uint32(raw[2]),
		sequence: binary.BigEndian.Uint32(raw[3:]),
		intended: int64(get48(raw[7:])),
	}, true
}

func put40(p []byte, v uint64) {
	p[0] = byte(v >> 32)
	binary.BigEndian.PutUint32(p[1:], uint32(v))
}

func get40(p []byte) uint64 {
	return uint64(p[0])<<32 | uint64(binary.BigEndian.Uint32(p[1:]))
}

func put48(p []byte, v uint64) {
	binary.BigEndian.PutUint16(p, uint16(v>>32))
	binary.BigEndian.PutUint32(p[2:], uint32(v))
}

func get48(p []byte) uint64 {
	return uint64(binary.BigEndian.Uint16(p))<<32 | uint64(binary.BigEndian.Uint32(p[2:]))
}

const (
	commentHead = `{"type":"comment","text":"`
	commentTail = `"}`
	maxText     = 200 // code points the server takes by default
)

// appendComment appends the whole JSON of one comment.
func appendComment(dst []byte, s stamp, rest string, salt uint64) []byte {
	dst = append(dst, commentHead...)
	at := len(dst)
	dst = appendStamped(dst, s, rest, salt)
	dst = escapeFrom(dst, at)
	return append(dst, commentTail...)
}

// appendBareComment appends the whole JSON of a comment without a stamp.
func appendBareComment(dst []byte, text string) []byte {
	dst = append(dst, commentHead...)
	at := len(dst)
	dst = escapeFrom(append(dst, text...), at)
	return append(dst, commentTail...)
}

// escapeFrom puts a backslash before the quotes and backslashes of dst[at:].
// The corpus has no control characters, and the stamp needs no escape.
func escapeFrom(dst []byte, at int) []byte {
	for i := at; i < len(dst); i++ {
		if dst[i] == '"' || dst[i] == '\\' {
			dst = append(dst, 0)
			copy(dst[i+1:], dst[i:])
			dst[i] = '\\'
			i++
		}
	}
	return dst
}

// padding makes the rest of a text such that the whole JSON of the comment has
// the wanted size. Long texts are padded with characters of three bytes, since
// the server counts code points. The size is met as nearly as the limits allow.
func padding(size int) string {
	free := size - len(commentHead) - len(commentTail) - stampSize
	if free <= 0 {
		return ""
	}
	const wide = "弹"
	var p []byte
	points := maxText - stampSize
	for free > 0 && points > 0 {
		// As many wide characters as are needed to stay within the points.
		if free > points && free >= len(wide) {
			p, free = append(p, wide...), free-len(wide)
		} else {
			p, free = append(p, "0123456789abcdef"[free%16]), free-1
		}
		points--
	}
	return string(p)
}

// clip shortens a text of the corpus to what fits behind a stamp.
func clip(text string) string {
	points := maxText - stampSize
	if len(text) <= points || utf8.RuneCountInString(text) <= points {
		return text
	}
	for i := range text {
		if points == 0 {
			return text[:i]
		}
		points--
	}
	return text
}
