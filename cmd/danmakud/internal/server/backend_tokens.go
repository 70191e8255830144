package server

import (
	"context"
	"errors"
	"strings"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/admin"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/moderation"
)

// Revoke refuses the token of that id, all tokens of a user issued before now, or
// both, from now on, and closes their connections, of which it returns the number.
func (s *Server) Revoke(ctx context.Context, tokenID, user, by string) (int, error) {
	if tokenID == "" && user == "" {
		return 0, errors.New("give the id of a token, a user, or both")
	}
	n, err := s.revoke(ctx, tokenID, user)
	if errors.Is(err, errSearch) {
		err = admin.ErrBusy
	}
	s.record(moderation.Event{By: by, Action: "revoke", User: user, Detail: strings.TrimSpace("token " + tokenID)})
	return n, err
}

var _ admin.Backend = (*Server)(nil)
