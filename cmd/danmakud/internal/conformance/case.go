// Package conformance is a table of what a WebSocket server owes its peer, RFC
// 6455 and RFC 7692, and what runs the table. Only tests import it, so that
// nothing of it is in the binary.
//
//	Cases() ─┬─ Memory.Run ─── wsproto alone: bytes in, bytes out, cut anywhere
//	         └─ Case.Dial ──── a running server: raw sockets, until its FIN
//
// The numbers are grouped like those of the public suites: 1 framing, 2 pings, 3
// reserved bits, 4 opcodes, 5 fragmentation, 6 UTF-8, 7 closing, 9 limits, 10
// miscellaneous, 11 the opening handshake, 12 compressed messages, 13
// negotiation of compression. The client's half of the protocol in here was
// written apart from the code under test.
package conformance

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Target is a set of servers that a case is about.
type Target uint8

const (
	Echo  Target = 1 << iota // danmakud echo
	Serve                    // danmakud serve: text frames are the application's and passed over
	Both  = Echo | Serve
)

// MessageLimit is the longest message the table takes for legal, in bytes: what
// a server under test must be started with.
const MessageLimit = 1 << 20

// A Case is one conversation. The zero values of the handshake's fields are the
// smallest legal one.
type Case struct {
	Number string // "6.12.3"
	Name   string
	Rule   string // section of the RFC: "6455 5.5.1"
	On     Target // who must pass it; the run in memory counts as Echo

	Head    string   // the whole request, with "{path}" for the target, and whatever is to come right behind it
	Offer   string   // of Sec-WebSocket-Extensions; several fields are separated by a line feed
	Status  int      // of the answer; 0 = 101
	Fields  []string // "Name: value": the answer must have just that; "-Name": it must not have it
	Deflate bool     // the answer must accept permessage-deflate
	Bits    int      // with Deflate: server_max_window_bits the answer must have; 0 = none, 15

	Steps  []Step
	Chop   int  // bytes of each write; 0 = a step is one write
	Hangup bool // the client ends its side right behind the last byte, without a close frame
}

// A Step sends and then waits for all that it must call forth. The last frame of
// the last step tells how the conversation ends: after a close frame there must
// be the end of the stream and nothing else; if there was none the client closes
// with 1000 and expects the same back.
type Step struct {
	Send []byte
	Want []Frame
}

// Frame is what must come back.
type Frame struct {
	Op         byte
	Payload    []byte // of a close frame: the code; its reason is not compared
	Compressed bool
}

// window returns the size of window, in bits, that the server's compression has.
func (c *Case) window() int {
	if c.Bits == 0 {
		return 15
	}
	return c.Bits
}

// group numbers cases as prefix.1, prefix.2 …
func group(prefix, rule string, on Target, cases ...Case) []Case {
	for i := range cases {
		c := &cases[i]
		c.Number = fmt.Sprintf("%s.%d", prefix, i+1)
		if c.Rule == "" {
			c.Rule = rule
		}
		if c.On == 0 {
			c.On = on
		}
	}
	return cases
}

// Groups names the first part of each number.
var Groups = map[string]string{
	"1": "framing", "2": "pings and pongs", "3": "reserved bits", "4": "opcodes", "5": "fragmentation",
	"6": "UTF-8", "7": "closing", "9": "limits and chopped writes", "10": "miscellaneous",
	"11": "opening handshake", "12": "compressed messages", "13": "negotiation of compression",
}

// Group returns the first part of the case's number.
func (c *Case) Group() string {
	first, _, _ := strings.Cut(c.Number, ".")
	return first
}

// Cases returns the table, in the order of the numbers. It is made once and is
// not to be changed. Any goroutine.
var Cases = sync.OnceValue(func() []Case {
	return slices.Concat(
		framing(), pings(), reservedBits(), opcodes(), fragmentation(),
		text(), closing(), limits(), miscellaneous(), handshake(),
		compressed(), negotiation(),
	)
})

// Summary returns a line for each group with the number of its cases, and one
// for all.
func Summary(cases []Case) (lines []string) {
	count := make(map[string]int)
	for _, c := range cases {
		count[c.Group()]++
	}
	seen := make(map[string]bool)
	for _, c := range cases {
		if g := c.Group(); !seen[g] {
			seen[g] = true
			lines = append(lines, fmt.Sprintf("%3s %-28s %4d", g, Groups[g], count[g]))
		}
	}
	return append(lines, fmt.Sprintf("    %-28s %4d", "all", len(cases)))
}
