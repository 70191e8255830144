package server

import (
	"fmt"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/packet"
	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/wsproto"
)

// Why the server closes a connection, besides the poller's own reasons. Each has
// a counter in danmakud_closes_total.
const (
	reasonClientClose      = poller.ReasonApplication + iota // the viewer closed with a close frame
	reasonHandshakeTimeout                                   // no complete request head in time
	reasonHeadTooLarge                                       // request head beyond the cap
	reasonBadRequest                                         // no acceptable request; answered with a 4xx
	reasonRoomsFull                                          // as many rooms as allowed
	reasonRoomFull                                           // as many viewers as the room allows
	reasonBehind                                             // a loop lags too far to take anybody
	reasonAddressFull                                        // as many connections of one address as allowed
	reasonProxyHeader                                        // no PROXY protocol header, or a broken one
	reasonHTTPFull                                           // too many plain HTTP connections
	reasonBinary                                             // a binary message, which this subprotocol has not
	reasonText                                               // a text message where protobuf is spoken
	reasonAbuse                                              // too many refused messages
	reasonFloodFrames                                        // more frames than one connection may send
	reasonFloodBytes                                         // more bytes than one connection may send
	reasonFloodPings                                         // more pings than one connection may send
	reasonMessageTimeout                                     // a message was begun and not finished in time
	reasonPartialFull                                        // one unfinished head or message more than there is memory for
	reasonPongTimeout                                        // no answer to a ping
	reasonStalled                                            // has not taken a whole frame for too long
	reasonDrain                                              // the server goes down
	reasonDrainCut                                           // the server goes down, and the viewer did not take its goodbye in time
	reasonTokenExpired                                       // the viewer's token came to its end
	reasonKicked                                             // sent away by a moderator or operator
	reasonBanned                                             // may not be here
	reasonTokenRevoked                                       // the viewer's token was taken back
	reasonUnauthorized                                       // no good token; answered with a 401
	reasonForbidden                                          // not for this token, or not for guests; answered with a 403
	reasonConnectDenied                                      // the connect callback says no; answered with a 403
	reasonConnectFailed                                      // the connect callback says nothing; answered with a 503
	reasonPacketText                                         // a text message where packets are spoken
	reasonPacketAuth                                         // no auth in time
	reasonHeartbeat                                          // no heartbeat for too long
	reasonViolation                                          // wsproto.Violations()[reason-reasonViolation], then wsproto.Refusals(), then packet.Problems()
)

var reasonNames = map[poller.Reason]string{
	reasonClientClose:      "client_close",
	reasonHandshakeTimeout: "handshake_timeout",
	reasonHeadTooLarge:     "head_too_large",
	reasonBadRequest:       "bad_request",
	reasonRoomsFull:        "rooms_full",
	reasonRoomFull:         "room_full",
	reasonBehind:           "behind",
	reasonAddressFull:      "address_full",
	reasonProxyHeader:      "proxy_header",
	reasonHTTPFull:         "http_full",
	reasonBinary:           "binary",
	reasonText:             "text",
	reasonAbuse:            "abuse",
	reasonFloodFrames:      "flood_frames",
	reasonFloodBytes:       "flood_bytes",
	reasonFloodPings:       "flood_pings",
	reasonMessageTimeout:   "message_timeout",
	reasonPartialFull:      "partial_full",
	reasonPongTimeout:      "pong_timeout",
	reasonStalled:          "stalled",
	reasonDrain:            "drain",
	reasonDrainCut:         "drain_cut",
	reasonTokenExpired:     "token_expired",
	reasonKicked:           "kicked",
	reasonBanned:           "banned",
	reasonTokenRevoked:     "token_revoked",
	reasonUnauthorized:     "unauthorized",
	reasonForbidden:        "forbidden",
	reasonConnectDenied:    "connect_denied",
	reasonConnectFailed:    "connect_failed",
	reasonPacketText:       "packet_text",
	reasonPacketAuth:       "packet_auth_timeout",
	reasonHeartbeat:        "heartbeat_timeout",
}

// violationReasons numbers the violations of the protocol.
var violationReasons = func() map[*wsproto.Violation]poller.Reason {
	m := make(map[*wsproto.Violation]poller.Reason)
	for i, v := range wsproto.Violations() {
		m[v] = reasonViolation + poller.Reason(i)
		reasonNames[m[v]] = "protocol_" + v.Name
	}
	return m
}()

// refusalReasons numbers the refused handshakes, behind the violations.
var refusalReasons = func() map[*wsproto.Refusal]poller.Reason {
	m := make(map[*wsproto.Refusal]poller.Reason)
	first := reasonViolation + poller.Reason(len(violationReasons))
	for i, r := range wsproto.Refusals() {
		m[r] = first + poller.Reason(i)
		reasonNames[m[r]] = "refused_" + r.Name
	}
	return m
}()

// packetReasons numbers what is wrong with packets, behind the refused handshakes.
var packetReasons = func() map[*packet.Problem]poller.Reason {
	m := make(map[*packet.Problem]poller.Reason)
	first := reasonViolation + poller.Reason(len(violationReasons)+len(refusalReasons))
	for i, p := range packet.Problems() {
		m[p] = first + poller.Reason(i)
		reasonNames[m[p]] = p.Name
	}
	return m
}()

// refusalReason tells refusals of the protocol apart; those of our own, about
// the request's target, are one.
func refusalReason(r *wsproto.Refusal) poller.Reason {
	if reason, ok := refusalReasons[r]; ok {
		return reason
	}
	return reasonBadRequest
}

// reasonName returns the metric label of r.
func reasonName(r poller.Reason) string {
	if name, ok := reasonNames[r]; ok {
		return name
	}
	return r.String()
}

// allReasons are those a connection can end with, for registering counters.
func allReasons() []poller.Reason {
	var all []poller.Reason
	for r := poller.ReasonNone + 1; r < poller.ReasonApplication; r++ {
		if r != poller.ReasonMoved && r.String() != fmt.Sprintf("reason_%d", r) {
			all = append(all, r)
		}
	}
	last := reasonViolation + poller.Reason(len(violationReasons)+len(refusalReasons)+len(packetReasons))
	for r := reasonClientClose; r < last; r++ {
		all = append(all, r)
	}
	return all
}
