package server

import (
	"context"
	"strings"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/moderation"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/token"
	"github.com/danmakud/danmakud/poller"
)

// shareDecisions has what is decided here told to the other nodes, and puts in force
// what they decide. Before the node starts.
func (s *Server) shareDecisions() {
	// A key has the kind and the desk's key.
	key := func(r moderation.Record) string { return r.Kind + "/" + r.Key }
	for _, r := range s.desk.Share(func(r moderation.Record) { s.nodes.Decide(key(r), r.Value) }) {
		s.nodes.Have(key(r), r.Value)
	}
	s.nodes.OnState(s.applyDecision)
}

// enforceTime is how long the search for those whom a decision closes may take.
const enforceTime = 5 * time.Second

// applyDecision puts in force what another node has decided.
func (s *Server) applyDecision(key string, value []byte) {
	kind, id, _ := strings.Cut(key, "/")
	done, err := s.desk.Apply(moderation.Record{Kind: kind, Key: id, Value: value})
	if err != nil {
		s.log.Warn("not taken over from another node", "key", key, "error", err.Error())
		return
	}
	if done.Room == "" && done.Revocation == nil && s.reactor.Connections() == 0 {
		return // there is nobody to look for, as when this node starts
	}
	ctx, cancel := context.WithTimeout(context.Background(), enforceTime)
	defer cancel()
	switch {
	case done.Sanction != nil:
		err = s.enforce(ctx, *done.Sanction)
	case done.Room != "":
		s.seal(s.putInForce(done.Room, s.desk.Settings(done.Room)))
	case done.Revocation != nil:
		err = s.enforceRevocation(ctx, *done.Revocation)
	}
	if err != nil {
		s.log.Warn("in force, but not everybody was looked at", "key", key, "error", err.Error())
	}
}

// enforceRevocation refuses tokens from now on and closes their connections.
func (s *Server) enforceRevocation(ctx context.Context, r token.Revocation) error {
	if err := s.revocations.Add(r); err != nil {
		return err
	}
	_, err := s.dismissRevoked(ctx)
	return err
}

// dismissRevoked closes the connections whose tokens are revoked, and returns how many.
func (s *Server) dismissRevoked(ctx context.Context) (int, error) {
	return s.forAll(ctx, func(h *handler, at poller.Slot) bool {
		p := h.person(at)
		if p.subject == "" || !s.revoked(p) {
			return false
		}
		h.dismiss(at, token.ErrRevoked.Text, "token_revoked", reasonTokenRevoked)
		return true
	})
}
