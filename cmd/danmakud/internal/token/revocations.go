package token

import (
	"errors"
	"sync"
)

// Revocation takes back a token, or all tokens of a user issued up to a time. One
// of ID and User is set.
type Revocation struct {
	ID    string `json:"id,omitempty"`
	User  string `json:"user,omitempty"`
	At    int64  `json:"at"`              // Unix seconds
	Until int64  `json:"until,omitempty"` // no such token is good after it, Unix seconds; 0 = not known
}

// ErrRevocationsFull: as many revocations as are kept. None is dropped for another
// one, since that would make a revoked token good again.
var ErrRevocationsFull = errors.New("as many tokens are revoked as can be kept")

// Revocations are the tokens that are good no more. Any goroutine; loops ask.
type Revocations struct {
	// Fixed after construction.
	most int

	mu sync.RWMutex
	// Guarded by mu.
	tokens, users map[string]Revocation
}

// NewRevocations keeps at most that many.
func NewRevocations(most int) *Revocations {
	return &Revocations{most: most, tokens: make(map[string]Revocation), users: make(map[string]Revocation)}
}

// Add puts a revocation in force. A later one of a user includes the earlier.
func (r *Revocations) Add(v Revocation) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	place, key := r.tokens, v.ID
	if key == "" {
		place, key = r.users, v.User
	}
	before, found := place[key]
	if !found && len(r.tokens)+len(r.users) >= r.most {
		if r.sweep(v.At); len(r.tokens)+len(r.users) >= r.most {
			return ErrRevocationsFull
		}
	}
	if !found || v.At >= before.At {
		place[key] = v
	}
	return nil
}

// Revoked reports whether a token with those claims has been revoked. One that does
// not say when it was issued counts as old. A token of the same second is revoked,
// too: it may be the very one that was meant.
func (r *Revocations) Revoked(user, id string, issued int64) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if _, found := r.tokens[id]; found && id != "" {
		return true
	}
	v, found := r.users[user]
	return found && issued <= v.At
}

// sweep forgets those that no token can be good for any more at now, Unix seconds.
// mu must be held.
func (r *Revocations) sweep(now int64) {
	for _, place := range []map[string]Revocation{r.tokens, r.users} {
		for key, v := range place {
			if v.Until != 0 && v.Until <= now {
				delete(place, key)
			}
		}
	}
}

// Len returns how many are in force.
func (r *Revocations) Len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.tokens) + len(r.users)
}
