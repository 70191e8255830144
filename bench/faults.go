package main

import (
	"fmt"
	"maps"
)

// Kinds of fault. A run with any of them has failed, whatever its numbers.
const (
	faultLost         = "lost"          // a batch or comment that was due did not come
	faultRepeated     = "repeated"      // came twice on one connection
	faultReordered    = "reordered"     // came after a later one
	faultCorrupt      = "corrupt"       // bytes that were not sent, or differ between viewers
	faultFraming      = "framing"       // the WebSocket stream cannot be followed
	faultStray        = "stray"         // belongs to another room
	faultUnknown      = "unknown"       // a message nobody expects
	faultBytes        = "bytes"         // a counted viewer's bytes are not the sum of its frames
	faultSkip         = "skip"          // a skipped notice whose numbers are wrong
	faultAccount      = "account"       // delivered + skipped is not sealed
	faultWelcome      = "welcome"       // handshake or welcome not as promised
	faultHistory      = "history"       // a comment of the history was, or is, elsewhere
	faultClosed       = "closed"        // the server ended a connection it should have kept
	faultClose        = "close"         // the closing handshake went wrong
	faultConnect      = "connect"       // a connection could not be made
	faultUnverifiable = "unverifiable"  // no verified viewer saw what would be needed to judge
	faultSender       = "sender"        // the load could not be offered as planned
	maxExamples       = 12              // faults kept in words
	maxGap            = uint64(1) << 20 // a jump beyond this is wild, not a loss to be listed
)

// faults counts what was found wrong and keeps the first few in words.
// The zero value is ready. Owned by one goroutine.
type faults struct {
	Counts   map[string]int64 `json:"counts,omitempty"`
	Examples []string         `json:"examples,omitempty"`
}

// add counts n faults of a kind; the words are only made while there is room.
func (f *faults) add(kind string, n int64, format string, args ...any) {
	if n <= 0 {
		return
	}
	if f.Counts == nil {
		f.Counts = map[string]int64{}
	}
	f.Counts[kind] += n
	if len(f.Examples) < maxExamples {
		f.Examples = append(f.Examples, kind+": "+fmt.Sprintf(format, args...))
	}
}

// total is the number of faults of all kinds.
func (f *faults) total() int64 {
	var n int64
	for k := range maps.Values(f.Counts) {
		n += k
	}
	return n
}

// merge adds the faults of another judge.
func (f *faults) merge(g faults) {
	for kind, n := range g.Counts {
		if f.Counts == nil {
			f.Counts = map[string]int64{}
		}
		f.Counts[kind] += n
	}
	f.Examples = append(f.Examples, g.Examples[:min(len(g.Examples), maxExamples-min(maxExamples, len(f.Examples)))]...)
}
