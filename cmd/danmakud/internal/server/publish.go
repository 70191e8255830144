package server

import (
	"errors"
	"time"

	"github.com/danmakud/danmakud/room"
)

// publish adds a comment to the room of that name, which is made if need be, and
// returns the comment's id. Any goroutine but those of the loops: they publish to
// rooms they have members of. Errors: room.ErrName, room.ErrRoomsFull, room.ErrFull.
func (s *Server) publish(name string, c *room.Comment) (id uint64, err error) {
	id, due, err := s.publishLater(name, c)
	s.seal(due)
	return id, err
}

// publishLater is publish, but the caller seals the room that is due, if any, once
// it has done what else is at hand.
func (s *Server) publishLater(name string, c *room.Comment) (id uint64, due *room.Room, err error) {
	due, err = s.inRoom(name, func(r *room.Room, now, wall int64) (sealNow bool, err error) {
		id, sealNow, err = r.Publish(c, now, wall)
		return sealNow, err
	})
	return id, due, err
}

// inRoom calls f with the room of that name, which is made if need be, and again if
// it was removed in between. The room is returned if f says that it is to be sealed
// at once.
func (s *Server) inRoom(name string, f func(r *room.Room, now, wall int64) (sealNow bool, err error)) (due *room.Room, err error) {
	for {
		now := s.now()
		r, err := s.hub.Room(name, now)
		if err != nil {
			return nil, err
		}
		sealNow, err := f(r, now, time.Now().UnixMilli())
		if errors.Is(err, room.ErrGone) {
			continue
		}
		if sealNow {
			due = r
		}
		return due, err
	}
}

// seal makes batches of what is pending in rooms, nil ones aside, and posts them.
// Any goroutine but those of the loops, which do it at the end of their turn.
func (s *Server) seal(rooms ...*room.Room) {
	now, wall := s.now(), time.Now().UnixMilli()
	var batches []*room.Batch
	for _, r := range rooms {
		if r == nil {
			continue
		}
		if b := r.Seal(now, wall); b != nil {
			batches = append(batches, b)
		}
	}
	s.post(batches, nil, now)
}
