package room

import (
	"strconv"
)

// Mode is how a comment moves over the video.
type Mode uint8

// Modes, the default first (it is left out on the wire).
const (
	ModeScroll Mode = iota
	ModeTop
	ModeBottom
	ModeReverse
)

// Size is the font size of a comment.
type Size uint8

// Sizes, the default first (it is left out on the wire).
const (
	SizeMedium Size = iota
	SizeSmall
	SizeLarge
)

// Kind says what a comment is. Only chat may be refused for lack of space.
type Kind uint8

// Kinds, the default first (it is left out on the wire).
const (
	KindChat Kind = iota
	KindSystem
	KindGift
	KindSuperchat
	KindRetract
	KindAnnouncement
)

var (
	modeNames = [...]string{"scroll", "top", "bottom", "reverse"}
	sizeNames = [...]string{"medium", "small", "large"}
	kindNames = [...]string{"chat", "system", "gift", "superchat", "retract", "announcement"}
)

// ParseMode finds a mode by its name on the wire; "" is the default.
func ParseMode(s string) (Mode, bool) { i, ok := indexOf(modeNames[:], s); return Mode(i), ok }

// ParseSize finds a size by its name on the wire; "" is the default.
func ParseSize(s string) (Size, bool) { i, ok := indexOf(sizeNames[:], s); return Size(i), ok }

func indexOf(names []string, s string) (int, bool) {
	if s == "" {
		return 0, true
	}
	for i, n := range names {
		if n == s {
			return i, true
		}
	}
	return 0, false
}

// ColorDefault is white, which is left out on the wire.
const ColorDefault = 0xFFFFFF

// Comment is one bullet comment as it is published. Text must be valid UTF-8;
// Publish copies what it needs, so Text may point into a receive buffer.
type Comment struct {
	UID   uint64 // number of the sender on this node; shown as "u" and base 36
	Name  string // display name, "" for guests
	Text  string
	Color uint32 // 0xRRGGBB
	Mode  Mode
	Size  Size
	Kind  Kind
}

// appendComment encodes c as one JSON object.
func appendComment(dst []byte, c *Comment, id uint64, wall int64) []byte {
	dst = append(dst, `{"id":"`...)
	dst = AppendID(dst, id)
	dst = append(dst, `","uid":"`...)
	dst = AppendUID(dst, c.UID)
	dst = append(dst, '"')
	if c.Name != "" {
		dst = append(dst, `,"name":`...)
		dst = appendString(dst, c.Name)
	}
	dst = append(dst, `,"text":`...)
	dst = appendString(dst, c.Text)
	dst = append(dst, `,"ts":`...)
	dst = strconv.AppendInt(dst, wall, 10)
	if c.Color != ColorDefault {
		dst = append(dst, `,"color":`...)
		dst = strconv.AppendUint(dst, uint64(c.Color), 10)
	}
	if c.Mode != ModeScroll {
		dst = append(dst, `,"mode":"`...)
		dst = append(dst, modeNames[c.Mode]...)
		dst = append(dst, '"')
	}
	if c.Size != SizeMedium {
		dst = append(dst, `,"size":"`...)
		dst = append(dst, sizeNames[c.Size]...)
		dst = append(dst, '"')
	}
	if c.Kind != KindChat {
		dst = append(dst, `,"kind":"`...)
		dst = append(dst, kindNames[c.Kind]...)
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

// idAlphabet is in ASCII order, so ids of equal length sort as the numbers do.
const idAlphabet = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"

// AppendID appends a comment id as eight characters that sort by age (48 bits).
func AppendID(dst []byte, id uint64) []byte {
	for shift := 42; shift >= 0; shift -= 6 {
		dst = append(dst, idAlphabet[id>>shift&63])
	}
	return dst
}

// AppendUID appends the public name of a guest: "u" and its number in base 36.
func AppendUID(dst []byte, uid uint64) []byte {
	return strconv.AppendUint(append(dst, 'u'), uid, 36)
}

const hexDigits = "0123456789abcdef"

// appendString appends s, which is valid UTF-8, as a JSON string (RFC 8259
// section 7: quote, backslash and control characters must be escaped).
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}
