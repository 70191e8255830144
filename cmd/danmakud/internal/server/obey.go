package server

import (
	"context"
	"errors"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/admin"
	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/room"
	"github.com/valyala/fastjson"
)

// obey carries an order out and answers it. It is an errand.
func (s *Server) obey(o *order) {
	err := s.carryOut(o)
	if err == nil {
		s.acknowledge(o.at, o.ref, 0)
		return
	}
	code, message, retry := refusedBadField, err.Error(), int64(0)
	switch {
	case errors.Is(err, errForbidden):
		code = refusedForbidden
	case errors.Is(err, admin.ErrBusy):
		code, retry = refusedOverloaded, retryBusy
	}
	s.tell(o.at, func(h *handler, slot poller.Slot) { h.refuseCommand(slot, o.ref, code, message, retry) })
}

// orderPatience is how long the loops may take to find whom an order concerns.
const orderPatience = 10 * time.Second

// errForbidden: whoever is concerned has a role that is not below one's own.
var errForbidden = errors.New("not for you to decide: whoever it concerns, or decided it, is not below you")

func (s *Server) carryOut(o *order) error {
	ctx, cancel := context.WithTimeout(context.Background(), orderPatience)
	defer cancel()
	if o.user != "" {
		if err := s.mayActOn(ctx, o); err != nil {
			return err
		}
	}
	switch o.kind {
	case "mute", "ban", "shadow":
		_, err := s.Sanction(ctx, o.sanction())
		return err
	case "lift":
		return s.liftAll(o)
	case "kick":
		n, err := s.Kick(ctx, o.room, o.user, o.reason, o.by)
		if err == nil && n == 0 {
			return admin.ErrNoViewer
		}
		return err
	case "retract":
		return s.retractAs(o)
	case "clear":
		return s.Clear(o.room, o.by)
	case "settings":
		return s.changeSettings(o.room, o.by, o.settings.apply)
	}
	panic("server: an order without a meaning: " + o.kind)
}

// mayActOn says whether the user concerned is below whoever gives the order, as far
// as that user is connected. Guests are below everybody, but by the word of the site.
func (s *Server) mayActOn(ctx context.Context, o *order) error {
	if o.user[0] == room.GuestMark && s.settings().ConnectURL == "" {
		return nil
	}
	above, err := s.forUser(ctx, o.user, func(h *handler, at poller.Slot) bool {
		return h.person(at).role >= o.role
	})
	if err != nil {
		return admin.ErrBusy
	}
	if above > 0 {
		return errForbidden
	}
	return nil
}

// liftAll ends what is in force against a user in the room of the order.
func (s *Server) liftAll(o *order) error {
	lifted, stay, err := s.desk.LiftUser(o.room, o.user, o.by, o.role)
	switch {
	case err != nil:
		return deskError(err)
	case stay > 0:
		return errForbidden
	case lifted == 0:
		return errors.New("nothing is in force against that user in this room")
	}
	return nil
}

// retractAs takes a comment back, unless the history knows it for one of somebody
// who is not below whoever asks.
func (s *Server) retractAs(o *order) error {
	id := string(room.AppendID(nil, o.target))
	if author, role, ok := s.authorOf(o.room, id); ok && role >= o.role && author != o.by {
		return errForbidden
	}
	err := s.Retract(o.room, id, o.by)
	if errors.Is(err, admin.ErrNoComment) {
		return nil // viewers are told all the same, who may show it still
	}
	return err
}

// authorOf finds who a comment is from in the history of a room.
func (s *Server) authorOf(name, id string) (author string, role room.Role, ok bool) {
	found := s.hub.Find(name)
	if found == nil {
		return "", 0, false
	}
	history := append(append([]byte{'['}, found.HistoryJSON(s.settings().History)...), ']')
	all, err := fastjson.ParseBytes(history)
	if err != nil {
		return "", 0, false
	}
	for _, c := range all.GetArray() {
		if string(c.GetStringBytes("id")) != id {
			continue
		}
		role, _ = room.ParseRole(string(c.GetStringBytes("role"))) // left out for guests and viewers
		return string(c.GetStringBytes("uid")), role, true
	}
	return "", 0, false
}
