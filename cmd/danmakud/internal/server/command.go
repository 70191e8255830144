package server

import (
	"encoding/json"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/room"
)

// command is any message of a viewer (protocol section 2). Pointers tell what
// was left out from what is zero.
type command struct {
	Type  string `json:"type"`
	Ref   string `json:"ref"`
	Text  string `json:"text"`
	Color *int64 `json:"color"`
	Mode  string `json:"mode"`
	Size  string `json:"size"`
	Count *int64 `json:"count"`
	Room  string `json:"room"`
}

const (
	refBytesMax  = 64  // a client's own tag that we echo
	likeCountMax = 100 // likes in one message
)

// command runs one message. msg is valid UTF-8 and lives until it returns.
func (h *handler) command(s poller.Slot, msg []byte) {
	var c command
	if err := json.Unmarshal(msg, &c); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) && wrong.Field != "" {
			h.refuseCommand(s, c.Ref, refusedBadField, wrong.Field+" has the wrong type", 0)
		} else {
			h.refuseCommand(s, "", refusedBadJSON, "a message is one JSON object", 0)
		}
		return
	}
	if len(c.Ref) > refBytesMax {
		h.refuseCommand(s, "", refusedBadField, "ref has at most 64 bytes", 0)
		return
	}
	switch c.Type {
	case "comment":
		h.comment(s, &c)
	case "like":
		h.like(s, &c)
	case "switch":
		h.switchRoom(s, &c)
	case "ping":
		h.replyPong(c.Ref)
	default:
		h.refuseCommand(s, c.Ref, refusedBadType, "type is comment, like, switch or ping", 0)
	}
}

// comment publishes a comment to the room the viewer is in.
func (h *handler) comment(s poller.Slot, c *command) {
	rc := room.Comment{Text: strings.TrimSpace(c.Text), Color: room.ColorDefault}
	if code, why := h.server.checkText(rc.Text); why != "" {
		h.refuseCommand(s, c.Ref, code, why, 0)
		return
	}
	if c.Color != nil {
		if *c.Color < 0 || *c.Color > 0xFFFFFF {
			h.refuseCommand(s, c.Ref, refusedBadField, "color is a number from 0 to 16777215", 0)
			return
		}
		rc.Color = uint32(*c.Color)
	}
	var okMode, okSize bool
	rc.Mode, okMode = room.ParseMode(c.Mode)
	rc.Size, okSize = room.ParseSize(c.Size)
	switch {
	case !okMode:
		h.refuseCommand(s, c.Ref, refusedBadField, "mode is scroll, top, bottom or reverse", 0)
		return
	case !okSize:
		h.refuseCommand(s, c.Ref, refusedBadField, "size is small, medium or large", 0)
		return
	case !h.spend(s, c.Ref):
		return
	}
	rc.UID = h.session(s).uid
	r := h.shard.RoomOf(uint32(s))
	id, sealNow, err := r.Publish(&rc, h.loop.Now(), h.loop.Wall())
	if err != nil { // only room.ErrFull: a room with a member is never removed
		h.refuseCommand(s, c.Ref, refusedOverloaded, "too many comments at this moment", r.Tick().Milliseconds())
		return
	}
	h.comments++
	if sealNow {
		h.sealNow = append(h.sealNow, r)
	}
	if c.Ref != "" {
		h.replyAck(c.Ref, id)
	}
}

// checkText returns what is wrong with a trimmed comment, or "".
func (s *Server) checkText(text string) (refusal, string) {
	if text == "" {
		return refusedEmpty, "say something"
	}
	if len(text) > s.config.MaxText && utf8.RuneCountInString(text) > s.config.MaxText {
		return refusedTooLong, s.tooLong
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		return refusedBadField, "text must not contain control characters"
	}
	return 0, ""
}

// like adds to the likes that the next batch tells.
func (h *handler) like(s poller.Slot, c *command) {
	count := int64(1)
	if c.Count != nil {
		count = *c.Count
	}
	if count < 1 || count > likeCountMax {
		h.refuseCommand(s, c.Ref, refusedBadField, "count is a number from 1 to 100", 0)
		return
	}
	if !h.spend(s, c.Ref) {
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
func (h *handler) switchRoom(s poller.Slot, c *command) {
	if !room.ValidName(c.Room) {
		h.refuseCommand(s, c.Ref, refusedBadField, "a room name is 1 to 64 of A-Z a-z 0-9 _ . : -", 0)
		return
	}
	if !h.spend(s, c.Ref) {
		return
	}
	now := h.loop.Now()
	before := h.shard.RoomOf(uint32(s)).Name()
	h.shard.Leave(uint32(s), now)
	entry, err := h.shard.Join(uint32(s), c.Room, room.EncodingJSON, h.server.config.History, now)
	if err != nil { // no place for a new room: back to the old one, which still has its own
		h.server.rejected.rooms.Add(1)
		h.refuseCommand(s, c.Ref, refusedOverloaded, "no place for another room", 0)
		if entry, err = h.shard.Join(uint32(s), before, room.EncodingJSON, 0, now); err != nil {
			h.lastWords(s, reasonRoomsFull)
			return
		}
	}
	h.welcome(&entry, h.session(s).uid)
}

// spend takes a token for something that costs others, or refuses it.
func (h *handler) spend(s poller.Slot, ref string) bool {
	cfg := &h.server.config
	wait, ok := h.session(s).spend(cfg.CommentRate, cfg.CommentBurst, h.nowMs())
	if !ok {
		h.refuseCommand(s, ref, refusedRateLimited, h.server.rateLimited, wait)
	}
	return ok
}
