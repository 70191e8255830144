package room

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/danmakud/danmakud/wsproto"
)

// deflateWindow is the window of the one compressed frame that all members
// share, as RFC 7692 counts it: who offers less gets plain frames.
const deflateWindow = 15

// deflating is the hub's compression. Any goroutine.
type deflating struct {
	pool sync.Pool // of *deflater: as many as seal at the same time, none when nothing is said

	in, out atomic.Uint64 // bytes
}

// deflater is what one run needs.
type deflater struct {
	level int
	d     *wsproto.Deflater
	frame []byte // the frame made last; kept for its memory
}

// deflater returns one of the level now in force. It goes back into the pool.
func (h *Hub) deflater() *deflater {
	level := h.cfg().DeflateLevel
	if d, ok := h.deflating.pool.Get().(*deflater); ok && d.level == level {
		return d
	}
	return &deflater{level: level, d: wsproto.NewDeflater(level, deflateWindow)}
}

// deflate makes the compressed frame e of a batch that is worth it, out of the plain
// one. The batch gets a copy of just the right size: rings hold many of them for long.
func (h *Hub) deflate(b *Batch, e, plain Encoding) {
	from := b.frames[plain]
	if len(from) < h.cfg().DeflateMin {
		return
	}
	op := wsproto.OpText
	if e.Foreign() {
		op = wsproto.OpBinary
	}
	d := h.deflater()
	d.frame = d.d.AppendFrame(d.frame[:0], op, from[wsproto.HeaderSizeOf(from):])
	if len(d.frame) < len(from) {
		frame := slices.Clone(d.frame)
		b.frames[e] = frame
		b.bytes += cap(frame)
	}
	h.encoded[e].Add(1)
	h.deflating.in.Add(uint64(len(from)))
	h.deflating.out.Add(uint64(len(b.Frame(e))))
	h.deflating.pool.Put(d)
}

// Encoded returns how many times a batch was put into encoding e.
func (h *Hub) Encoded(e Encoding) uint64 {
	if e == EncodingJSON {
		return h.Sealed()
	}
	return h.encoded[e].Load()
}

// Deflated returns the bytes of all frames that were compressed, before and
// after. A frame that did not get smaller counts as it was: it goes out so.
func (h *Hub) Deflated() (in, out uint64) {
	return h.deflating.in.Load(), h.deflating.out.Load()
}
