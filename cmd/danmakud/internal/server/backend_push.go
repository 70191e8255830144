package server

import (
	"context"
	"slices"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/admin"
	"github.com/danmakud/danmakud/poller"
)

// Push sends something to goim clients that want the operation, each by itself, and
// returns to how many. Any goroutine but those of the loops.
func (s *Server) Push(ctx context.Context, to admin.PushTo, op uint32, body []byte) (sent int, err error) {
	f := func(h *handler, at poller.Slot) bool { return h.push(at, op, body) }
	switch {
	case to.All:
		sent, err = s.forAll(ctx, f)
	case len(to.Keys) > 0:
		sent, err = s.search(ctx, func(h *handler, done func(int)) { done(h.visitKeys(to.Keys, f)) })
	default:
		for _, user := range to.Users {
			n, failed := s.forUser(ctx, user, f)
			sent += n
			if failed != nil {
				err = failed
			}
		}
	}
	if err != nil {
		return sent, admin.ErrBusy
	}
	return sent, nil
}

// visitKeys visits the goim clients with those keys.
func (h *handler) visitKeys(keys []string, f visit) (counted int) {
	for _, key := range keys {
		for _, s := range slices.Clone(h.pushed.byKey[key]) { // a visit may end one
			if h.session(s).state == stateOpen && h.visit(s, f) {
				counted++
			}
		}
	}
	return counted
}
