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
	// Nil = what the encoder before this one makes, by permessage-deflate where that is
	// worth it and as it is where not; all else must be said as there.
	Append func(dst []byte, b *Batch) []byte
	// Notice appends what a JSON message to one viewer is in this encoding. Any
	// goroutine; nil = it has no words for such, and its members are not told.
	Notice func(dst, message []byte) []byte
	// Resumes says that its members can resume. A batch of which it was not made is
	// then made later, by a loop, from what the batch's Payload says.
	Resumes bool
	// Outer is how many bytes at the start of a payload are for members with
	// WebSocket frames alone, see Shard.SetBare.
	Outer int
}

// checkEncoders panics over encoders that a hub cannot have.
func checkEncoders(encoders []Encoder) {
	resume := 0
	for i, k := range encoders {
		switch {
		case k.Append == nil && (i == 0 || encoders[i-1].Append == nil):
			panic("room: an encoder that has nothing to compress: " + k.Name)
		case k.Append == nil && k.Resumes != encoders[i-1].Resumes:
			panic("room: an encoder that resumes unlike the one it compresses: " + k.Name)
		case k.Append != nil && k.Resumes:
			resume++
		}
	}
	if len(encoders) > encodersMax || resume > 1 {
		panic("room: more encoders, or more with members that resume, than there are places for")
	}
}

// encode makes the frame of a foreign encoding.
func (h *Hub) encode(b *Batch, e Encoding) {
	if plain := h.plain(e); plain != e {
		if b.frames[plain] == nil {
			h.encode(b, plain)
		}
		h.deflate(b, e, plain)
		return
	}
	b.frames[e] = h.frame(b, e)
	b.bytes += cap(b.frames[e])
}

// frame returns the frame that an encoder makes of b, in memory of just the right size.
// It is empty, and not nil, where the encoder has nothing to say.
func (h *Hub) frame(b *Batch, e Encoding) []byte {
	frame := []byte{}
	h.framing(func(p []byte) []byte { return h.cfg().Encoders[e-EncodingForeign].Append(p, b) },
		func(made []byte) { frame = slices.Clone(made) })
	h.encoded[e].Add(1)
	return frame
}

// framing frames what add appends as a binary message and gives it to use, in memory
// that is good until use returns; not if add has appended nothing.
func (h *Hub) framing(add func(p []byte) []byte, use func(made []byte)) {
	scratch := h.scratch()
	var space [wsproto.HeaderMax]byte
	p := add(append((*scratch)[:0], space[:]...))
	if len(p) > len(space) {
		use(wsproto.FrameInPlace(p, len(space), wsproto.OpBinary))
	}
	*scratch = p
	h.encoding.Put(scratch)
}

// scratch returns memory out of the pool.
func (h *Hub) scratch() *[]byte {
	if scratch, ok := h.encoding.Get().(*[]byte); ok {
		return scratch
	}
	return new([]byte)
}

// encoder returns the encoder of e, or nil.
func (h *Hub) encoder(e Encoding) *Encoder {
	if encoders := h.cfg().Encoders; e.Foreign() && int(e-EncodingForeign) < len(encoders) {
		return &encoders[e-EncodingForeign]
	}
	return nil
}

// plain is the encoding that a member with e may get in its place, where e was not made
// or is no smaller: what e compresses, or e itself.
func (h *Hub) plain(e Encoding) Encoding {
	if !e.Foreign() {
		return EncodingJSON
	}
	if k := h.encoder(e); k != nil && k.Append == nil {
		return e - 1
	}
	return e
}

// resumes reports whether members with that encoding can resume.
func (h *Hub) resumes(e Encoding) bool {
	k := h.encoder(e)
	return !e.Foreign() || k != nil && k.Resumes
}

// AppendNotice appends the frame of a JSON message to a member with that encoding, in
// the words that the encoding has; nothing if it has none. Any goroutine.
func (h *Hub) AppendNotice(dst []byte, e Encoding, message []byte) []byte {
	if !e.Foreign() {
		return wsproto.AppendFrame(dst, wsproto.OpText, message)
	}
	if k := h.encoder(e); k != nil && k.Notice != nil {
		in := h.scratch() // what goes to Notice escapes: JSON replies are to stay on the stack
		*in = append((*in)[:0], message...)
		h.framing(func(p []byte) []byte { return k.Notice(p, *in) },
			func(made []byte) { dst = append(dst, made...) })
		h.encoding.Put(in)
	}
	return dst
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
