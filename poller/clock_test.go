package poller

import (
	"strings"
	"testing"
	"time"
)

// The clock that everything waits by does not follow the wall clock: both times
// it is the difference of have a monotonic reading, which Go then uses alone
// (package time, "Monotonic Clocks").
func TestClockIsMonotonic(t *testing.T) {
	for name, at := range map[string]time.Time{"process start": processStart, "now": time.Now()} {
		if !strings.Contains(at.String(), " m=") {
			t.Errorf("%s has lost its monotonic reading: %v", name, at)
		}
	}
	l := newTestLoop(t, newFake(t), nil)
	last := l.Now()
	for range 1000 {
		l.turn()
		if l.Now() < last {
			t.Fatalf("the loop's clock went from %d back to %d", last, l.Now())
		}
		last = l.Now()
	}
	if now := Now(); now < last || now-last > int64(time.Minute) {
		t.Errorf("Now is %d where the loop's clock is %d", now, last)
	}
}
