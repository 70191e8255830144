package server

import (
	"sync"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/packet"
	"github.com/danmakud/danmakud/room"
)

// The encodings of batches besides those of the rooms themselves, in the order of
// encoders.
const (
	encodingBilibili = room.EncodingForeign + iota
	encodingBilibiliZlib
	encodingGoim
)

// packetEncoders are as many as make packets at one time.
var packetEncoders = sync.Pool{New: func() any { return new(packet.Encoder) }}

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
	}
}

// packetBatch is what of a batch goes into packets.
func packetBatch(b *room.Batch) *packet.Batch {
	return &packet.Batch{Message: b.Payload(), Comments: b.CommentsJSON(), Likes: b.Likes, Visits: b.Visits}
}
