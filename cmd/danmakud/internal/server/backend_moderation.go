package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/admin"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/moderation"
)

// Sanction puts one in force, closes whom it bans, and returns it with its id. An
// error after that says that not all connections were looked at: it is in force.
func (s *Server) Sanction(ctx context.Context, wanted moderation.Sanction) (moderation.Sanction, error) {
	sanction, err := s.desk.Sanction(wanted)
	if err != nil {
		return moderation.Sanction{}, deskError(err)
	}
	return sanction, s.enforce(ctx, sanction)
}

// Sanctions lists those in force.
func (s *Server) Sanctions(name, user string) []moderation.Sanction {
	return s.desk.Sanctions(name, user)
}

// Lift ends one.
func (s *Server) Lift(id, by string) error { return deskError(s.desk.Lift(id, by)) }

// Held lists what waits for a decision.
func (s *Server) Held(name string) []moderation.HeldComment {
	return append(s.desk.Held(name), s.heldElsewhere(name)...)
}

// Decide publishes or discards what was held. What cannot be published now waits on.
func (s *Server) Decide(id string, publish bool, by string) error {
	err := s.decideHere(id, publish, by)
	if errors.Is(err, admin.ErrNotFound) && s.nodes != nil {
		return s.decideElsewhere(id, publish, by)
	}
	return err
}

// decideHere is Decide of this node alone.
func (s *Server) decideHere(id string, publish bool, by string) error {
	held, ok := s.desk.Take(id)
	if !ok {
		return admin.ErrNotFound
	}
	action := "discard"
	if publish {
		action = "release"
		if _, err := s.publish(held.Room, &held.Comment); err != nil {
			s.desk.PutBack(held)
			return backendError(err)
		}
		s.settled.Add(1)
	}
	s.record(moderation.Event{By: by, Action: action, Room: held.Room, User: held.User, Detail: held.Text})
	return nil
}

// Words has the lists without their words.
func (s *Server) Words() []moderation.WordList { return s.desk.Words() }

// WordList returns one with its words.
func (s *Server) WordList(name string) (moderation.WordList, error) {
	l, err := s.desk.WordList(name)
	return l, deskError(err)
}

// SetWordList makes or replaces one.
func (s *Server) SetWordList(l moderation.WordList, by string) error {
	return deskError(s.desk.SetWordList(l, by))
}

// RemoveWordList removes one.
func (s *Server) RemoveWordList(name, by string) error {
	return deskError(s.desk.RemoveWordList(name, by))
}

// Audit returns the newest n events, newest first.
func (s *Server) Audit(n int) ([]moderation.Event, error) { return s.desk.Audit(n) }

// deskError is an error of moderation as the control plane knows it.
func deskError(err error) error {
	switch {
	case errors.Is(err, moderation.ErrNotFound):
		return admin.ErrNotFound
	case errors.Is(err, moderation.ErrClosed), errors.Is(err, moderation.ErrFull):
		return fmt.Errorf("%w: %w", admin.ErrBusy, err)
	}
	return err
}

// record puts down what was done, with the time. Any goroutine but those of the loops.
func (s *Server) record(e moderation.Event) {
	if err := s.desk.Record(e); err != nil {
		s.log.Error("not put down", "by", e.By, "action", e.Action, "room", e.Room, "user", e.User, "error", err)
	}
}
