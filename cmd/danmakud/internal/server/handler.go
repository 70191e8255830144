package server

import (
	"sync/atomic"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/moderation"
	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/room"
	"github.com/danmakud/danmakud/wsproto"
	"github.com/valyala/fastjson"
)

const (
	// broadcastBudget is how many members one turn serves before it looks at the
	// sockets again: at 5 to 30 µs a frame a viewer waits some milliseconds at most.
	broadcastBudget = 256
	// closeLinger is how long a peer has to answer our close frame.
	closeLinger = 2 * time.Second
	// repliesFlush is the size at which replies are written before the rest of a
	// read is looked at, so that one read cannot call forth more than this at once.
	repliesFlush = 16 << 10
	// strikesMax refused messages within as many seconds end a connection.
	strikesMax = 100
)

// handler is one loop's side of the server: the sessions of its connections and
// its shard of all rooms. Everything runs on the loop's goroutine.
type handler struct {
	// Fixed after construction.
	server *Server
	loop   *poller.Loop
	shard  *room.Shard

	// Owned by the loop goroutine.
	config   *config.Config    // the settings in force; a reload replaces them
	rules    *rules            // likewise, with what is made of them
	json     fastjson.Parser   // of the message at hand
	inflater *wsproto.Inflater // of compressed messages, one at a time
	sessions []*[chunkSessions]session

	// Addresses of viewers, where they are not their sockets' or are counted; nil = none.
	addresses []*[chunkSessions]addressKey

	scratch  moderation.Scratch         // of the comment at hand
	whole    wsproto.Assembler          // of messages in one frame, about which nothing is remembered
	partials map[poller.Slot]*partial   // what connections have begun and not finished
	persons  persons                    // viewers who are no guests
	pushed   pushed                     // goim viewers to whom something may be pushed
	asked    map[poller.Slot]*asking    // viewers about whom the site is being asked
	spoke    map[poller.Slot]addressKey // where those are who spoke lately, without markAddressed
	backlog  []poller.Handle            // connections with frames at hand, in rotation

	lingering    int // connections that were turned away and are not closed yet
	waitedBefore int // how many of the backlog were there at the end of the last turn

	out      []byte           // replies to the connection at hand, written at the end of Data
	sealNow  []*room.Room     // rooms to seal at the end of this turn
	sealed   []*room.Batch    // scratch of sealRooms
	closes   [256]uint64      // by reason
	refused  [refusals]uint64 // messages answered with an error, by code
	comments uint64           // comments accepted
	likes    uint64           // likes accepted
	shadowed uint64           // comments shown to their senders alone
	moved    uint64           // connections given to another loop
	upgraded uint64           // handshakes completed
	inflated uint64           // compressed messages made plain
	ignored  uint64           // packets without a meaning
	cut      uint64           // turned away and closed before their FIN
	sweeping bool             // ends of tokens go on in the next turn
	drain    drainWalk
	verify   verifier

	// Atomic; any goroutine.
	passAge atomic.Int64 // of the oldest broadcast pass at the last sweep, ns
}

func newHandler(s *Server, l *poller.Loop) *handler {
	h := &handler{
		server: s, loop: l,
		inflater: wsproto.NewInflater(),
		partials: make(map[poller.Slot]*partial),
		persons:  newPersons(),
		pushed:   newPushed(),
		asked:    make(map[poller.Slot]*asking),
		spoke:    make(map[poller.Slot]addressKey),
	}
	h.adoptRules()
	h.shard = room.NewShard(s.hub, l.Index(), loopWriter{h})
	h.shard.PassDone = func(ns int64) { s.metrics.pass.Observe(float64(ns) / 1e9) }
	return h
}

// spool is the reactor's spool as rooms see it.
type spool struct{ *poller.Spool }

func (s spool) Add(p []byte) room.Region {
	if r := s.Spool.Add(p); r != nil {
		return r
	}
	return nil // not a Region that is a nil pointer
}

// loopWriter is the loop's sockets as the shard sees them.
type loopWriter struct{ h *handler }

func (w loopWriter) Write(slot uint32, p []byte) (int, error) {
	return w.h.loop.Write(poller.Slot(slot), p)
}

func (w loopWriter) WriteRegion(slot uint32, r room.Region, rest []byte) (int, error) {
	return w.h.loop.WriteRegion(poller.Slot(slot), r.(*poller.Region), rest)
}

func (w loopWriter) WantWrite(slot uint32, on bool) { w.h.loop.WantWrite(poller.Slot(slot), on) }

func (w loopWriter) Failed(slot uint32, err error) {
	w.h.loop.Close(poller.Slot(slot), poller.ReasonOf(err))
}

// Opened starts the handshake of a new connection, or refuses it.
func (h *handler) Opened(s poller.Slot) {
	if h.begin(s) {
		h.locate(s)
	}
}

// begin starts a session, and reports whether the server takes new ones.
func (h *handler) begin(s poller.Slot) bool {
	*h.session(s) = session{
		state:    stateHandshaking,
		deadline: h.deadline(h.config.HandshakeTimeout),
		tokens:   h.rules.buckets.full(),
		refilled: h.nowMs(),
	}
	h.out = h.out[:0]
	if h.server.behind.refuses(h.server.now()) {
		h.server.rejected.behind.Add(1)
		h.turnAway(s, "the server is overloaded", reasonBehind)
		return false
	}
	return true
}

// Data takes what was read from a connection.
func (h *handler) Data(s poller.Slot, p []byte) {
	h.out = h.out[:0] // a panic may have left another connection's replies
	switch h.session(s).state {
	case stateHandshaking:
		h.shakeHands(s, p)
	case stateGreeting, stateOpen:
		h.receive(s, p)
	case stateClosing: // said all there is to say; only the FIN matters now
	}
	h.flushReplies(s)
}

// HalfClosed ends a connection whose peer says no more.
func (h *handler) HalfClosed(s poller.Slot) {
	h.out = h.out[:0]
	if k := h.partials[s]; k != nil && k.waiting { // hung up: this is its last turn
		h.resume(s)
	}
	h.loop.Close(s, poller.ReasonPeerClosed)
}

// Writable goes on where the socket was full.
func (h *handler) Writable(s poller.Slot) {
	h.shard.Writable(uint32(s), h.loop.Now())
	h.finishWhenDrained(s)
}

// Closed forgets a connection.
func (h *handler) Closed(s poller.Slot, r poller.Reason) {
	c := h.session(s)
	if c.state == stateClosing {
		r = c.reason // what began the closing, not what completed it
	}
	if r == poller.ReasonMoved {
		h.moved++ // not closed
	} else {
		h.closes[r]++
	}
	h.shard.Forget(uint32(s), h.loop.Now())
	h.forgetPartial(s)
	h.persons.forget(s)
	h.pushed.forget(s)
	delete(h.asked, s)
	delete(h.spoke, s)
	h.placeOf(s).giveBack()
	if c.is(markTurnedAway) {
		h.lingering--
	}
	*c = session{}
}

// Turn lets the backlog go on, seals the rooms that became due in this turn and
// broadcasts a slice.
func (h *handler) Turn() (more bool) {
	h.serveBacklog()
	if len(h.sealNow) > 0 {
		h.sealRooms()
	}
	more = h.shard.Broadcast(broadcastBudget, h.loop.Now()) || len(h.backlog) > 0
	h.verify.turn(h)
	return more
}

// Stopping has nothing to save: what the loop closes now is counted in Closed.
func (h *handler) Stopping() {}

// finish says goodbye with a close frame, leaves the room, and closes once the
// peer has answered or closeLinger has passed (RFC 6455 section 7.1.1 lets the
// server close TCP first; waiting for the peer's FIN keeps our last bytes from
// being discarded by a reset).
func (h *handler) finish(s poller.Slot, code wsproto.Code, text string, r poller.Reason) {
	if !h.bare(s) {
		h.out = wsproto.AppendClose(h.out, code, text)
	}
	h.lastWords(s, r)
}

// lastWords lets what is in h.out be the last that the connection gets.
func (h *handler) lastWords(s poller.Slot, r poller.Reason) {
	c := h.session(s)
	h.shard.Leave(uint32(s), h.loop.Now())
	c.state, c.reason = stateClosing, r
	c.deadline = h.deadline(closeLinger)
	h.forgetPartial(s)
	h.persons.forget(s)
	h.forgetAsked(s)
	if len(h.out) > 0 && h.loop.Open(s) {
		h.shard.LastReply(uint32(s), h.out, h.loop.Now())
	}
	h.out = h.out[:0]
	h.finishWhenDrained(s)
}

// finishWhenDrained shuts our side down after the last byte of a closing connection.
func (h *handler) finishWhenDrained(s poller.Slot) {
	c := h.session(s)
	if c.state == stateClosing && !c.is(markFinished) && h.shard.Drained(uint32(s)) {
		c.marks |= markFinished
		h.loop.CloseWrite(s)
	}
}

// flushReplies writes the replies collected while handling one read.
func (h *handler) flushReplies(s poller.Slot) {
	if len(h.out) == 0 {
		return
	}
	if h.loop.Open(s) {
		h.shard.Reply(uint32(s), h.out, h.loop.Now())
	}
	h.out = h.out[:0]
}

func (h *handler) nowMs() uint32 { return uint32(h.loop.Now() / 1e6) }

// deadline is d from now on the coarse clock, at most two seconds late.
func (h *handler) deadline(d time.Duration) uint32 { return h.loop.Seconds() + 1 + seconds(d) }

// seconds rounds a duration up to the coarse clock, at least one.
func seconds(d time.Duration) uint32 { return uint32(max(1, (d+time.Second-1)/time.Second)) }
