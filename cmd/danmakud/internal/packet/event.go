package packet

import (
	"hash/crc32"
	"hash/fnv"
	"strconv"
	"unicode/utf8"

	"github.com/danmakud/danmakud/room"
	"github.com/valyala/fastjson"
)

// Batch is what an Encoder makes packets of.
type Batch struct {
	Message  []byte // the batch's JSON message
	Comments []byte // its comments, JSON objects separated by commas
	Likes    uint64 // of the room, those of the batch included
	Watched  uint64 // different viewers that the room has had
}

// head is what a batch says besides its comments; -1 = nothing.
type head struct {
	room           string
	ts             int64
	online         int64
	likes, sampled int64
	settings       *fastjson.Value // nil = it does not tell them
}

func readHead(v *fastjson.Value) head {
	h := head{room: string(v.GetStringBytes("room")), ts: v.GetInt64("ts"), online: -1, likes: v.GetInt64("likes"), sampled: v.GetInt64("sampled"), settings: v.Get("settings")}
	if v.Exists("online") {
		h.online = v.GetInt64("online")
	}
	return h
}

// comment is one of a batch. Its texts are views, good until the parser is used again.
type comment struct {
	id, uid, name, role, text string
	kind, mode, size          string
	gift, data                string
	ts, color, num, price     int64
	duration, count, op       int64
}

func readComment(v *fastjson.Value) comment {
	text := func(name string) string { return string(v.GetStringBytes(name)) }
	c := comment{
		id: text("id"), uid: text("uid"), name: text("name"), role: text("role"), text: text("text"),
		kind: text("kind"), mode: text("mode"), size: text("size"), gift: text("gift"), data: text("data"),
		ts: v.GetInt64("ts"), color: 0xFFFFFF, num: v.GetInt64("num"), price: v.GetInt64("price"),
		duration: v.GetInt64("duration_s"), count: v.GetInt64("count"), op: v.GetInt64("op"),
	}
	if v.Exists("color") {
		c.color = v.GetInt64("color")
	}
	return c
}

// shown is the name to be shown.
func (c *comment) shown() string {
	if c.name != "" {
		return c.name
	}
	return c.uid
}

// number is a user's id as the number that clients want: the user's own where it is
// one, else one made of it, beyond all that are given to users anywhere.
func number(uid string) uint64 {
	if n, err := strconv.ParseUint(uid, 10, 64); err == nil && n <= roomMax && strconv.FormatUint(n, 10) == uid {
		return n
	}
	h := fnv.New64a()
	h.Write([]byte(uid))
	return 1<<52 | h.Sum64()>>12
}

// small is a number of 31 bits made of a text, for ids of which clients only want to
// know whether they are equal.
func small(text string) uint64 { return uint64(crc32.ChecksumIEEE([]byte(text)) & 0x7FFFFFFF) }

// idNumber is what of a comment's id is good for numbers in JavaScript, 53 bits: all of
// it, or without the upper bits of its node's number.
func idNumber(id string) uint64 {
	n, _ := room.ParseID(id) // it is one
	if node := room.IDNode(n); node != 0 {
		n = n>>16<<5 | uint64(node&31)
	}
	return n
}

// appendString appends s as a JSON string.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		case c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r) // U+FFFD for what is no character
			i += n
			continue
		}
		i++
	}
	return append(dst, '"')
}

// eachObject calls f with each of the JSON objects that commas separate. They are
// known to be whole.
func eachObject(list []byte, f func(object []byte)) {
	depth, start, quoted := 0, 0, false
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			if depth == 0 {
				start = i
			}
			depth++
		case c == '}':
			if depth--; depth == 0 {
				f(list[start : i+1])
			}
		}
	}
}
