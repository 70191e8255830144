package server

import (
	"github.com/danmakud/danmakud/cmd/danmakud/internal/admin"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/moderation"
	"github.com/danmakud/danmakud/room"
)

// ListRooms returns up to limit rooms after that name, and how many there are.
func (s *Server) ListRooms(after string, limit int) (rooms []room.Info, total int) {
	return s.listAll(after, limit)
}

// ShowRoom returns one room.
func (s *Server) ShowRoom(name string) (room.Info, error) {
	found := s.hub.Find(name)
	if found == nil {
		return s.showElsewhere(name)
	}
	return found.Info(), nil
}

// History returns the newest n comments of a room as JSON objects separated by
// commas, at most as many as it keeps.
func (s *Server) History(name string, n int) ([]byte, error) {
	found := s.hub.Find(name)
	if found == nil || s.nodes != nil && found.Here() == 0 && s.nodes.Elsewhere(name) > 0 {
		return s.pastElsewhere(name, n)
	}
	return found.HistoryJSON(n), nil
}

// Settings returns those of a room, which need not exist at present.
func (s *Server) Settings(name string) room.Settings { return s.desk.Settings(name) }

// SetSettings replaces those of a room, for now and after a restart.
func (s *Server) SetSettings(name string, set room.Settings, by string) error {
	return s.changeSettings(name, by, func(was *room.Settings) { *was = set })
}

// changeSettings changes those of a room. Any goroutine but those of the loops.
func (s *Server) changeSettings(name, by string, change func(*room.Settings)) error {
	if !room.ValidName(name) {
		return room.ErrName
	}
	due, err := s.changedRoom(name, by, change)
	s.seal(due)
	return err
}

// changedRoom is changeSettings; the caller seals the room that is due, if any.
func (s *Server) changedRoom(name, by string, change func(*room.Settings)) (due *room.Room, err error) {
	s.settling.Lock()
	defer s.settling.Unlock()
	set := s.desk.Settings(name)
	change(&set)
	if err := s.desk.SetSettings(name, set, by); err != nil {
		return nil, deskError(err)
	}
	return s.putInForce(name, set), nil
}

// putInForce puts settings of a room in force that are kept already. One that is made from
// now on asks for them.
func (s *Server) putInForce(name string, set room.Settings) (due *room.Room) {
	if r := s.hub.Find(name); r != nil && r.SetSettings(set, s.now()) {
		return r
	}
	return nil
}

// Clear forgets a room's history and has viewers remove all they show.
func (s *Server) Clear(name, by string) error {
	if !s.anywhere(name) {
		return admin.ErrNoRoom
	}
	due, err := s.inRoom(name, func(r *room.Room, now, wall int64) (bool, error) { return r.Clear(now, wall) })
	s.seal(due)
	if err == nil {
		s.record(moderation.Event{By: by, Action: "clear", Room: name})
	}
	return backendError(err)
}
