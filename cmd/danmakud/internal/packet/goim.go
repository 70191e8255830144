package packet

import (
	"bytes"
	"encoding/base64"
	"strconv"
)

// Operations of the goim dialect whose bodies are ours: JSON.
const (
	OpComment = OpBusiness // a comment as native viewers get it
	OpCounts  = 9999       // online, likes and sampled, as far as a batch says them
)

// kindData marks what a site pushes for its own clients: see AppendData.
var kindData = []byte(`"kind":"data"`)

// appendGoimComment appends what became of one comment: as it is, or as the packet
// that the site has pushed.
func (e *Encoder) appendGoimComment(dst, object []byte) []byte {
	if bytes.Contains(object, kindData) { // it may also be in a text
		if v, err := e.each.ParseBytes(object); err == nil && string(v.GetStringBytes("kind")) == "data" {
			c := readComment(v)
			return appendData(dst, &c)
		}
	}
	return Append(dst, Packet{Version: VersionControl, Op: OpComment, Body: object})
}

// appendData appends what a site has pushed, under the operation it gave.
func appendData(dst []byte, c *comment) []byte {
	dst, start := open(dst, VersionControl, uint32(c.op))
	if c.data != "" {
		if raw, err := base64.StdEncoding.DecodeString(c.data); err == nil {
			return closePacket(append(dst, raw...), start)
		}
	}
	return closePacket(append(dst, c.text...), start)
}

func appendGoimCounts(dst []byte, h *head) []byte {
	if h.online < 0 && h.likes == 0 && h.sampled == 0 {
		return dst
	}
	dst, start := open(dst, VersionControl, OpCounts)
	dst = append(dst, `{"ts":`...)
	dst = strconv.AppendInt(dst, h.ts, 10)
	if h.online >= 0 {
		dst = strconv.AppendInt(append(dst, `,"online":`...), h.online, 10)
	}
	if h.likes > 0 {
		dst = strconv.AppendInt(append(dst, `,"likes":`...), h.likes, 10)
	}
	if h.sampled > 0 {
		dst = strconv.AppendInt(append(dst, `,"sampled":`...), h.sampled, 10)
	}
	return closePacket(append(dst, '}'), start)
}

// AppendPush appends a packet for one goim client: with the outer header, which
// clients on a WebSocket need and others do not get.
func AppendPush(dst []byte, op uint32, body []byte, outer bool) []byte {
	inner := HeaderSize + len(body)
	if outer {
		dst = appendHeader(dst, inner, VersionControl, OpRaw, 0)
	}
	return Append(dst, Packet{Version: VersionControl, Op: op, Body: body})
}
