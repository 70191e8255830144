package server

import (
	"context"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/token"
)

// revocationsMost bounds those in force: about 100 bytes each.
const revocationsMost = 100_000

// revoke takes back the token of that id, all tokens of a user issued up to now, or
// both, and closes their connections, of which it returns the number. After an error
// it is in force all the same, unless that is token.ErrRevocationsFull, and may be
// called again. Any goroutine but a loop's.
func (s *Server) revoke(ctx context.Context, tokenID, user string) (int, error) {
	now := time.Now()
	var all []token.Revocation
	if tokenID != "" {
		all = append(all, token.Revocation{ID: tokenID, At: now.Unix()})
	}
	if user != "" {
		all = append(all, token.Revocation{User: user, At: now.Unix()})
	}
	for _, r := range all {
		if life := s.settings().TokenMaxLife; life > 0 {
			r.Until = now.Add(life).Unix() + 60 // clocks differ
		}
		// In force before anybody is looked for: who comes meanwhile is refused.
		if err := s.revocations.Add(r); err != nil {
			return 0, err
		}
		if err := s.desk.KeepRevocation(r); err != nil {
			return 0, err
		}
	}
	return s.dismissRevoked(ctx)
}

// restoreRevocations puts those in force that were when the server went down.
func (s *Server) restoreRevocations() error {
	for _, r := range s.desk.Revocations() {
		if err := s.revocations.Add(r); err != nil {
			return err
		}
	}
	return nil
}

// revoked reports whether p's token is good no more, by who it was made for or by
// who the callback says that is. Any goroutine.
func (s *Server) revoked(p *person) bool {
	return s.revocations.Revoked(p.subject, p.tokenID, p.issued) ||
		p.user != p.subject && s.revocations.Revoked(p.user, "", p.issued)
}
