package echo

import (
	"errors"

	"github.com/danmakud/danmakud/wsproto"
)

// errPlainHTTP answers a request that asks for no WebSocket: there is nothing
// else here. RFC 9110 section 15.5.22.
var errPlainHTTP = &wsproto.Refusal{Status: 426, Message: "This port speaks WebSocket only.",
	Header: []string{"Upgrade: websocket"}}

var errHeadTooLarge = &wsproto.Refusal{Status: 431, Message: "The request head is larger than 8 KiB."}

// shakeHands collects a request head and answers it. Bytes behind the head are
// frames already.
func (h *handler) shakeHands(c *conn, p []byte) {
	c.carry = append(c.carry, p...)
	end := wsproto.HeadEnd(c.carry)
	if end > wsproto.HeadMax || end == 0 && len(c.carry) > wsproto.HeadMax {
		h.refuse(c, errHeadTooLarge)
		return
	}
	if end == 0 {
		return
	}
	reply, agreed, err := h.upgrader.Upgrade(c.out, c.carry[:end], nil)
	if err != nil {
		var refusal *wsproto.Refusal
		if !errors.As(err, &refusal) {
			refusal = errPlainHTTP
		}
		h.refuse(c, refusal)
		return
	}
	c.out = reply
	c.state, c.deadline = open, 0
	c.deflate, c.bits = agreed.Deflate, agreed.WindowBits
	rest := c.carry[end:]
	c.carry = nil
	if len(rest) > 0 {
		h.frames(c, rest)
	}
}

// refuse answers a request that becomes no WebSocket.
func (h *handler) refuse(c *conn, refusal *wsproto.Refusal) {
	c.out = refusal.AppendTo(c.out)
	c.lastWords()
}

// frames decodes what an open connection sent. p is unmasked in place.
func (h *handler) frames(c *conn, p []byte) {
	buf := p
	if len(c.carry) > 0 {
		need := wsproto.Need(c.carry)
		buf = c.carried(p, need)
		if need > len(buf) {
			h.peek(c)
			return
		}
	}
	for len(buf) > 0 {
		f, n, err := wsproto.Decode(buf, h.maxMessage, c.deflate)
		if err != nil {
			c.fail(err)
			return
		}
		if n == 0 {
			break
		}
		buf = buf[n:]
		if h.frame(c, f); c.state != open {
			return
		}
	}
	c.carry = append(emptied(c.carry), buf...)
	h.peek(c)
}

// carried puts p behind what is there of a frame that has need bytes. The memory
// at least doubles when it grows, so that long frames are not copied again and
// again, but never much beyond what has come: need is only what the peer says.
func (c *conn) carried(p []byte, need int) []byte {
	if have := len(c.carry) + len(p); have > cap(c.carry) {
		room := max(have, min(need, 2*have))
		c.carry = append(make([]byte, 0, room), c.carry...)
	}
	c.carry = append(c.carry, p...)
	return c.carry
}

// peek fails a text at its first bad byte even when the frame around it is not
// complete, RFC 6455 section 8.1.
func (h *handler) peek(c *conn) {
	if err := c.message.Peek(c.carry); err != nil {
		c.fail(err)
	}
}

// frame handles one frame of an open connection.
func (h *handler) frame(c *conn, f wsproto.Frame) {
	switch f.Op {
	case wsproto.OpPing:
		c.out = wsproto.AppendFrame(c.out, wsproto.OpPong, f.Payload)
	case wsproto.OpPong:
	case wsproto.OpClose:
		code, _, err := wsproto.ParseClose(f.Payload)
		if err != nil {
			c.fail(err)
			return
		}
		c.out = wsproto.AppendClose(c.out, code, "")
		c.lastWords()
	default:
		h.data(c, f)
	}
}

// data handles a data frame, whole or a fragment, and sends back the message that
// it completes: compressed if it came so.
func (h *handler) data(c *conn, f wsproto.Frame) {
	m, done, err := c.message.Push(f, h.maxMessage)
	if err == nil && done {
		m.Data, err = h.inflater.Message(m, h.maxMessage)
	}
	switch {
	case err != nil:
		c.fail(err)
	case !done:
	case m.Compressed:
		c.out = h.deflater(c.bits).AppendFrame(c.out, m.Op, m.Data)
	default:
		c.out = wsproto.AppendFrame(c.out, m.Op, m.Data)
	}
}

// deflater returns this loop's one for a size of window.
func (h *handler) deflater(bits int) *wsproto.Deflater {
	if h.deflaters[bits] == nil {
		h.deflaters[bits] = wsproto.NewDeflater(deflateLevel, bits)
	}
	return h.deflaters[bits]
}

// fail says which rule the peer has broken and begins to close, RFC 6455
// section 7.1.7.
func (c *conn) fail(err error) {
	var v *wsproto.Violation
	if !errors.As(err, &v) {
		panic("echo: decoder error that is no violation: " + err.Error())
	}
	c.out = wsproto.AppendClose(c.out, v.Code, v.Text)
	c.lastWords()
}

// lastWords lets what is in out be the last that the connection gets.
func (c *conn) lastWords() {
	c.state, c.deadline = closing, 0
	c.carry, c.message = nil, wsproto.Assembler{}
}
