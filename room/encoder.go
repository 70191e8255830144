package room

import (
	"slices"

	"github.com/danmakud/danmakud/wsproto"
)

// Encoder makes one more encoding of batches, once per tick and only while a member
// wants it.
type Encoder struct {
	// Name is the metric label.
	Name string
	// Append appends the payload of a binary message to dst; nothing if the batch has
	// nothing for those members: then nothing is sent, and the batch counts as
	// delivered. It is called with no lock held, by any goroutine that seals, and by
	// several at one time for different batches. The encodings before this one are
	// made already, as far as they are wanted.
	Append func(dst []byte, b *Batch) []byte
	// Outer is how many bytes at the start of a payload are for members with
	// WebSocket frames alone, see Shard.SetBare.
	Outer int
}

// encode makes the frame of a foreign encoding, in memory of just the right size.
func (h *Hub) encode(b *Batch, e Encoding) {
	scratch, ok := h.encoding.Get().(*[]byte)
	if !ok {
		scratch = new([]byte)
	}
	var space [wsproto.HeaderMax]byte
	p := h.cfg().Encoders[e-EncodingForeign].Append(append((*scratch)[:0], space[:]...), b)
	frame := []byte{}
	if len(p) > len(space) {
		frame = slices.Clone(wsproto.FrameInPlace(p, len(space), wsproto.OpBinary))
	}
	b.frames[e] = frame
	b.bytes += cap(frame)
	*scratch = p
	h.encoding.Put(scratch)
	h.encoded[e].Add(1)
}

// EncodingName returns the metric label of e, "" if there is no such encoding.
func (h *Hub) EncodingName(e Encoding) string {
	switch encoders := h.cfg().Encoders; {
	case e == EncodingJSON:
		return "json"
	case e == EncodingJSONDeflate:
		return "json_deflate"
	case int(e-EncodingForeign) < len(encoders):
		return encoders[e-EncodingForeign].Name
	}
	return ""
}

// Foreign returns what an encoder has made of the batch, without the frame's header;
// nil if it was not asked to. Read only; it lives as long as it is referenced.
func (b *Batch) Foreign(e Encoding) []byte {
	if len(b.frames[e]) == 0 {
		return b.frames[e]
	}
	return b.frames[e][wsproto.HeaderSizeOf(b.frames[e]):]
}

// start is where the frame begins for a member: bare ones do not get its header.
func (b *Batch) start(e Encoding, bare bool) int {
	if !bare || len(b.frames[e]) == 0 {
		return 0
	}
	return wsproto.HeaderSizeOf(b.frames[e]) + b.Room.hub.cfg().Encoders[e-EncodingForeign].Outer
}

// SetBare has what slot gets go out without WebSocket frames, until it is forgotten:
// it may join with foreign encodings only, and replies to it are to be bare, too. Loop
// goroutine only.
func (s *Shard) SetBare(slot uint32) { s.member(slot).bare = true }

// Bare reports whether SetBare was called for slot. Loop goroutine only.
func (s *Shard) Bare(slot uint32) bool { return s.member(slot).bare }

// EncodingOf returns what slot joined its room with. Loop goroutine only.
func (s *Shard) EncodingOf(slot uint32) Encoding { return s.member(slot).enc }
