package room

import (
	"encoding/base64"
	"strconv"
	"time"
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

// Kind says what a comment is. Only chat is left out for lack of space.
type Kind uint8

// Kinds, the default first (it is left out on the wire).
const (
	KindChat Kind = iota
	KindSystem
	KindGift
	KindSuperchat
	KindRetract
	KindAnnouncement
	KindData // of the site for its own clients: in no history
)

var (
	modeNames = [...]string{"scroll", "top", "bottom", "reverse"}
	sizeNames = [...]string{"medium", "small", "large"}
	kindNames = [...]string{"chat", "system", "gift", "superchat", "retract", "announcement", "data"}
)

// ParseMode finds a mode by its name on the wire; "" is the default.
func ParseMode(s string) (Mode, bool) { i, ok := indexOf(modeNames[:], s); return Mode(i), ok }

// ParseSize finds a size by its name on the wire; "" is the default.
func ParseSize(s string) (Size, bool) { i, ok := indexOf(sizeNames[:], s); return Size(i), ok }

// ParseKind finds a kind by its name on the wire; "" is the default.
func ParseKind(s string) (Kind, bool) { i, ok := indexOf(kindNames[:], s); return Kind(i), ok }

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

// Priority says what becomes of a chat comment when there are too many.
type Priority uint8

// Priorities, the default first.
const (
	PriorityNormal Priority = iota // chance decides whether it is sent
	PriorityHigh                   // it is never left out
	PriorityLow                    // it is left out before those of normal priority
)

// ColorDefault is white, which is left out on the wire.
const ColorDefault = 0xFFFFFF

// Comment is one bullet comment as it is published. Text must be valid UTF-8;
// Publish copies what it needs, so Text may point into a receive buffer.
type Comment struct {
	UID   uint64 // number of a guest on this node, see AppendUID; counts when User is ""
	User  string // who sent it where the site says so, else ""
	Name  string // display name, "" for guests
	Role  Role   // of the sender
	Text  string
	Color uint32 // 0xRRGGBB
	Mode  Mode
	Size  Size
	Kind  Kind

	// Priority is of chat alone: nothing else is ever left out.
	Priority Priority

	// Of a gift: what it is and how many. Price, in whatever unit the site counts
	// in, is of a gift or superchat; Duration is how long a superchat stays.
	Gift     string
	Num      int
	Price    int64
	Duration time.Duration

	// Op and Data are of KindData: what the site calls it, and its bytes where they are
	// no text; else they are in Text.
	Op   uint32
	Data string

	// Target is the id that a retract takes back; 0 = all that viewers show.
	Target uint64

	// Count is how many equal comments this one stands for, if more than one.
	Count int
}

// prior reports whether the comment is never left out for lack of space.
func (c *Comment) prior() bool { return isPrior(c.Kind, c.Role, c.Priority) }

// appendComment encodes c as one JSON object.
func appendComment(dst []byte, c *Comment, id uint64, wall int64) []byte {
	dst = append(dst, `{"id":"`...)
	dst = AppendID(dst, id)
	dst = append(dst, `","uid":`...)
	dst = appendPublicID(dst, c.User, c.UID)
	if c.Name != "" {
		dst = append(dst, `,"name":`...)
		dst = appendString(dst, c.Name)
	}
	if c.Role > RoleViewer {
		dst = append(dst, `,"role":"`...)
		dst = append(dst, c.Role.String()...)
		dst = append(dst, '"')
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
		dst = appendWorth(dst, c)
	}
	if c.Count > 1 { // the last field: the governor may raise it
		dst = strconv.AppendInt(append(dst, countField...), int64(c.Count), 10)
	}
	return append(dst, '}')
}

// appendWorth appends what gifts, superchats and data have besides.
func appendWorth(dst []byte, c *Comment) []byte {
	if c.Kind == KindData {
		dst = strconv.AppendUint(append(dst, `,"op":`...), uint64(c.Op), 10)
	}
	if c.Data != "" {
		dst = append(dst, `,"data":"`...)
		dst = append(base64.StdEncoding.AppendEncode(dst, []byte(c.Data)), '"')
	}
	if c.Gift != "" {
		dst = append(dst, `,"gift":`...)
		dst = appendString(dst, c.Gift)
		dst = append(dst, `,"num":`...)
		dst = strconv.AppendInt(dst, int64(max(1, c.Num)), 10)
	}
	if c.Price > 0 {
		dst = append(dst, `,"price":`...)
		dst = strconv.AppendInt(dst, c.Price, 10)
	}
	if c.Duration > 0 {
		dst = append(dst, `,"duration_s":`...)
		dst = strconv.AppendInt(dst, int64(c.Duration/time.Second), 10)
	}
	return dst
}

// appendRetract encodes the retract of an earlier comment: its id is that comment's.
func appendRetract(dst []byte, target uint64, wall int64) []byte {
	dst = append(dst, `{"id":"`...)
	dst = AppendID(dst, target)
	dst = append(dst, `","ts":`...)
	dst = strconv.AppendInt(dst, wall, 10)
	return append(dst, `,"kind":"retract"}`...)
}

// appendClear encodes the retract of all that viewers show.
func appendClear(dst []byte, wall int64) []byte {
	dst = strconv.AppendInt(append(dst, `{"id":"*","ts":`...), wall, 10)
	return append(dst, `,"kind":"retract"}`...)
}

// GuestMark begins the public name of a guest. Names that a site gives must not
// begin with it, or a guest could be taken for one of its users.
const GuestMark = '~'

// AppendUID appends the public name of a guest: the mark and its number in base 36.
func AppendUID(dst []byte, uid uint64) []byte {
	return strconv.AppendUint(append(dst, GuestMark), uid, 36)
}

// appendPublicID appends what others know somebody by as a JSON string: the user,
// or without one the guest of that number.
func appendPublicID(dst []byte, user string, uid uint64) []byte {
	if user != "" {
		return appendString(dst, user)
	}
	dst = append(dst, '"')
	return append(AppendUID(dst, uid), '"')
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
