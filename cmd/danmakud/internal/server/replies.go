package server

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/room"
	"github.com/danmakud/danmakud/wsproto"
)

// refusal is an error code of protocol section 3.
type refusal uint8

const (
	refusedBadJSON refusal = iota
	refusedBadProto
	refusedBadType
	refusedBadField
	refusedTooLong
	refusedEmpty
	refusedRateLimited
	refusedOverloaded
	refusedUnauthorized
	refusedForbidden
	refusedSlowMode
	refusedMuted
	refusedBanned
	refusedBlockedWord
	refusedDuplicate
	refusedRoomClosed
	refusals // how many there are
)

var refusalCodes = [refusals]string{
	"bad_json", "bad_proto", "bad_type", "bad_field", "too_long", "empty", "rate_limited", "overloaded",
	"unauthorized", "forbidden",
	"slow_mode", "muted", "banned", "blocked_word", "duplicate", "room_closed",
}

// refusalOf is the refusal with an error code that moderation gave.
func refusalOf(code string) refusal {
	i := slices.Index(refusalCodes[:], code)
	if i < 0 {
		panic("server: no error code of the protocol: " + code)
	}
	return refusal(i)
}

// refuseCommand answers a message with an error. The connection stays open
// unless the viewer is at fault too often: then it is abuse, and the connection
// is closing when this returns.
func (h *handler) refuseCommand(s poller.Slot, ref string, code refusal, message string, retryMs int64) {
	h.refused[code]++
	h.replyError(s, ref, code, message, retryMs)
	if code == refusedOverloaded {
		return // our fault, not the viewer's
	}
	c := h.session(s)
	if c.strikes++; c.strikes >= strikesMax {
		h.finish(s, wsproto.CodePolicy, "too many refused messages", reasonAbuse)
	}
}

// The reply functions append one message to h.out.

func (h *handler) replyError(s poller.Slot, ref string, code refusal, message string, retryMs int64) {
	var scratch [512]byte
	p := append(scratch[:0], `{"type":"error",`...)
	p = appendRef(p, ref)
	p = append(p, `"code":"`...)
	p = append(p, refusalCodes[code]...)
	p = append(p, `","message":`...)
	p = appendJSON(p, message)
	if retryMs > 0 {
		p = append(p, `,"retry_after_ms":`...)
		p = strconv.AppendInt(p, retryMs, 10)
	}
	h.replyNotice(s, append(p, '}'))
}

// replyAck says that a message with a ref was accepted. id is that of the comment,
// 0 where there is none, or none yet.
func (h *handler) replyAck(s poller.Slot, ref string, id uint64) {
	var scratch [256]byte
	p := append(scratch[:0], `{"type":"ack","ref":`...)
	p = appendJSON(p, ref)
	if id != 0 {
		p = append(p, `,"id":"`...)
		p = append(room.AppendID(p, id), '"')
	}
	h.replyNotice(s, append(p, '}'))
}

func (h *handler) replyPong(s poller.Slot, ref string) {
	var scratch [256]byte
	p := append(scratch[:0], `{"type":"pong"`...)
	if ref != "" {
		p = append(p, `,"ref":`...)
		p = appendJSON(p, ref)
	}
	h.replyNotice(s, append(p, '}'))
}

func (h *handler) replyGoodbye(s poller.Slot, reason string, retryMs int64, host string) {
	var scratch [128]byte
	p := append(scratch[:0], `{"type":"goodbye","reason":"`...)
	p = append(p, reason...)
	p = append(p, `","retry_after_ms":`...)
	p = strconv.AppendInt(p, retryMs, 10)
	if host != "" { // an address needs no escaping
		p = append(append(append(p, `,"host":"`...), host...), '"')
	}
	h.replyNotice(s, append(p, '}'))
}

// replyNotice appends a JSON message, in the words of the viewer's subprotocol.
func (h *handler) replyNotice(s poller.Slot, p []byte) {
	h.out = h.server.hub.AppendNotice(h.out, h.shard.EncodingOf(uint32(s)), p)
}

func appendRef(p []byte, ref string) []byte {
	if ref == "" {
		return p
	}
	p = append(p, `"ref":`...)
	return append(appendJSON(p, ref), ',')
}

// appendJSON appends s as a JSON string. Replies are rare next to deliveries, so
// the standard library serves.
func appendJSON(p []byte, s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings always marshal
	}
	return append(p, quoted...)
}
