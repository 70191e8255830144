package server

import (
	"context"
	"sync/atomic"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/admin"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/moderation"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/packet"
	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/room"
)

// tellBlocked says to the Bilibili clients of a room who is kept from speaking or being
// there, each by itself, since native viewers are not told. Addresses and those of
// whom nobody is to know are not told, nor what holds for all rooms. Any goroutine but
// those of the loops.
func (s *Server) tellBlocked(ctx context.Context, sanction moderation.Sanction) error {
	known := sanction.Kind == moderation.Mute || sanction.Kind == moderation.Ban
	if !known || sanction.User == "" || sanction.Room == "" || s.hub.Find(sanction.Room) == nil {
		return nil
	}
	name, err := s.nameOf(ctx, sanction.User)
	if err != nil {
		return err
	}
	event := packet.AppendBlocked(nil, sanction.User, name, sanction.ByRole == room.RoleAnchor)
	_, err = s.forAll(ctx, func(h *handler, at poller.Slot) bool {
		in := h.shard.RoomOf(uint32(at))
		if in == nil || in.Name() != sanction.Room || !isPackets(h.shard.EncodingOf(uint32(at))) || h.dialect(at) != packet.Bilibili {
			return false
		}
		h.reply(at, event)
		return true
	})
	if err != nil {
		return admin.ErrBusy
	}
	return nil
}

// nameOf is what a user who is connected here is called, "" if nobody knows. Any
// goroutine but those of the loops.
func (s *Server) nameOf(ctx context.Context, user string) (string, error) {
	var name atomic.Pointer[string]
	_, err := s.forUser(ctx, user, func(h *handler, at poller.Slot) bool {
		if called := h.person(at).name; called != "" {
			name.Store(&called)
		}
		return true
	})
	if err != nil {
		return "", admin.ErrBusy
	}
	if called := name.Load(); called != nil {
		return *called, nil
	}
	return "", nil
}
