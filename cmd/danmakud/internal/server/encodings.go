package server

import (
	"sync"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/packet"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/protobuf"
	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/room"
)

// The encodings of batches besides those of the rooms themselves, in the order of
// encoders.
const (
	encodingBilibili = room.EncodingForeign + iota
	encodingBilibiliZlib
	encodingGoim
	encodingProto
	encodingProtoDeflate
)

// Subprotocols of native viewers.
const (
	protocolJSON = iota
	protocolProto
)

// protocols are their names in the handshake, the default first.
var protocols = []string{protocolJSON: "danmaku.v1.json", protocolProto: "danmaku.v1.proto"}

// nativeEncoding is how batches go to who speaks a subprotocol.
func nativeEncoding(protocol int, deflate bool) room.Encoding {
	switch {
	case protocol == protocolProto && deflate:
		return encodingProtoDeflate
	case protocol == protocolProto:
		return encodingProto
	case deflate:
		return room.EncodingJSONDeflate
	}
	return room.EncodingJSON
}

// speaksProto reports whether the viewer at s, who is in a room or was, has protobuf
// messages instead of JSON ones.
func (h *handler) speaksProto(s poller.Slot) bool {
	e := h.shard.EncodingOf(uint32(s))
	return e == encodingProto || e == encodingProtoDeflate
}

// packetEncoders are as many as make packets at one time.
var packetEncoders = sync.Pool{New: func() any { return new(packet.Encoder) }}

// protoEncoders are as many as make protobuf messages at one time.
var protoEncoders = sync.Pool{New: func() any { return new(protobuf.Encoder) }}

// appendProto appends a JSON message as a protobuf one. Any goroutine.
func appendProto(dst, message []byte) []byte {
	e := protoEncoders.Get().(*protobuf.Encoder)
	defer protoEncoders.Put(e)
	return e.Append(dst, message)
}

// encoders make those encodings. They run wherever a room is sealed.
func (s *Server) encoders() []room.Encoder {
	of := func(append func(e *packet.Encoder, dst []byte, b *room.Batch) []byte) func([]byte, *room.Batch) []byte {
		return func(dst []byte, b *room.Batch) []byte {
			e := packetEncoders.Get().(*packet.Encoder)
			defer packetEncoders.Put(e)
			return append(e, dst, b)
		}
	}
	return []room.Encoder{
		{Name: "bilibili", Append: of(func(e *packet.Encoder, dst []byte, b *room.Batch) []byte {
			return e.AppendBilibili(dst, packetBatch(b))
		})},
		{Name: "bilibili_zlib", Append: of(func(e *packet.Encoder, dst []byte, b *room.Batch) []byte {
			plain := b.Foreign(encodingBilibili)
			if plain == nil { // nobody wants it plain
				plain = e.Plain(packetBatch(b))
			}
			return e.AppendBilibiliZlib(dst, plain, s.settings().CompressionLevel)
		})},
		{Name: "goim", Outer: packet.GoimOuter, Append: of(func(e *packet.Encoder, dst []byte, b *room.Batch) []byte {
			return e.AppendGoim(dst, packetBatch(b))
		})},
		{Name: "proto", Notice: appendProto, Resumes: true, Append: func(dst []byte, b *room.Batch) []byte {
			return appendProto(dst, b.Payload())
		}},
		{Name: "proto_deflate", Notice: appendProto, Resumes: true},
	}
}

// packetBatch is what of a batch goes into packets.
func packetBatch(b *room.Batch) *packet.Batch {
	return &packet.Batch{Message: b.Payload(), Comments: b.CommentsJSON(), Likes: b.Likes, Watched: b.Room.Watched()}
}
