//go:build !verify

package poller

import (
	"testing"

	"golang.org/x/sys/unix"
)

// What a loop does for each message and each frame allocates nothing.
func TestNoAllocations(t *testing.T) {
	frame := pattern(512)
	buf := make([]byte, 1<<10)
	var slot Slot
	l := newTestLoop(t, mustKernel(t), func(h *hooks) {
		h.opened = func(s Slot) { slot = s }
		h.data = func(s Slot, p []byte) { h.l.Write(s, p) }
	})
	ours, theirs := pair(t)
	l.Adopt(ours)
	l.turn()
	h := l.Handle(slot)
	drain := func() {
		for n := 1; n > 0; {
			n, _ = unix.Read(theirs, buf)
		}
	}
	posted := 0
	f := func() { posted++ }

	for _, c := range []struct {
		name string
		run  func()
	}{
		{"Write", func() { l.Write(slot, frame); unix.Read(theirs, buf) }},
		{"Write without room", func() {
			for n := len(frame); n == len(frame); {
				n, _ = l.Write(slot, frame)
			}
		}},
		{"WantWrite", func() { drain(); l.WantWrite(slot, true); l.turn(); l.WantWrite(slot, false) }},
		{"turn that reads and writes", func() { drain(); unix.Write(theirs, frame); l.turn() }},
		{"Post", func() { l.Post(f); l.turn() }},
		{"Resolve", func() { l.Resolve(h) }},
	} {
		if n := testing.AllocsPerRun(100, c.run); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
	if posted == 0 || l.Stats().BytesRead < 100*512 || l.Stats().ShortWrites == 0 {
		t.Errorf("posted %d, %+v", posted, l.Stats())
	}
}
