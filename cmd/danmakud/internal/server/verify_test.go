//go:build verify

package server

import (
	"strings"
	"testing"

	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/wsproto"
)

// TestVerifierSeesWhatIsWrong spoils what a loop knows of one viewer, in a posted
// call that sets it right again.
func TestVerifierSeesWhatIsWrong(t *testing.T) {
	s := start(t, nil)
	join(t, s, "v")
	h := s.handlers[s.hub.Home("v")]
	const slot, free = poller.Slot(0), poller.Slot(7)
	for _, c := range []struct {
		what        string
		spoil, mend func()
	}{
		{"socket open true", func() { h.session(slot).state = stateFree }, func() { h.session(slot).state = stateOpen }},
		{"member true", func() { h.session(slot).state = stateClosing }, func() { h.session(slot).state = stateOpen }},
		{"writability asked for true", func() { h.loop.WantWrite(slot, true) }, func() { h.loop.WantWrite(slot, false) }},
		{"wait in a backlog of 0", func() { h.partial(slot).waiting = true }, func() { h.forgetPartial(slot) }},
		{"bytes carried", func() { h.partial(free) }, func() { delete(h.partials, free) }},
		{"message under way", func() {
			h.session(slot).state = stateHandshaking
			h.shard.Leave(uint32(slot), h.loop.Now())
			h.partial(slot).message = new(wsproto.Assembler)
		}, func() { h.loop.Close(slot, poller.ReasonShutdown) }},
	} {
		said := make(chan string, 1)
		h.loop.Post(func() {
			c.spoil()
			defer c.mend()
			defer func() {
				v, _ := recover().(string)
				said <- v
			}()
			new(verifier).turn(h)
		})
		if got := <-said; !strings.Contains(got, c.what) {
			t.Errorf("panic %q, want %q", got, c.what)
		}
	}
}
