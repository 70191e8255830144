package server

import (
	"errors"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/admin"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/moderation"
	"github.com/danmakud/danmakud/room"
)

// Publish adds comments to rooms, which are made if need be; rooms nil = to all
// there are. After an error those that are returned were published.
func (s *Server) Publish(rooms []string, comments []room.Comment, by string) ([]admin.Published, error) {
	if rooms == nil {
		rooms = s.roomNames()
	}
	var published []admin.Published
	var due []*room.Room
	defer func() { s.seal(due...) }()
	for _, name := range rooms {
		for i := range comments {
			id, dueNow, err := s.publishLater(name, &comments[i])
			if err != nil {
				return published, backendError(err)
			}
			s.injected.Add(1)
			published = append(published, admin.Published{Room: name, ID: string(room.AppendID(nil, id))})
			if dueNow != nil {
				due = append(due, dueNow)
			}
		}
		if len(due) >= postMost {
			s.seal(due...)
			due = due[:0]
		}
	}
	return published, nil
}

// Retract takes a comment back. Viewers are told even if it is out of reach, which
// the error says.
func (s *Server) Retract(name, id, by string) error {
	target, ok := room.ParseID(id)
	if !ok {
		return admin.ErrNoComment
	}
	if !s.anywhere(name) {
		return admin.ErrNoRoom
	}
	found := false
	due, err := s.inRoom(name, func(r *room.Room, now, wall int64) (sealNow bool, err error) {
		found, sealNow, err = r.Retract(target, now, wall)
		return sealNow, err
	})
	s.seal(due)
	if err != nil {
		return backendError(err)
	}
	s.record(moderation.Event{By: by, Action: "retract", Room: name, Detail: id})
	if !found {
		return admin.ErrNoComment
	}
	return nil
}

// backendError is err as the control plane knows it.
func backendError(err error) error {
	if errors.Is(err, room.ErrFull) || errors.Is(err, room.ErrRoomsFull) {
		return admin.ErrBusy
	}
	return err
}
