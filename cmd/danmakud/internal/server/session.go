package server

import "github.com/danmakud/danmakud/poller"

// state is how far a connection has come.
//
//	handshaking ──► open ──► closing ──► (free)
//	     │    │        ▲ │      ▲ close frame sent; waits for the peer's FIN
//	     │    ▼        │ │      │
//	     │  greeting ──┘ │      │ speaks packets, and has not said who it is
//	     └────┴──────────┴──────┘
type state uint8

const (
	stateFree state = iota
	stateHandshaking
	stateGreeting
	stateOpen
	stateClosing
)

// session is the protocol and application column of a slot: what is common to
// all connections. What is rare (a partial frame, a fragmented message) lives in
// the handler's side maps. Pointer-free, 40 bytes.
type session struct {
	uid      uint64
	tokens   tokens
	refilled uint32        // when tokens were last refilled, ms of the loop's clock
	deadline uint32        // when time is up for what is under way (open: for a message), in coarse seconds; 0 = nothing is
	pinged   uint32        // when the unanswered ping was sent, coarse seconds; 0 = none. Of packets: when a heartbeat came last
	reason   poller.Reason // closing: why
	state    state
	marks    marks
	strikes  uint8 // refused messages; one is forgiven a second
}

// marks are what a session has a yes or no for, so that they share a byte.
type marks uint8

const (
	markFinished   marks = 1 << iota // closing: our side of the connection is shut down
	markDeflate                      // permessage-deflate was negotiated
	markHeader                       // handshaking: a PROXY header is to come first
	markProxied                      // came with a PROXY header
	markAddressed                    // the viewer's address is in the column of addresses
	markCounted                      // has one of the places of its address
	markTurnedAway                   // closing: refused for a limit, see handler.turnAway
	markLocated                      // the head has been asked for the viewer's address, too
)

// talking reports whether the viewer may say something.
func (c *session) talking() bool { return c.state == stateOpen || c.state == stateGreeting }

func (c *session) is(m marks) bool { return c.marks&m != 0 }

// chunkSessions is the growth step of the session columns; chunks never move.
const chunkSessions = 4096

// session returns the column of slot s, which is made if need be.
func (h *handler) session(s poller.Slot) *session {
	chunk := int(s / chunkSessions)
	for chunk >= len(h.sessions) {
		h.sessions = append(h.sessions, new([chunkSessions]session))
	}
	return &h.sessions[chunk][s%chunkSessions]
}
