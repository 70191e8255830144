package packet

import (
	"slices"
	"strconv"
	"strings"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/strictjson"
	"github.com/valyala/fastjson"
)

// Dialect is what the bodies say.
type Dialect uint8

// Dialects.
const (
	Bilibili Dialect = iota // roomid is a number, events have a cmd
	Goim                    // room_id is a text, events are the site's own
)

// String returns the name of d.
func (d Dialect) String() string { return [...]string{"bilibili", "goim"}[d] }

const (
	// AcceptsMax bounds the operations that one goim client may ask for.
	AcceptsMax = 64
	// keyMax bounds the key of a goim client that is no token, in bytes.
	keyMax = 128
	// roomMax is the largest number of a room that JavaScript can tell from others.
	roomMax = 1<<53 - 1
)

// Auth is what a client says of itself first. Its texts are copies.
type Auth struct {
	Dialect Dialect
	Room    string // name of the room, not yet judged
	Token   string // "" = none
	Zlib    bool   // Bilibili: compressed events are understood
	Key     string // goim: by what its connection is found, see docs; "" = nothing
	Accepts []int32
}

// ReadAuth reads the body of an auth packet. The error is ErrAuth.
func ReadAuth(parser *fastjson.Parser, body []byte) (a Auth, err error) {
	if strictjson.Check(body) != nil {
		return a, ErrAuth
	}
	v, err := parser.ParseBytes(body)
	if err != nil || v.Type() != fastjson.TypeObject {
		return a, ErrAuth
	}
	if number := v.Get("roomid"); number != nil && number.Type() == fastjson.TypeNumber {
		return readBilibili(v, number)
	}
	if text := v.Get("room_id"); text != nil && text.Type() == fastjson.TypeString {
		return readGoim(v, string(v.GetStringBytes("room_id")))
	}
	return a, ErrAuth
}

func readBilibili(v, number *fastjson.Value) (a Auth, err error) {
	id, err := number.Uint64()
	if err != nil || id == 0 || id > roomMax {
		return a, ErrAuth
	}
	a.Room = strconv.FormatUint(id, 10)
	a.Token = string(v.GetStringBytes("key"))
	a.Zlib = v.GetInt("protover") >= VersionZlib
	return a, nil
}

func readGoim(v *fastjson.Value, id string) (a Auth, err error) {
	a = Auth{Dialect: Goim, Room: RoomName(id), Key: string(v.GetStringBytes("key")), Token: string(v.GetStringBytes("token"))}
	if a.Token == "" && strings.Count(a.Key, ".") == 2 { // a token in its place
		a.Token, a.Key = a.Key, ""
	}
	if len(a.Key) > keyMax {
		return a, ErrAuth
	}
	for _, op := range v.GetArray("accepts") {
		n, err := op.Int()
		if err != nil || int(int32(n)) != n || len(a.Accepts) >= AcceptsMax {
			return a, ErrAuth
		}
		a.Accepts = append(a.Accepts, int32(n))
	}
	return a, nil
}

// RoomName returns the room that goim's "type://room" stands for: the room itself
// where the type is live, so that all dialects meet there, type:room for others. A
// name without a type is taken as it is.
func RoomName(id string) string {
	kind, name, typed := strings.Cut(id, "://")
	switch {
	case !typed:
		return id
	case kind == "live":
		return name
	}
	return kind + ":" + name
}

// ReadOps reads "1000,1001", the body of a subscription. Bad ones are left out, and
// what is beyond AcceptsMax.
func ReadOps(body []byte) (ops []int32) {
	for text := range strings.SplitSeq(string(body), ",") {
		n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 32)
		if err == nil && len(ops) < AcceptsMax && !slices.Contains(ops, int32(n)) {
			ops = append(ops, int32(n))
		}
	}
	return ops
}
