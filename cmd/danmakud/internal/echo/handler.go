package echo

import (
	"time"

	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/wsproto"
)

const (
	// handshakeTimeout is how long a connection may take for its request head.
	handshakeTimeout = 10 * time.Second
	// closeLinger is how long a peer has to answer our last bytes with its FIN.
	closeLinger = 2 * time.Second
	// stallTimeout is how long a peer may take nothing of what waits for it.
	stallTimeout = 60 * time.Second
	// deflateLevel is the fastest: suites send much and look at no sizes.
	deflateLevel = 1
	// keepBytes is the capacity of buffers that a connection keeps when they
	// are empty.
	keepBytes = 4 << 10
)

// Why a connection is closed, besides the poller's own reasons.
const (
	reasonDone    = poller.ReasonApplication + iota // all was said, and the peer has closed or had its time
	reasonStalled                                   // the peer takes nothing
)

type state uint8

// A connection goes handshaking ─► open ─► closing.
const (
	handshaking state = iota
	open
	closing // our last words are in out, or sent; what the peer says is thrown away
)

// conn is one connection.
type conn struct {
	state   state
	shut    bool // our side is shut down
	deflate bool // permessage-deflate was agreed on
	bits    int  // of the window that the peer has for what we compress
	message wsproto.Assembler

	// carry is a head or frame that has come only in part.
	carry []byte
	// out[sent:] is what the kernel has not taken. While there is any, nothing is
	// read, so its bound is one message and what one read can call forth.
	out  []byte
	sent int
	// deadline is when time is up, in seconds of the loop's clock: for the head,
	// or for the peer's FIN; 0 = none.
	deadline uint32
}

// handler is one loop's connections. Everything runs on the loop's goroutine.
type handler struct {
	// Fixed after construction.
	loop       *poller.Loop
	upgrader   *wsproto.Upgrader
	maxMessage int

	conns    map[poller.Slot]*conn
	inflater *wsproto.Inflater
	// deflaters are those that were needed so far, by the bits of their window.
	// They serve one message at a time, so that no connection holds any.
	deflaters [16]*wsproto.Deflater
}

func newHandler(l *poller.Loop, u *wsproto.Upgrader, maxMessage int) *handler {
	return &handler{
		loop: l, upgrader: u, maxMessage: maxMessage,
		conns:    make(map[poller.Slot]*conn),
		inflater: wsproto.NewInflater(),
	}
}

// Opened starts the handshake of a new connection.
func (h *handler) Opened(s poller.Slot) {
	h.conns[s] = &conn{deadline: h.deadline(handshakeTimeout)}
}

// Data takes what was read from a connection.
func (h *handler) Data(s poller.Slot, p []byte) {
	c := h.conns[s]
	switch c.state {
	case handshaking:
		h.shakeHands(c, p)
	case open:
		h.frames(c, p)
	case closing:
	}
	h.flush(s, c)
}

// HalfClosed ends a connection whose peer says no more. Nothing is left to be
// sent then: while there is, nothing is read, not even the end.
func (h *handler) HalfClosed(s poller.Slot) { h.loop.Close(s, reasonDone) }

// Writable goes on where the socket was full.
func (h *handler) Writable(s poller.Slot) { h.flush(s, h.conns[s]) }

// Closed forgets a connection.
func (h *handler) Closed(s poller.Slot, _ poller.Reason) { delete(h.conns, s) }

// Turn has nothing to do: each connection's work is done when its bytes come.
func (h *handler) Turn() (more bool) { return false }

// Stopping has nothing to save.
func (h *handler) Stopping() {}

// Sweep looks at the clocks of all connections.
func (h *handler) Sweep() {
	now := h.loop.Seconds()
	for s, c := range h.conns {
		switch {
		case c.unsent() && now-h.loop.LastWrite(s) > seconds(stallTimeout):
			h.loop.Close(s, reasonStalled)
		case c.deadline == 0 || now < c.deadline:
		case c.state == handshaking:
			h.refuse(c, &wsproto.Refusal{Status: 408, Message: "no complete request in time"})
			h.flush(s, c)
		case c.state == closing:
			h.loop.Close(s, reasonDone)
		}
	}
}

// flush writes what waits, and carries out what was put off until all of it had
// been taken: reading on, or ending our side.
func (h *handler) flush(s poller.Slot, c *conn) {
	if !h.loop.Open(s) {
		return
	}
	if c.unsent() {
		n, err := h.loop.Write(s, c.out[c.sent:])
		if err != nil {
			h.loop.Close(s, poller.ReasonOf(err))
			return
		}
		c.sent += n
	}
	blocked := c.unsent()
	if !blocked {
		c.out, c.sent = emptied(c.out), 0
	}
	h.loop.WantWrite(s, blocked)
	h.loop.PauseRead(s, blocked)
	if blocked || c.state != closing || c.shut {
		return
	}
	// Closing before the peer's FIN has come could reset the connection, and a
	// reset destroys what the peer has not read yet (RFC 6455 section 7.1.1).
	c.shut = true
	c.deadline = h.deadline(closeLinger)
	h.loop.CloseWrite(s)
}

func (c *conn) unsent() bool { return c.sent < len(c.out) }

// emptied returns p without content, and without its memory if that is much.
func emptied(p []byte) []byte {
	if cap(p) > keepBytes {
		return nil
	}
	return p[:0]
}

// deadline is d from now on the coarse clock, at most two seconds late.
func (h *handler) deadline(d time.Duration) uint32 { return h.loop.Seconds() + 1 + seconds(d) }

func seconds(d time.Duration) uint32 { return uint32(d / time.Second) }
