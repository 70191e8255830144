package server

import (
	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/wsproto"
)

// partialOverhead is counted for each connection with something unfinished: the
// partial itself, its place in the map and what the allocator rounds up.
const partialOverhead = 128

// partial is what a connection has begun and not finished: a request head, a
// frame or a fragmented message. Most connections have none at any moment.
type partial struct {
	bytes   []byte             // of a head or of frames that are not handled yet
	room    int                // size of the memory that bytes is a part of
	message *wsproto.Assembler // fragments of a message under way; nil = none
	charged int64              // counted in Server.partialBytes
	waiting bool               // in the backlog, and not read from meanwhile
}

// partial returns what s has unfinished, and makes it if need be.
func (h *handler) partial(s poller.Slot) *partial {
	k := h.partials[s]
	if k == nil {
		k = new(partial)
		h.partials[s] = k
	}
	return k
}

// add puts p behind the bytes that are there. Memory grows with what has come,
// never with a length that the peer declared.
func (k *partial) add(p []byte) []byte {
	grows := len(k.bytes)+len(p) > cap(k.bytes)
	k.bytes = append(k.bytes, p...)
	if grows {
		k.room = cap(k.bytes)
	}
	return k.bytes
}

// keep remembers rest, which is the end of bytes, and copies it once the memory
// is mostly used up.
func (k *partial) keep(rest []byte) {
	switch {
	case len(rest) == 0:
		k.bytes, k.room = nil, 0
	case len(rest) < k.room/4:
		k.bytes = append([]byte(nil), rest...)
		k.room = cap(k.bytes)
	default:
		k.bytes = rest
	}
}

// charge counts what s holds now. It reports false when that is more than before
// and all connections together hold too much: s is the one to go.
func (h *handler) charge(s poller.Slot) bool {
	k := h.partials[s]
	if k == nil {
		return true
	}
	if len(k.bytes) == 0 && k.message == nil && !k.waiting {
		h.forgetPartial(s)
		return true
	}
	holds := int64(k.room + partialOverhead)
	if k.message != nil {
		holds += int64(k.message.Held())
	}
	more := holds - k.charged
	k.charged = holds
	return h.server.partialBytes.Add(more) <= int64(h.config.PartialBytes) || more <= 0
}

// forgetPartial drops what s has unfinished.
func (h *handler) forgetPartial(s poller.Slot) {
	if k := h.partials[s]; k != nil {
		h.server.partialBytes.Add(-k.charged)
		delete(h.partials, s)
	}
}
