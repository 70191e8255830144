package server

import (
	"cmp"
	"context"
	"sync"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/admin"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/moderation"
	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/wsproto"
)

// viewersMost bounds the answer of Viewers.
const viewersMost = 1000

// Viewers finds the connections of a user in a room, "" = in all; at most 1,000.
func (s *Server) Viewers(ctx context.Context, name, user string) ([]admin.Viewer, error) {
	viewers, err := s.viewersHere(ctx, name, user)
	lists, elsewhere := askNodes[[]admin.Viewer](ctx, s, askViewers, userQuestion{name, user})
	for _, l := range lists {
		viewers = append(viewers, l...)
	}
	return viewers[:min(len(viewers), viewersMost)], cmp.Or(err, elsewhere)
}

// viewersHere is Viewers of this node alone.
func (s *Server) viewersHere(ctx context.Context, name, user string) ([]admin.Viewer, error) {
	found := viewerList{}
	_, err := s.forUser(ctx, user, func(h *handler, at poller.Slot) bool {
		in := h.shard.RoomOf(uint32(at))
		if in == nil || name != "" && in.Name() != name {
			return false
		}
		who := h.person(at)
		v := admin.Viewer{User: user, Name: who.name, Role: who.role, Room: in.Name()}
		if a := h.address(at); a.IsValid() {
			v.Address = a.String()
		}
		return found.add(v)
	})
	viewers := found.take()
	if err != nil {
		return nil, admin.ErrBusy
	}
	return viewers, nil
}

// viewerList is what the loops have found. A loop that answers late adds nothing.
type viewerList struct {
	mu sync.Mutex
	// Guarded by mu.
	viewers []admin.Viewer
	closed  bool
}

func (l *viewerList) add(v admin.Viewer) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.viewers) >= viewersMost {
		return false
	}
	l.viewers = append(l.viewers, v)
	return true
}

func (l *viewerList) take() []admin.Viewer {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return l.viewers
}

// Kick closes the connections of a user in a room, "" = in all, and returns how
// many there were.
func (s *Server) Kick(ctx context.Context, name, user, reason, by string) (int, error) {
	n, err := s.kickHere(ctx, name, user, reason)
	counts, elsewhere := askNodes[int](ctx, s, askKick, kickQuestion{name, user, reason})
	for _, more := range counts {
		n += more
	}
	s.record(moderation.Event{By: by, Action: "kick", Room: name, User: user, Detail: reason})
	return n, cmp.Or(err, elsewhere)
}

// kickHere is Kick of this node alone.
func (s *Server) kickHere(ctx context.Context, name, user, reason string) (int, error) {
	return s.sendOff(ctx, name, user, func(h *handler, at poller.Slot) {
		h.finish(at, wsproto.CodePolicy, closeText("kicked", reason), reasonKicked)
	})
}
