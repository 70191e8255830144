package server

import (
	"errors"

	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/wsproto"
)

// frames decodes what an open connection sent. p is unmasked in place; it is empty
// when a connection of the backlog goes on.
func (h *handler) frames(s poller.Slot, p []byte) {
	if !h.spendBytes(s, len(p)) {
		return
	}
	buf := p
	k := h.partials[s]
	if k != nil && len(k.bytes) > 0 {
		need := wsproto.Need(k.bytes)
		buf = k.add(p)
		if need > len(buf) && len(p) > 0 {
			// A frame that trickles in is decoded again only when it is complete.
			if h.peek(s, k) {
				h.settle(s)
			}
			return
		}
	}
	rest, whole := h.decode(s, buf)
	if !h.session(s).talking() {
		return
	}
	switch {
	case k != nil && len(k.bytes) > 0:
		k.keep(rest)
	case len(rest) > 0:
		k = h.partial(s)
		k.add(rest)
	}
	switch {
	case !whole:
		h.wait(s)
	case len(rest) > 0 && !h.peek(s, k):
		return
	}
	h.settle(s)
}

// peek fails a text at its first bad byte, however much of the frame is still to
// come (RFC 6455 section 8.1), and reports whether the connection is still open.
// How far it has looked is kept with the message, so each byte is looked at once.
func (h *handler) peek(s poller.Slot, k *partial) bool {
	a := k.message
	if a == nil { // most frames are no text and leave nothing to be remembered
		a = &h.whole
		*a = wsproto.Assembler{}
	}
	if err := a.Peek(k.bytes); err != nil {
		h.violate(s, err)
		return false
	}
	if a == &h.whole && !a.Idle() {
		k.message = new(wsproto.Assembler)
		*k.message = *a
	}
	return true
}

// decode handles the frames at the start of buf, at most as many as one turn has
// for a connection: then whole is false. When the connection is closing rest has
// no meaning.
func (h *handler) decode(s poller.Slot, buf []byte) (rest []byte, whole bool) {
	for n := 0; len(buf) > 0; n++ {
		if n == framesPerTurn {
			return buf, false
		}
		f, size, err := wsproto.Decode(buf, h.config.MaxMessage, h.session(s).is(markDeflate))
		if err != nil {
			h.violate(s, err)
			return nil, true
		}
		if size == 0 {
			break
		}
		buf = buf[size:]
		if !h.spendFrame(s, f.Op) {
			return nil, true
		}
		h.frame(s, f)
		if !h.session(s).talking() {
			return nil, true
		}
		if len(h.out) >= repliesFlush {
			if h.flushReplies(s); !h.session(s).talking() {
				return nil, true
			}
		}
	}
	return buf, true
}

// settle counts what a connection has begun and not finished, and sets the clock
// for it. Who is the one too many goes.
func (h *handler) settle(s poller.Slot) {
	if !h.charge(s) {
		h.finish(s, wsproto.CodeTryLater, "too many unfinished messages", reasonPartialFull)
		return
	}
	c := h.session(s)
	switch {
	case h.partials[s] == nil:
		c.deadline = 0
	case c.deadline == 0:
		c.deadline = h.deadline(h.config.MessageTimeout)
	}
}

// frame handles one frame of an open connection.
func (h *handler) frame(s poller.Slot, f wsproto.Frame) {
	if c := h.session(s); c.deadline != 0 && f.Fin {
		if k := h.partials[s]; k == nil || k.message == nil {
			c.deadline = 0 // what comes behind this frame has its own time
		}
	}
	switch f.Op {
	case wsproto.OpPing:
		// The pongs of one read go out together; while the viewer is blocked the
		// shard keeps them within its bound.
		h.out = wsproto.AppendFrame(h.out, wsproto.OpPong, f.Payload)
	case wsproto.OpPong:
		if !h.speaksPackets(s) {
			h.session(s).pinged = 0
		}
	case wsproto.OpClose:
		h.peerClose(s, f.Payload)
	default:
		h.data(s, f)
	}
}

// data handles a data frame, whole or a fragment.
func (h *handler) data(s poller.Slot, f wsproto.Frame) {
	a := &h.whole
	*a = wsproto.Assembler{}
	k := h.partials[s]
	if k == nil && !f.Fin {
		k = h.partial(s)
	}
	switch {
	case k != nil && k.message != nil:
		a = k.message
	case !f.Fin:
		a = new(wsproto.Assembler)
		k.message = a
	}
	m, done, err := a.Push(f, h.config.MaxMessage)
	if err != nil {
		h.violate(s, err)
		return
	}
	if !done {
		return
	}
	if a != &h.whole {
		k.message = nil
		h.session(s).deadline = 0
	}
	if h.speaksPackets(s) {
		h.packetMessage(s, m)
		return
	}
	proto := h.speaksProto(s)
	switch {
	case proto && m.Op != wsproto.OpBinary:
		h.finish(s, wsproto.CodeUnsupported, "this subprotocol is binary only", reasonText)
		return
	case !proto && m.Op != wsproto.OpText:
		h.finish(s, wsproto.CodeUnsupported, "this subprotocol is text only", reasonBinary)
		return
	}
	if m.Compressed && !h.spendInflate(s, len(m.Data)) {
		return
	}
	msg, err := h.inflater.Message(m, h.config.MaxMessage)
	if err != nil {
		h.violate(s, err)
		return
	}
	if m.Compressed {
		h.inflated++
	}
	if proto {
		h.protoCommand(s, msg)
		return
	}
	h.command(s, msg)
}

// peerClose answers a close frame with the same code (RFC 6455 section 5.5.1).
func (h *handler) peerClose(s poller.Slot, payload []byte) {
	code, _, err := wsproto.ParseClose(payload)
	if err != nil {
		h.violate(s, err)
		return
	}
	if len(payload) == 0 {
		h.out = wsproto.AppendFrame(h.out, wsproto.OpClose, nil)
	} else {
		h.out = wsproto.AppendClose(h.out, code, "")
	}
	h.lastWords(s, reasonClientClose)
}

// violate ends a connection that broke the protocol.
func (h *handler) violate(s poller.Slot, err error) {
	var v *wsproto.Violation
	if !errors.As(err, &v) {
		panic("server: decoder error that is no violation: " + err.Error())
	}
	h.finish(s, v.Code, v.Text, violationReasons[v])
}
