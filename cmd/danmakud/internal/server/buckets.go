package server

import (
	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/wsproto"
)

// tokens are what a connection may send at this moment, all as of
// session.refilled. They may be below zero only while it is being closed.
type tokens struct{ comments, frames, bytes, pings float32 }

// bucket fills by rate tokens a second up to burst. Rate 0 means no limit.
type bucket struct{ rate, burst float32 }

// buckets are the limits on what one connection sends.
type buckets struct{ comments, frames, bytes, pings bucket }

func newBuckets(c *config.Config) buckets {
	flood := c.Flood()
	of := func(b config.Bucket) bucket { return bucket{float32(b.Rate), float32(b.Burst)} }
	return buckets{
		comments: bucket{float32(c.CommentRate), float32(c.CommentBurst)},
		frames:   of(flood.Frames), bytes: of(flood.Bytes), pings: of(flood.Pings),
	}
}

// full returns the tokens of a new connection.
func (b *buckets) full() tokens {
	return tokens{b.comments.burst, b.frames.burst, b.bytes.burst, b.pings.burst}
}

// refill adds what has come since the last time; all buckets share that stamp,
// ms of the loop's clock.
func (b *buckets) refill(c *session, nowMs uint32) {
	if nowMs == c.refilled {
		return
	}
	seconds := float32(nowMs-c.refilled) / 1000
	c.refilled = nowMs
	c.tokens.comments = b.comments.fill(c.tokens.comments, seconds)
	c.tokens.frames = b.frames.fill(c.tokens.frames, seconds)
	c.tokens.bytes = b.bytes.fill(c.tokens.bytes, seconds)
	c.tokens.pings = b.pings.fill(c.tokens.pings, seconds)
}

func (b bucket) fill(tokens, seconds float32) float32 {
	return min(b.burst, tokens+seconds*b.rate)
}

// spend takes n tokens and reports whether they were there.
func (b bucket) spend(tokens *float32, n float32) bool {
	if b.rate == 0 {
		return true
	}
	*tokens -= n
	return *tokens >= 0
}

// spendComment takes a comment's token. When there is none it returns how many
// milliseconds it takes for one to come.
func (b *buckets) spendComment(c *session, nowMs uint32) (waitMs int64, ok bool) {
	if b.comments.rate == 0 {
		return 0, true
	}
	b.refill(c, nowMs)
	if c.tokens.comments >= 1 {
		c.tokens.comments--
		return 0, true
	}
	return int64((1-c.tokens.comments)/b.comments.rate*1000) + 1, false
}

// spendBytes charges what was read from a connection, whole frames or not. A
// flood is closed, and false returned.
func (h *handler) spendBytes(s poller.Slot, n int) bool {
	c, b := h.session(s), &h.rules.buckets
	b.refill(c, h.nowMs())
	if b.bytes.spend(&c.tokens.bytes, float32(n)) {
		return true
	}
	h.finish(s, wsproto.CodePolicy, "too many bytes", reasonFloodBytes)
	return false
}

// inflateSurcharge is how many bytes more each byte of a compressed message counts
// for. The worst that 4 KiB can be made of, empty dynamic blocks, takes 100 ns a
// byte to inflate (BenchmarkInflateHostile in wsproto): by the default byte rate
// 200 viewers would keep a core busy with nothing else. With this it takes 3,100,
// while a viewer who means it may still send 3 KiB of compressed comments a second.
const inflateSurcharge = 15

// spendInflate charges n bytes of a compressed message for the work of inflating
// them, besides what they were charged as bytes; never more than half of what a
// full bucket has left then, so that no message is refused for its size alone. A
// flood is closed, and false returned.
func (h *handler) spendInflate(s poller.Slot, n int) bool {
	c, b := h.session(s), h.rules.buckets.bytes
	surcharge := min(inflateSurcharge*float32(n), max(0, b.burst-float32(n))/2)
	if b.spend(&c.tokens.bytes, surcharge) {
		return true
	}
	h.finish(s, wsproto.CodePolicy, "too many compressed bytes", reasonFloodBytes)
	return false
}

// spendFrame charges a frame. A flood is closed, and false returned.
func (h *handler) spendFrame(s poller.Slot, op wsproto.Op) bool {
	c, b := h.session(s), &h.rules.buckets
	switch {
	case op == wsproto.OpPing && !b.pings.spend(&c.tokens.pings, 1):
		h.finish(s, wsproto.CodePolicy, "too many pings", reasonFloodPings)
	case !b.frames.spend(&c.tokens.frames, 1):
		h.finish(s, wsproto.CodePolicy, "too many frames", reasonFloodFrames)
	default:
		return true
	}
	return false
}
