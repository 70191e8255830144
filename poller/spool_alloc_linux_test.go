//go:build !verify

package poller

import (
	"testing"

	"golang.org/x/sys/unix"
)

// Nor does a frame that is sent by reference allocate anything, see TestNoAllocations.
func TestSpoolNoAllocations(t *testing.T) {
	l, slot, peer := spooled(t)
	spool := mustSpool(t, 16<<20)
	frame := pattern(9_000)
	r := mustAdd(t, spool, frame)
	buf := make([]byte, 64<<10)
	if n := testing.AllocsPerRun(100, func() {
		l.WriteRegion(slot, r, frame)
		unix.Read(peer, buf)
	}); n != 0 {
		t.Errorf("%v allocations a write", n)
	}
}
