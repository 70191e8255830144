package wsproto

import (
	"bytes"
	"slices"
	"testing"
)

// TestB6HalfFramesHoldNobody: the parser never waits. However many connections
// stop in the middle of a frame, one more is served in full.
func TestB6HalfFramesHoldNobody(t *testing.T) {
	whole := viewerBytes(textStart("\u5f39"), ping("p"), last("\u5e55"))
	var stuck []*echo
	for cut := range len(whole) {
		e := &echo{limit: 4096, peek: true}
		e.feed(bytes.Clone(whole[:cut]))
		stuck = append(stuck, e)
		one := &echo{limit: 4096}
		one.feed(bytes.Clone(whole))
		if got := written(t, one.out); !slices.Equal(got, []string{"pong p", "text \u5f39\u5e55"}) {
			t.Fatalf("with %d half frames open: %q", len(stuck), got)
		}
	}
	for cut, e := range stuck { // and each of them can go on
		e.feed(bytes.Clone(whole[cut:]))
		if got := written(t, e.out); !slices.Equal(got, []string{"pong p", "text \u5f39\u5e55"}) {
			t.Fatalf("stopped after %d bytes: %q", cut, got)
		}
	}
}
