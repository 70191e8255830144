package main

import (
	"go/ast"
	"slices"
	"testing"
)

// wallClocks has every function of the server that looks at the wall clock. What
// waits for something must not: an operator or NTP may set that clock by hours.
// Tokens and sanctions end at a time of day, which others have set.
var wallClocks = map[string]string{
	"poller: readClock":                          "Loop.Wall, for what is shown",
	"cmd/danmakud/internal/server: say":          "the time that a comment shows",
	"cmd/danmakud/internal/server: shadow":       "the time that a comment shows",
	"cmd/danmakud/internal/server: inRoom":       "the time that a comment shows",
	"cmd/danmakud/internal/server: sealRooms":    "the time that a batch shows",
	"cmd/danmakud/internal/server: sealDue":      "the time that a batch shows",
	"cmd/danmakud/internal/server: seal":         "the time that a batch shows",
	"cmd/danmakud/internal/server: banText":      "for people",
	"cmd/danmakud/internal/server: banned":       "a ban ends at a time of day, over restarts",
	"cmd/danmakud/internal/server: order":        "likewise",
	"cmd/danmakud/internal/server: readSanction": "likewise",
	"cmd/danmakud/internal/server: stillGood":    "a token ends at a time of day, which its issuer has set",
	"cmd/danmakud/internal/server: sweepTokens":  "likewise",
	"cmd/danmakud/internal/server: revoke":       "tokens issued before are revoked, by their issuer's clock",
	"cmd/danmakud/internal/server: newServer":    "names this run, so that sequences of two runs are told apart",
	"cmd/danmakud/internal/server: Fill":         "from when on a room has all that nodes said, which know no other clock in common",
	"room: FirstID":                              "comment ids rise over restarts",
}

// wallReaders are the methods that make wall time of a time.Time, or take its
// monotonic reading away.
var wallReaders = []string{"Unix", "UnixMilli", "UnixMicro", "UnixNano", "Wall", "Round", "Truncate", "UTC", "Local", "In"}

// TestNothingWaitsByTheWallClock: a jump of the wall clock cannot end or prolong
// a wait, since only what is shown is taken from it.
func TestNothingWaitsByTheWallClock(t *testing.T) {
	looked := make(map[string]bool)
	for _, s := range sources(t) {
		if s.test || !in("poller", "wsproto", "room", "cmd/danmakud/internal/server")(s) {
			continue
		}
		for _, d := range s.syntax.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				method, ok := call.Fun.(*ast.SelectorExpr)
				if !ok || !slices.Contains(wallReaders, method.Sel.Name) {
					return true
				}
				name := s.dir + ": " + f.Name.Name
				looked[name] = true
				if wallClocks[name] == "" {
					t.Errorf("%s: %s calls %s: wall time is for showing only; if it is, add it to the table", s.path, f.Name.Name, method.Sel.Name)
				}
				return true
			})
		}
	}
	for name := range wallClocks {
		if !looked[name] {
			t.Errorf("%s does not look at the wall clock any more: take it out of the table", name)
		}
	}
}
