package room

import "fmt"

// Role is what somebody may do in a room; each includes those before it.
type Role uint8

// Roles, the least first.
const (
	RoleGuest     Role = iota // without a token
	RoleViewer                // with one
	RoleVIP                   // a paying member, where the site has such
	RoleModerator             // may mute, retract, clear
	RoleAnchor                // whose room it is
	RoleAdmin                 // of the site
	Roles                     // how many there are
)

var roleNames = [Roles]string{"guest", "viewer", "vip", "moderator", "anchor", "admin"}

// String returns the role's name on the wire.
func (r Role) String() string { return roleNames[r] }

// ParseRole finds a role by its name.
func ParseRole(s string) (Role, bool) {
	for i, n := range roleNames {
		if n == s {
			return Role(i), true
		}
	}
	return 0, false
}

// MarshalText is the role's name.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText takes a role's name.
func (r *Role) UnmarshalText(p []byte) error {
	role, ok := ParseRole(string(p))
	if !ok {
		return fmt.Errorf("a role is guest, viewer, vip, moderator, anchor or admin, not %q", p)
	}
	*r = role
	return nil
}
