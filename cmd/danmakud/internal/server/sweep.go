package server

import (
	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/wsproto"
)

// pingFrame is an empty ping.
var pingFrame = wsproto.AppendFrame(nil, wsproto.OpPing, nil)

// Sweep looks at the clocks of all connections, once a second.
func (h *handler) Sweep() {
	h.adoptRules()
	h.out = h.out[:0]
	now := h.loop.Seconds()
	for i, n := 0, h.loop.Slots(); i < n; i++ {
		s := poller.Slot(i)
		c := h.session(s)
		switch c.state {
		case stateHandshaking:
			switch {
			case now < c.deadline:
			case c.is(markHeader):
				h.loop.Close(s, reasonProxyHeader)
			case h.asked[s] != nil:
				h.refuse(s, &wsproto.Refusal{Status: 503, Message: "no answer in time whether you may enter", Header: []string{"Retry-After: 5"}}, reasonConnectFailed)
			default:
				h.refuse(s, &wsproto.Refusal{Status: 408, Message: "no complete request in time"}, reasonHandshakeTimeout)
			}
		case stateGreeting:
			h.sweepGreeting(s, c, now)
		case stateOpen:
			h.sweepOpen(s, c, now)
		case stateClosing:
			if now >= c.deadline {
				h.giveUp(s, c)
			}
		}
	}
	h.sweepTokens()
	h.passAge.Store(h.shard.OldestPass(h.loop.Now()))
	h.shard.Stalled(h.loop.Now(), h.config.StallTimeout, h.closeStalled)
}

// giveUp closes a connection whose peer has not closed its side in time.
func (h *handler) giveUp(s poller.Slot, c *session) {
	if c.reason == reasonDrain && !c.is(markFinished) {
		c.reason = reasonDrainCut
		h.server.cutOff.Add(1)
	}
	h.loop.Close(s, c.reason)
}

// sweepOpen forgives a strike, and pings a connection on which nothing went
// either way for the idle time: TCP itself notices a dead peer only when there
// is something to send.
func (h *handler) sweepOpen(s poller.Slot, c *session, now uint32) {
	if c.strikes > 0 {
		c.strikes--
	}
	if c.deadline != 0 && now >= c.deadline {
		h.finish(s, wsproto.CodePolicy, "a message took too long", reasonMessageTimeout)
		return
	}
	cfg := h.config
	if h.speaksPackets(s) {
		h.sweepHeartbeat(s, c, now)
		return
	}
	if cfg.IdleTimeout <= 0 {
		return
	}
	read := h.loop.LastRead(s)
	if c.pinged != 0 {
		if read >= c.pinged {
			c.pinged = 0 // it said something since; any sign of life will do
		} else if now-c.pinged >= seconds(cfg.PongTimeout) {
			h.finish(s, wsproto.CodeGoingAway, "no answer to a ping", reasonPongTimeout)
			return
		}
	}
	if c.pinged == 0 && now-max(read, h.loop.LastWrite(s)) >= seconds(cfg.IdleTimeout) && h.shard.Drained(uint32(s)) {
		c.pinged = now
		h.shard.Reply(uint32(s), pingFrame, h.loop.Now())
	}
}

// sweepTokens ends those whose token has come to its end. That may be all viewers at
// one moment, such as midnight: those that a turn has no time for are left to the next.
func (h *handler) sweepTokens() {
	began, now := poller.Now(), h.loop.Wall()/1000
	for w := h.persons.expiring.due(now); w != nil; w = h.persons.expiring.due(now) {
		h.out = h.out[:0]
		h.dismiss(w.slot, "the token has expired", "token_expired", reasonTokenExpired)
		if poller.Now()-began > int64(searchTurn) {
			h.sweepRest()
			return
		}
	}
}

// sweepRest has sweepTokens go on in the next turn, if it does not already.
func (h *handler) sweepRest() {
	if h.sweeping {
		return
	}
	// Should the inbox be full the next sweep goes on.
	h.sweeping = h.loop.Post(func() { h.sweeping = false; h.sweepTokens() })
}

// closeStalled ends a viewer that has not taken a whole frame for too long. Should
// it drain within the linger time after all, it is told why.
func (h *handler) closeStalled(slot uint32) {
	if s := poller.Slot(slot); h.session(s).talking() {
		h.finish(s, wsproto.CodeTryLater, "too slow", reasonStalled)
	}
}
