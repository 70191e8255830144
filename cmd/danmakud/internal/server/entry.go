package server

import (
	"errors"

	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/wsproto"
)

// refusedEntry is a refusal of our own, with what it is counted as.
type refusedEntry struct {
	wsproto.Refusal
	reason poller.Reason
}

// turnDown answers a head that becomes no WebSocket, or not yet, or not here.
func (h *handler) turnDown(s poller.Slot, head, rest []byte, err error) {
	var own *refusedEntry
	var refusal *wsproto.Refusal
	switch {
	case errors.Is(err, errMoved), errors.Is(err, errAsked):
	case errors.Is(err, wsproto.ErrNoUpgrade):
		h.handOver(s, head, rest)
	case errors.As(err, &own):
		h.refuse(s, &own.Refusal, own.reason)
	case errors.As(err, &refusal):
		h.refuse(s, refusal, refusalReason(refusal))
	default:
		h.refuse(s, &wsproto.Refusal{Status: 400, Message: err.Error()}, reasonBadRequest)
	}
}
