package server

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/moderation"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/protobuf"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/strictjson"
	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/room"
	"github.com/danmakud/danmakud/wsproto"
	"github.com/valyala/fastjson"
)

const (
	refBytesMax  = 64  // a client's own tag that we echo
	likeCountMax = 100 // likes in one message
)

// command runs one message. msg is valid UTF-8 and lives until it returns.
func (h *handler) command(s poller.Slot, msg []byte) {
	v, err := (*fastjson.Value)(nil), strictjson.Check(msg)
	if err == nil {
		v, err = h.json.ParseBytes(msg)
	}
	if err != nil || v.Type() != fastjson.TypeObject {
		h.refuseCommand(s, "", refusedBadJSON, "a message is one JSON object", 0)
		return
	}
	f := fields{object: v}
	kind, ref := f.bytes("type"), f.text("ref")
	h.run(s, kind, &f, ref)
}

// protoCommand runs one message of a viewer who speaks protobuf. msg lives until it
// returns.
func (h *handler) protoCommand(s poller.Slot, msg []byte) {
	c, err := protobuf.ReadCommand(msg)
	if errors.Is(err, protobuf.ErrMalformed) {
		h.refuseCommand(s, "", refusedBadProto, "a message is one FromViewer in protobuf", 0)
		return
	}
	if len(c.Ref) <= refBytesMax && !utf8.Valid(c.Ref) {
		h.refuseCommand(s, "", refusedBadField, "ref is no UTF-8", 0)
		return
	}
	ref := string(c.Ref[:min(len(c.Ref), refBytesMax+1)])
	if errors.Is(err, protobuf.ErrField) && len(ref) <= refBytesMax {
		h.refuseCommand(s, ref, refusedBadField, "a field of the message has the wrong type", 0)
		return
	}
	f := fields{command: c}
	h.run(s, []byte(c.Kind), &f, ref) // which copies to the stack; "" if it is none or two
}

// run runs a command. Nothing of it but ref lives longer.
func (h *handler) run(s poller.Slot, kind []byte, f *fields, ref string) {
	if len(ref) > refBytesMax {
		h.refuseCommand(s, "", refusedBadField, "ref has at most 64 bytes", 0)
		return
	}
	switch string(kind) { // which copies nothing
	case "comment":
		h.comment(s, f, ref)
	case "like":
		h.like(s, f, ref)
	case "switch":
		h.switchRoom(s, f, ref)
	case "token":
		h.renew(s, f, ref)
	case "ping":
		if h.spend(s, ref) {
			h.replyPong(s, ref)
		}
	default:
		if read, is := orders[string(kind)]; is {
			rest := *f // which escapes, and f must not
			h.order(s, string(kind), read, &rest, ref)
			return
		}
		h.refuseCommand(s, ref, refusedBadType, "type is comment, like, switch, token, ping or a moderation command", 0)
	}
}

// fields reads the members of a message. A member of the wrong type reads as its
// default and is remembered in wrong, so that callers check once.
type fields struct {
	object  *fastjson.Value  // JSON; nil =
	command protobuf.Command // protobuf
	wrong   string           // name of the first member of the wrong type
}

// text returns a string member, "" if it is left out or null.
func (f *fields) text(name string) string { return string(f.bytes(name)) }

// bytes is text without a copy: valid until the next message is parsed.
func (f *fields) bytes(name string) []byte {
	if f.object == nil {
		p, ok := f.command.Bytes(name)
		if !ok {
			f.fail(name)
		}
		return p
	}
	v := f.object.Get(name)
	if v == nil || v.Type() == fastjson.TypeNull {
		return nil
	}
	p, err := v.StringBytes()
	if err != nil {
		f.fail(name)
	}
	return p
}

// integer returns a whole number, otherwise if it is left out or null.
func (f *fields) integer(name string, otherwise int64) int64 {
	if f.object == nil {
		n, ok := f.command.Number(name, otherwise)
		if !ok {
			f.fail(name)
		}
		return n
	}
	v := f.object.Get(name)
	if v == nil || v.Type() == fastjson.TypeNull {
		return otherwise
	}
	n, err := v.Int64()
	if err != nil {
		f.fail(name)
		return otherwise
	}
	return n
}

// boolean returns a member that is true or false, false if it is left out or null.
func (f *fields) boolean(name string) bool {
	if f.object == nil {
		is, ok := f.command.Flag(name)
		if !ok {
			f.fail(name)
		}
		return is
	}
	v := f.object.Get(name)
	if v == nil || v.Type() == fastjson.TypeNull {
		return false
	}
	b, err := v.Bool()
	if err != nil {
		f.fail(name)
	}
	return b
}

// has reports whether a member is there and not null.
func (f *fields) has(name string) bool {
	if f.object == nil {
		return f.command.Has(name)
	}
	v := f.object.Get(name)
	return v != nil && v.Type() != fastjson.TypeNull
}

func (f *fields) fail(name string) {
	if f.wrong == "" {
		f.wrong = name
	}
}

// readComment reads and checks what a viewer wants to say. why is "" if it may.
func (h *handler) readComment(f *fields) (c room.Comment, code refusal, why string) {
	text, color := strings.TrimSpace(f.text("text")), f.integer("color", room.ColorDefault)
	mode, okMode := room.ParseMode(f.text("mode"))
	size, okSize := room.ParseSize(f.text("size"))
	switch {
	case f.wrong != "":
		return c, refusedBadField, f.wrong + " has the wrong type"
	case color < 0 || color > 0xFFFFFF:
		return c, refusedBadField, "color is a number from 0 to 16777215"
	case !okMode:
		return c, refusedBadField, "mode is scroll, top, bottom or reverse"
	case !okSize:
		return c, refusedBadField, "size is small, medium or large"
	}
	code, why = h.checkText(text)
	return room.Comment{Text: text, Color: uint32(color), Mode: mode, Size: size}, code, why
}

// comment publishes a comment to the room the viewer is in.
func (h *handler) comment(s poller.Slot, f *fields, ref string) {
	c, code, why := h.readComment(f)
	if why != "" {
		h.refuseCommand(s, ref, code, why, 0)
		return
	}
	if !h.maySpeak(s, ref) || !h.spend(s, ref) {
		return
	}
	h.sign(s, &c)
	r := h.shard.RoomOf(uint32(s))
	switch v := h.judge(s, r, &c); v.Action {
	case moderation.Pass:
		c.Text = v.Text
		h.say(s, r, &c, ref)
	case moderation.Reject:
		h.refuseCommand(s, ref, refusalOf(v.Code), v.Message, v.RetryMs)
	case moderation.Shadow:
		c.Text = v.Text
		h.shadow(s, r.Name(), &c, ref)
	case moderation.Hold:
		c.Text = v.Text
		h.hold(s, r, &c, ref, v.List)
	case moderation.Review:
		c.Text = v.Text
		h.review(s, r, &c, ref)
	}
}

// checkText returns what is wrong with a trimmed comment, or "".
func (h *handler) checkText(text string) (refusal, string) {
	if text == "" {
		return refusedEmpty, "say something"
	}
	if len(text) > h.config.MaxText && utf8.RuneCountInString(text) > h.config.MaxText {
		return refusedTooLong, h.rules.tooLong
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		return refusedBadField, "text must not contain control characters"
	}
	return 0, ""
}

// like adds to the likes that the next batch tells.
func (h *handler) like(s poller.Slot, f *fields, ref string) {
	count := f.integer("count", 1)
	if f.wrong != "" || count < 1 || count > likeCountMax {
		h.refuseCommand(s, ref, refusedBadField, "count is a number from 1 to 100", 0)
		return
	}
	if !h.maySpeak(s, ref) || !h.spend(s, ref) {
		return
	}
	r := h.shard.RoomOf(uint32(s))
	sealNow, err := r.Like(uint64(count), h.loop.Now())
	if err != nil {
		panic("server: room with a member was removed")
	}
	h.likes += uint64(count)
	if sealNow {
		h.sealNow = append(h.sealNow, r)
	}
}

// switchRoom leaves the present room for another one and welcomes to it.
func (h *handler) switchRoom(s poller.Slot, f *fields, ref string) {
	name := f.text("room")
	if !room.ValidName(name) {
		h.refuseCommand(s, ref, refusedBadField, "a room name is 1 to 64 of A-Z a-z 0-9 _ . : -", 0)
		return
	}
	if !h.maySwitch(s, name) {
		h.refuseCommand(s, ref, refusedForbidden, "you are not let into this room; connect to it anew", 0)
		return
	}
	if !h.spend(s, ref) {
		return
	}
	if text, is := h.banned(s, h.publicID(s), h.person(s).role, name); is {
		h.refuseCommand(s, ref, refusedBanned, text, 0)
		return
	}
	h.server.prepareRoom(name)
	now := h.loop.Now()
	before, encoding := h.shard.RoomOf(uint32(s)).Name(), h.shard.EncodingOf(uint32(s))
	h.shard.Leave(uint32(s), now)
	req := room.JoinRequest{Name: name, Encoding: encoding, History: h.config.History}
	req.Who, req.Fleeting = h.viewerHash(s)
	entry, err := h.shard.Join(uint32(s), req, now)
	if err != nil { // no place there: back to the old one, which still has its own
		h.countNoPlace(err)
		message := "no place for another room"
		if errors.Is(err, room.ErrRoomFull) {
			message = "the room is full"
		}
		req.Name, req.History = before, 0
		if entry, err = h.shard.Join(uint32(s), req, now); err != nil {
			h.finish(s, wsproto.CodeTryLater, message, reasonRoomFull)
			return
		}
		h.refuseCommand(s, ref, refusedOverloaded, message, 0)
	}
	h.welcome(s, &entry)
}

// spend takes a token for something that costs others, or refuses it.
func (h *handler) spend(s poller.Slot, ref string) bool {
	wait, ok := h.rules.buckets.spendComment(h.session(s), h.nowMs())
	if !ok {
		h.refuseCommand(s, ref, refusedRateLimited, h.rules.rateLimited, wait)
	}
	return ok
}
