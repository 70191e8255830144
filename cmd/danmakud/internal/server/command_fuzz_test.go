package server

import (
	"encoding/binary"
	"encoding/json"
	"testing"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/room"
)

// FuzzCommand: whatever a moderator sends, nothing breaks, and every answer is one
// JSON object.
func FuzzCommand(f *testing.F) {
	for _, seed := range []string{
		`{"type":"comment","text":"hi","color":1,"mode":"top","size":"small","ref":"r"}`, `{"type":"like","count":3}`,
		`{"type":"switch","room":"other"}`, `{"type":"ping","ref":"\u0000"}`, `{"type":"token","token":"x"}`,
		`{"type":"mute","user":"a","seconds":1,"reason":"x","ref":"r"}`, `{"type":"ban","user":"~7f"}`, `{"type":"shadow","user":"b"}`,
		`{"type":"lift","user":"a"}`, `{"type":"kick","user":"~0"}`, `{"type":"retract","id":"0fJu7--0"}`, `{"type":"clear"}`,
		`{"type":"settings","slow_mode_ms":5,"closed":true,"min_role":"vip"}`, `{"type":"settings","closed":null}`, `{"type":7}`, `[]`, `{`,
	} {
		f.Add([]byte(seed))
	}
	t := new(testing.T)
	s := start(t, func(c *config.Config) { c.Loops, c.CommentRate = 1, 0 })
	f.Cleanup(func() { s.Close() })
	h := s.handlers[0]
	f.Fuzz(func(t *testing.T, message []byte) {
		v := join(t, s, "fuzzed")
		defer v.Close()
		answersToModerator(t, h, message, h.command, func(head byte, payload []byte) {
			if head == 0x81 && !json.Valid(payload) {
				t.Errorf("%q answered with %q", message, payload)
			}
		})
	})
}

// answersToModerator has command judge a message of whoever is in the room "fuzzed", as
// a moderator, and calls f with each answer: the first byte of its frame, and its payload.
func answersToModerator(t *testing.T, h *handler, message []byte, command func(poller.Slot, []byte), f func(head byte, payload []byte)) {
	t.Helper()
	done := make(chan []byte, 1)
	h.loop.Post(func() {
		slot := poller.Slot(0)
		for h.session(slot).state != stateOpen || h.shard.RoomOf(uint32(slot)).Name() != "fuzzed" {
			slot++
		}
		h.persons.set(slot, &person{user: "mod", subject: "mod", role: room.RoleModerator})
		defer func() { // the loop would say it to its log only
			if fault := recover(); fault != nil {
				t.Errorf("%q: %v", message, fault)
			}
			done <- append([]byte(nil), h.out...)
			h.out = h.out[:0]
		}()
		h.out = h.out[:0]
		command(slot, message)
	})
	for p := <-done; len(p) > 0; {
		n, size := int(p[1]), 2
		if n == 126 {
			n, size = int(binary.BigEndian.Uint16(p[2:])), 4
		}
		f(p[0], p[size:size+n])
		p = p[size+n:]
	}
}
