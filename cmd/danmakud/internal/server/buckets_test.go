package server

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/gorilla/websocket"
)

// The columns of a million viewers cost what this says, and the collector nothing.
func TestSessionIsSmall(t *testing.T) {
	if n := reflect.TypeFor[session]().Size(); n != 40 {
		t.Errorf("a session has %d bytes, ARCHITECTURE says 40", n)
	}
	var pointers func(t reflect.Type) bool
	pointers = func(t reflect.Type) bool {
		switch t.Kind() {
		case reflect.Struct:
			for i := range t.NumField() {
				if pointers(t.Field(i).Type) {
					return true
				}
			}
			return false
		case reflect.Array:
			return pointers(t.Elem())
		}
		return t.Kind() >= reflect.Chan && t.Kind() != reflect.Struct
	}
	if pointers(reflect.TypeFor[session]()) {
		t.Error("a session has a pointer")
	}
}

func TestBucketsRefill(t *testing.T) {
	b := buckets{
		comments: bucket{2, 3}, frames: bucket{10, 5}, bytes: bucket{1000, 4000}, pings: bucket{0, 7},
	}
	c := session{tokens: b.full(), refilled: 1000}
	for i, step := range []struct {
		nowMs uint32
		spend tokens // comments by one
		want  tokens
	}{
		{1000, tokens{1, 2, 1000, 5}, tokens{2, 3, 3000, 7}},
		{1100, tokens{}, tokens{2.2, 4, 3100, 7}},
		{1100, tokens{1, 0, 0, 0}, tokens{1.2, 4, 3100, 7}},
		{9000, tokens{}, tokens{3, 5, 4000, 7}},
		{9000, tokens{0, 6, 4001, 100}, tokens{3, -1, -1, 7}},
		{9100, tokens{}, tokens{3, 0, 99, 7}},
	} {
		b.refill(&c, step.nowMs)
		if step.spend.comments > 0 {
			if wait, ok := b.spendComment(&c, step.nowMs); !ok || wait != 0 {
				t.Errorf("step %d: no comment, %d ms to wait", i, wait)
			}
		}
		before := c.tokens
		if ok := b.frames.spend(&c.tokens.frames, step.spend.frames); ok != (before.frames >= step.spend.frames) {
			t.Errorf("step %d: frames %v", i, ok)
		}
		if ok := b.bytes.spend(&c.tokens.bytes, step.spend.bytes); ok != (before.bytes >= step.spend.bytes) {
			t.Errorf("step %d: bytes %v", i, ok)
		}
		if !b.pings.spend(&c.tokens.pings, step.spend.pings) {
			t.Errorf("step %d: pings have no limit", i)
		}
		if c.tokens != step.want {
			t.Errorf("step %d: %+v, want %+v", i, c.tokens, step.want)
		}
	}
	c.tokens.comments = 0
	wait, ok := b.spendComment(&c, 9100)
	if ok || wait != 501 {
		t.Errorf("spent %v, %d ms to wait, want 501", ok, wait)
	}
	if wait, ok = b.spendComment(&c, 9100+501); !ok {
		t.Errorf("after the time that was told: %d ms more", wait)
	}
}

func TestFloodsAreClosed(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *config.Config) {
		c.Loops, c.CommentRate = 1, 0
		c.FrameRate, c.FrameBurst = 0.001, 20
		c.ByteRate, c.ByteBurst = 0.001, 70000
		c.PingRate, c.PingBurst = 0.001, 5
	})
	h := s.handlers[0]
	text := frame(0x81, `{"type":"ping"}`)
	for _, c := range []struct {
		reason  string
		allowed []byte // what goes right before
		pongs   int    // answers to it
		beyond  []byte
	}{
		{"flood_pings", bytes.Repeat(frame(pingFirst, ""), 5), 0, frame(pingFirst, "")},
		{"flood_frames", bytes.Repeat(text, 20), 20, frame(pongFirst, "")},
		{"flood_bytes", nil, 0, bytes.Repeat([]byte{0}, 70001)},
		// Half a frame is charged although none is complete.
		{"flood_bytes", append([]byte{0x81, 0xFE, 0x0F, 0x00}, make([]byte, 3000)...), 0, make([]byte, 67000)},
	} {
		v := join(t, s, "r")
		if c.allowed != nil {
			h.feed(t, 0, c.allowed)
		}
		for range c.pongs {
			v.expect("pong")
		}
		var open bool
		on(t, h, func() { open = h.session(0).state == stateOpen })
		if !open {
			t.Errorf("%s: closed by what is allowed", c.reason)
		}
		h.feed(t, 0, c.beyond)
		if code := v.expectClose(); code != websocket.ClosePolicyViolation {
			t.Errorf("%s: closed with %d", c.reason, code)
		}
		v.Close()
		eventually(t, s, "danmakud_connections 0")
	}
	for _, line := range []string{`"flood_pings"} 1`, `"flood_frames"} 1`, `"flood_bytes"} 2`} {
		eventually(t, s, "danmakud_closes_total{reason="+line)
	}
}

// Compressed bytes count several times, and even the longest message finds a full
// bucket large enough.
func TestInflateSurcharge(t *testing.T) {
	const burst = 70_000
	s := start(t, func(c *config.Config) {
		c.Loops, c.CommentRate, c.ByteRate, c.ByteBurst = 1, 0, 0.001, burst
	})
	h := s.handlers[0]
	v := joinCompressed(t, s, "r")
	left := func() (n float32) {
		on(t, h, func() { n = burst - h.session(0).tokens.bytes })
		return n
	}
	payload := deflated(`{"type":"like"}`)
	message := frame(compressedFirst, payload)
	h.feed(t, 0, message)
	each := len(message) + inflateSurcharge*len(payload)
	if got := left(); got < float32(each)-1 || got > float32(each) {
		t.Errorf("a message of %d bytes costs %v, want %d", len(payload), got, each)
	}
	h.feed(t, 0, frame(0x81, `{"type":"like"}`)) // plain ones only what they have
	if got := left(); got > float32(each+30) {
		t.Errorf("%v after a plain message", got)
	}
	on(t, h, func() {
		h.session(0).tokens.bytes = burst
		if !h.spendBytes(0, 60_000) || !h.spendInflate(0, 60_000) {
			t.Error("a message is too long for a full bucket")
		}
		h.session(0).tokens.bytes = burst
	})
	for range 3 {
		h.feed(t, 0, bytes.Repeat(message, framesPerTurn/2))
	}
	if code := v.expectClose(); code != websocket.ClosePolicyViolation {
		t.Errorf("closed with %d", code)
	}
	v.Close()
	eventually(t, s, `danmakud_closes_total{reason="flood_bytes"} 1`)
}

// What the default limits are for ends floods and nobody else: a viewer that uses
// up its comments, is refused and pings, second after second.
func TestDefaultLimitsAreWide(t *testing.T) {
	c := config.Default()
	b := newBuckets(&c)
	v := session{tokens: b.full()}
	for second := range uint32(3600) {
		b.refill(&v, second*1000)
		for range 10 {
			b.spendComment(&v, second*1000)
			if !b.frames.spend(&v.tokens.frames, 1) || !b.bytes.spend(&v.tokens.bytes, 900) {
				t.Fatalf("second %d: closed for comments: %+v", second, v.tokens)
			}
		}
		for range 5 {
			if !b.frames.spend(&v.tokens.frames, 1) || !b.pings.spend(&v.tokens.pings, 1) {
				t.Fatalf("second %d: closed for pings: %+v", second, v.tokens)
			}
		}
	}
	c.CommentRate = 0
	b = newBuckets(&c)
	v = session{tokens: b.full()}
	for range 1_000_000 {
		if !b.frames.spend(&v.tokens.frames, 1) || !b.bytes.spend(&v.tokens.bytes, 1e6) || !b.pings.spend(&v.tokens.pings, 1) {
			t.Fatal("there is a limit without one on comments")
		}
	}
}

// Frames are decoded, charged and handled without an allocation.
func TestFramesAllocateNothing(t *testing.T) {
	s := start(t, func(c *config.Config) { c.Loops, c.CommentRate, c.FrameRate, c.FrameBurst = 1, 0, 1, 1<<20 })
	h := s.handlers[0]
	join(t, s, "r")
	block := frame(pongFirst, "x")
	buf := make([]byte, len(block))
	for deadline := time.Now().Add(20 * time.Second); ; {
		var n float64
		on(t, h, func() {
			n = testing.AllocsPerRun(1000, func() {
				copy(buf, block)
				h.Data(0, buf)
			})
		})
		if n == 0 {
			return
		}
		if time.Now().After(deadline) { // others allocate too now and then, but not always
			t.Fatalf("%v allocations a frame", n)
		}
	}
}
