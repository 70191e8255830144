//go:build !verify

package server

import (
	"context"
	"io"
	"strings"
	"testing"

	coder "github.com/coder/websocket"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/moderation"
	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/room"
)

// What a viewer sends in one frame is decoded, checked and counted without
// allocating; a comment costs its text and its share of the pending bytes.
func TestInboundAllocations(t *testing.T) {
	s := start(t, func(c *config.Config) { c.Loops, c.CommentRate = 1, 0 })
	v := join(t, s, "r")
	drink(v)
	p := dialProto(t, s, "/ws/r", coder.CompressionDisabled)
	go func() {
		for {
			if _, _, err := p.Read(context.Background()); err != nil {
				return
			}
		}
	}()
	h := s.handlers[0]
	for _, c := range []struct {
		name  string
		frame []byte
		most  float64
		pools string // what is taken out of pools, "" = nothing
	}{
		{"ping", clientFrame(0x89, "hi"), 0, ""},
		{"pong", clientFrame(0x8A, ""), 0, ""},
		{"like", clientFrame(0x81, `{"type":"like","count":3}`), 0, ""},
		{"JSON ping", clientFrame(0x81, `{"type":"ping"}`), 0, ""},
		{"comment", clientFrame(0x81, `{"type":"comment","text":"前方高能","color":255}`), 2, ""},
		{"comment of a token holder", clientFrame(0x81, `{"type":"comment","text":"前方高能","color":255}`), 2, ""},
		{"protobuf ping", clientFrame(0x82, "\x2a\x00"), 0, "p"},
		{"protobuf like", clientFrame(0x82, "\x12\x02\x08\x03"), 0, ""},
		{"protobuf comment", clientFrame(0x82, "\x0a\x11\x0a\x0c前方高能\x10\xff\x01"), 2, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := make(chan float64)
			h.loop.Post(func() {
				slot := poller.Slot(0)
				for h.session(slot).state != stateOpen || h.speaksProto(slot) != strings.HasPrefix(c.name, "protobuf") {
					slot++
				}
				if strings.HasSuffix(c.name, "holder") {
					h.persons.set(slot, &person{user: "alice", subject: "alice", name: "Alice", role: room.RoleModerator})
				}
				p := make([]byte, len(c.frame))
				once := func() { h.Data(slot, p[:copy(p, c.frame)]) }
				n := testing.AllocsPerRun(200, once)
				for range 200 * len(c.pools) { // the race detector has pools forget some of what they have
					n = min(n, testing.AllocsPerRun(1, once))
				}
				got <- n
			})
			if n := <-got; n > c.most {
				t.Errorf("%v allocations a frame, want at most %v", n, c.most)
			}
		})
	}
}

// With all of moderation at work a comment costs a guest's name besides.
func TestJudgedCommentAllocations(t *testing.T) {
	s := start(t, func(c *config.Config) {
		c.Loops, c.CommentRate, c.UserRate, c.UserBurst, c.AddressRate, c.AddressBurst = 1, 0, 1e6, 1e6, 1e6, 1e6
	})
	if err := s.SetWordList(moderation.WordList{Name: "no", Action: "reject", Words: []string{"坏话", "cheap gold"}}, "key"); err != nil {
		t.Fatal(err)
	}
	sanction(t, s, moderation.Sanction{Kind: moderation.Mute, User: "somebody"})
	v := join(t, s, "r")
	drink(v)
	h, frame := s.handlers[0], clientFrame(0x81, `{"type":"comment","text":"前方高能","color":255}`)
	var n float64
	on(t, h, func() {
		slot, p := poller.Slot(0), make([]byte, len(frame))
		n = testing.AllocsPerRun(200, func() { h.Data(slot, p[:copy(p, frame)]) })
	})
	if n > 3 {
		t.Errorf("%v allocations a comment, want at most 3", n)
	}
	if c := s.desk.Counts(); c.Verdicts["pass"] < 200 {
		t.Errorf("judged %v", c.Verdicts)
	}
}

// A frame that trickles in costs memory as it grows, and nothing for each read.
func TestTrickleAllocations(t *testing.T) {
	s := start(t, func(c *config.Config) { c.Loops, c.CommentRate = 1, 0 })
	join(t, s, "plain")
	joinCompressed(t, s, "compressed")
	h := s.handlers[0]
	for _, c := range []struct {
		name string
		slot poller.Slot
		head []byte // of a frame of 4,000 bytes
		most float64
	}{
		{"text", 0, []byte{0x81, 0xFE, 0x0F, 0xA0, 0, 0, 0, 0}, 0},
		{"fragment", 0, []byte{0x01, 0xFE, 0x0F, 0xA0, 0, 0, 0, 0}, 0},
		{"binary", 0, []byte{0x82, 0xFE, 0x0F, 0xA0, 0, 0, 0, 0}, 0},
		{"compressed text", 1, []byte{0xC1, 0xFE, 0x0F, 0xA0, 0, 0, 0, 0}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var n float64
			on(t, h, func() {
				h.forgetPartial(c.slot)
				h.Data(c.slot, c.head)
				k := h.partials[c.slot]
				k.bytes = append(make([]byte, 0, 4096), k.bytes...) // so that it need not grow
				p := []byte("x")
				h.Data(c.slot, p) // what is kept of a text is made once
				n = testing.AllocsPerRun(200, func() { h.Data(c.slot, p) })
			})
			if n > c.most {
				t.Errorf("%v allocations a read, want at most %v", n, c.most)
			}
		})
	}
}

// drink takes what v is sent, so that it does not fill the socket, and allocates
// nothing for it: what any goroutine allocates counts in testing.AllocsPerRun.
func drink(v viewer) { go io.Copy(io.Discard, v.NetConn()) }

// clientFrame is a masked frame whose mask is zero.
func clientFrame(first byte, payload string) []byte {
	return append([]byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...)
}
