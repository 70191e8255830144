package server

import (
	"errors"

	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/wsproto"
)

// frames decodes what an open connection sent. p is unmasked in place.
func (h *handler) frames(s poller.Slot, p []byte) {
	limit := h.config.MaxMessage
	buf := p
	carried, ok := h.carried[s]
	if ok {
		buf = append(carried, p...)
		// A frame that trickles in is looked at again only when it is complete.
		if need := wsproto.Need(carried); need > len(buf) {
			h.carried[s] = buf
			return
		}
	}
	for len(buf) > 0 {
		f, n, err := wsproto.Decode(buf, limit, false)
		if err != nil {
			h.violate(s, err)
			return
		}
		if n == 0 {
			break
		}
		buf = buf[n:]
		h.frame(s, f)
		if h.session(s).state != stateOpen {
			return
		}
		if len(h.out) >= repliesFlush {
			if h.flushReplies(s); h.session(s).state != stateOpen {
				return
			}
		}
	}
	switch {
	case len(buf) > 0:
		h.carried[s] = append(make([]byte, 0, min(wsproto.Need(buf), limit+64)), buf...)
	case ok:
		delete(h.carried, s)
	}
}

// frame handles one frame of an open connection.
func (h *handler) frame(s poller.Slot, f wsproto.Frame) {
	switch f.Op {
	case wsproto.OpPing:
		// The pongs of one read go out together; while the viewer is blocked the
		// shard keeps them within its bound.
		h.out = wsproto.AppendFrame(h.out, wsproto.OpPong, f.Payload)
	case wsproto.OpPong:
		h.session(s).pinged = 0
	case wsproto.OpClose:
		h.peerClose(s, f.Payload)
	default:
		h.data(s, f)
	}
}

// data handles a data frame, whole or a fragment.
func (h *handler) data(s poller.Slot, f wsproto.Frame) {
	var whole wsproto.Assembler // idle: nothing to remember for a message in one frame
	a := &whole
	stored, ok := h.messages[s]
	if ok {
		a = stored
	} else if !f.Fin {
		a = new(wsproto.Assembler)
		h.messages[s] = a
	}
	m, done, err := a.Push(f, h.config.MaxMessage)
	if err != nil {
		h.violate(s, err)
		return
	}
	if !done {
		return
	}
	if m.Op != wsproto.OpText {
		h.finish(s, wsproto.CodeUnsupported, "this subprotocol is text only", reasonBinary)
		return
	}
	h.command(s, m.Data)
	if ok && h.session(s).state == stateOpen {
		delete(h.messages, s)
	}
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
