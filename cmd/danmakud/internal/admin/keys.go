package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
)

// Role is what the holder of a key may do; each includes those before it.
type Role uint8

// Roles, the least first. Anybody needs no key.
const (
	Anybody   Role = iota
	Reader         // sees rooms, comments and counts
	Publisher      // publishes
	Moderator      // acts on comments and people, sets rooms
	Admin          // sets the server
)

var roleNames = [...]string{"anybody", "reader", "publisher", "moderator", "admin"}

// String returns the name of the role in the key file.
func (r Role) String() string { return roleNames[r] }

// ParseRole finds the role of a key by its name.
func ParseRole(s string) (Role, error) {
	for i, name := range roleNames {
		if name == s && Role(i) != Anybody {
			return Role(i), nil
		}
	}
	return 0, fmt.Errorf("a role is reader, publisher, moderator or admin, not %q", s)
}

// Key lets somebody use the API. The key itself is not kept.
type Key struct {
	Name string // of who has it, for the audit log
	Role Role
	Sum  [sha256.Size]byte // SHA-256 of the key
}

// caller is who makes a request.
type caller struct {
	name string
	role Role
	sum  [sha256.Size]byte // of the key; zero without one
}

// local is whoever asks from this host while there are no keys.
var local = caller{name: "local", role: Admin}

// keyring has the keys in force. It is never changed: a reload makes another.
type keyring struct{ keys []Key }

// find returns whose key that is. It takes as long for every key that is wrong, and
// compares with all of them, so that the time tells nothing.
func (k *keyring) find(key string) (caller, bool) {
	sum := sha256.Sum256([]byte(key))
	found := -1
	for i := range k.keys {
		if subtle.ConstantTimeCompare(sum[:], k.keys[i].Sum[:]) == 1 {
			found = i
		}
	}
	if found < 0 {
		return caller{}, false
	}
	return caller{k.keys[found].Name, k.keys[found].Role, sum}, true
}

// holds reports whether c may still do what needs role.
func (k *keyring) holds(c caller, role Role) bool {
	if len(k.keys) == 0 {
		return c == local
	}
	for i := range k.keys {
		if subtle.ConstantTimeCompare(c.sum[:], k.keys[i].Sum[:]) == 1 {
			return k.keys[i].Role >= role
		}
	}
	return false
}
