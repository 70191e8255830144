package server

import (
	"context"
	"net/netip"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/admin"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/moderation"
	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/room"
	"github.com/danmakud/danmakud/wsproto"
)

// codeBanned is the close code for who may not be here.
const codeBanned wsproto.Code = 4003

// sendOff closes the connections of a user in a room, "" = in all, and returns how
// many there were. Any goroutine but those of the loops.
func (s *Server) sendOff(ctx context.Context, name, user string, end func(h *handler, at poller.Slot)) (int, error) {
	n, err := s.forUser(ctx, user, func(h *handler, at poller.Slot) bool { return h.endIn(name, at, end) })
	if err != nil {
		return n, admin.ErrBusy
	}
	return n, nil
}

// endIn closes a viewer if it is in the room of that name, "" = in any.
func (h *handler) endIn(name string, at poller.Slot, end func(h *handler, at poller.Slot)) bool {
	in := h.shard.RoomOf(uint32(at))
	if in == nil || name != "" && in.Name() != name {
		return false
	}
	end(h, at)
	return true
}

// enforce closes whom a sanction bans, as far as they are connected: who comes
// from now on is refused. Clients whose protocol has words for it are told before.
func (s *Server) enforce(ctx context.Context, ban moderation.Sanction) error {
	told := s.tellBlocked(ctx, ban)
	if ban.Kind != moderation.Ban {
		return told
	}
	end := func(h *handler, at poller.Slot) {
		h.finish(at, codeBanned, closeText("banned", ban.Reason), reasonBanned)
	}
	if ban.User != "" {
		_, err := s.sendOff(ctx, ban.Room, ban.User, end)
		return err
	}
	network, err := parseNetwork(ban.Address)
	if err != nil {
		return err
	}
	_, err = s.forAll(ctx, func(h *handler, at poller.Slot) bool {
		return network.Contains(h.address(at).Unmap()) && h.endIn(ban.Room, at, end)
	})
	if err != nil {
		return admin.ErrBusy
	}
	return nil
}

// parseNetwork reads an address or a network.
func parseNetwork(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	return network.Masked(), err
}

// closeTextMax is what a close frame has for its reason, RFC 6455 section 5.5.
const closeTextMax = 123

// closeText is the reason in a close frame: a word, and for people what the operator said.
func closeText(word, reason string) string {
	if reason == "" {
		return word
	}
	text := word + ": " + reason
	for i := range text { // cut between characters
		if i > closeTextMax-4 {
			return text[:i]
		}
	}
	return text
}

// banned looks whether a viewer at s, who is known by that public id, is kept out of a
// room, and says so for people.
func (h *handler) banned(s poller.Slot, id string, role room.Role, name string) (text string, is bool) {
	speaker := moderation.Speaker{User: id, Role: role}
	if _, address := h.server.desk.Asks(nil); address {
		speaker.Address = h.address(s)
	}
	ban, is := h.server.desk.Banned(name, &speaker, time.UnixMilli(h.loop.Wall()))
	if !is {
		return "", false
	}
	return banText(&ban), true
}

// banText tells somebody of the ban that keeps it out.
func banText(ban *moderation.Sanction) string {
	text := "you are banned"
	if ban.Room != "" {
		text += " from this room"
	}
	if !ban.Until.IsZero() {
		text += " until " + ban.Until.UTC().Format("2006-01-02 15:04 MST")
	}
	if ban.Reason != "" {
		text += ": " + ban.Reason
	}
	return text
}

// unbanned refuses a handshake of somebody who is kept out of the room, and reports
// whether it may go on. A guest gets its name only then: it is kept out by its address
// alone.
func (h *handler) unbanned(s poller.Slot, who *person, name string) bool {
	text, is := h.banned(s, who.user, who.role, name)
	if is {
		h.server.rejected.banned.Add(1)
		h.refuse(s, &wsproto.Refusal{Status: 403, Message: text}, reasonBanned)
	}
	return !is
}
