package moderation

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/danmakud/danmakud/room"
)

// Bounds on sanctions.
const (
	sanctionsMax      = 100_000 // that are kept
	guestSanctionsMax = 20_000  // in memory
	// guestLongest ends a guest's sanction that has no end: a guest's name lives as
	// long as its connection.
	guestLongest = 24 * time.Hour
	userBytesMax = 256
	textBytesMax = 1024 // of a reason
)

// kinds of sanctions, the strictest first.
var sanctionKinds = [...]SanctionKind{Ban, Mute, ShadowBan}

// target is whom a sanction is against, and where.
type target struct {
	room    string       // "" = everywhere
	user    string       // or
	network netip.Prefix // of addresses
}

// against has the sanctions of one target by kind.
type against [len(sanctionKinds)]*Sanction

// sanctions are those in force. Reading takes a short read lock and allocates
// nothing; any goroutine.
type sanctions struct {
	count atomic.Int64 // of all; 0 spares the lock

	mu sync.RWMutex
	// Guarded by mu. A Sanction is never changed.
	targets map[target]*against
	ids     map[string]target
	lengths [2][129]int // networks of each length: of IPv4, of IPv6
	guests  int
}

func newSanctions() *sanctions {
	return &sanctions{targets: make(map[target]*against), ids: make(map[string]target)}
}

// isGuest reports whether a public id is that of somebody without a token.
func isGuest(user string) bool { return user != "" && user[0] == room.GuestMark }

// targetOf checks whom s is against, and writes its address as it will be shown.
func targetOf(s *Sanction) (target, error) {
	t := target{room: s.Room, user: s.User}
	if (s.User == "") == (s.Address == "") {
		return t, errors.New("a sanction is against a user or an address, one of them")
	}
	if s.Address == "" {
		return t, nil
	}
	network, err := netip.ParsePrefix(s.Address)
	if err != nil {
		a, err := netip.ParseAddr(s.Address)
		if err != nil || a.Zone() != "" {
			return t, fmt.Errorf("%q: an address is one such as 192.0.2.7 or 2001:db8::7, or a network such as 192.0.2.0/24", s.Address)
		}
		network = countedNetwork(a)
	}
	if network.Addr().Is4In6() {
		return t, fmt.Errorf("%q: write IPv4 addresses as IPv4", s.Address)
	}
	t.network = network.Masked()
	s.Address = t.network.String()
	if t.network.IsSingleIP() {
		s.Address = t.network.Addr().String()
	}
	return t, nil
}

// countedNetwork is what an address counts as: a provider gives whoever has an IPv6
// address at least the /64 around it.
func countedNetwork(a netip.Addr) netip.Prefix {
	a = a.Unmap()
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	network, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // of the zero Addr
	}
	return network
}

// checkSanction says what is wrong with a sanction from outside.
func checkSanction(s *Sanction, now time.Time) error {
	switch {
	case kindIndex(s.Kind) < 0:
		return fmt.Errorf("%q: a sanction is mute, ban or shadow", s.Kind)
	case s.Room != "" && !room.ValidName(s.Room):
		return fmt.Errorf("%q: a room name is 1 to 64 of A-Z a-z 0-9 _ . : -", s.Room)
	case !validText(s.User, userBytesMax):
		return fmt.Errorf("a user has at most %d bytes of UTF-8 without control characters", userBytesMax)
	case !validText(s.Reason, textBytesMax):
		return fmt.Errorf("a reason has at most %d bytes of UTF-8 without control characters", textBytesMax)
	case !s.Until.IsZero() && !s.Until.After(now):
		return fmt.Errorf("until %s is over already", s.Until.Format(time.RFC3339))
	}
	return nil
}

func validText(s string, most int) bool {
	return len(s) <= most && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

func kindIndex(k SanctionKind) int { return slices.Index(sanctionKinds[:], k) }

func over(s *Sanction, wall time.Time) bool { return !s.Until.IsZero() && !s.Until.After(wall) }

// binds reports whether s holds for somebody of a role: what a moderator decided
// holds for those below it.
func (s *Sanction) binds(role room.Role) bool { return s.ByRole == 0 || role < s.ByRole }

// find returns the strictest sanction that binds somebody, nil if there is none.
// wall is asked only if there is one.
func (t *sanctions) find(in string, who *Speaker, wall func() time.Time) *Sanction {
	if t.count.Load() == 0 {
		return nil
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	var found *Sanction
	look := func(to target) {
		entry := t.targets[to]
		if entry == nil {
			return
		}
		for i, s := range entry {
			if s != nil && s.binds(who.Role) && !over(s, wall()) && (found == nil || i < kindIndex(found.Kind)) {
				found = s
			}
		}
	}
	if who.User != "" {
		look(target{room: in, user: who.User})
		look(target{user: who.User})
	}
	if !who.Address.IsValid() {
		return found
	}
	a := who.Address.Unmap()
	for bits, n := range t.lengths[family(a)][:a.BitLen()+1] {
		if n == 0 {
			continue
		}
		if network, err := a.WithZone("").Prefix(bits); err == nil {
			look(target{room: in, network: network})
			look(target{network: network})
		}
	}
	return found
}

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// place reports whether one more has a place; replaces is what it would replace.
func (t *sanctions) place(s *Sanction, replaces *Sanction) error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	switch {
	case replaces != nil:
	case isGuest(s.User) && t.guests >= guestSanctionsMax:
		return fmt.Errorf("%w: %d sanctions against guests are in force", ErrFull, guestSanctionsMax)
	case !isGuest(s.User) && len(t.ids)-t.guests >= sanctionsMax:
		return fmt.Errorf("%w: %d sanctions are in force; lift what is not needed, or ban networks", ErrFull, sanctionsMax)
	}
	return nil
}

// of returns the sanction of a kind against a target, nil if there is none.
func (t *sanctions) of(to target, kind SanctionKind) *Sanction {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if entry := t.targets[to]; entry != nil {
		return entry[kindIndex(kind)]
	}
	return nil
}

// put has s count, in place of another of its kind against the same target.
func (t *sanctions) put(to target, s *Sanction) {
	t.mu.Lock()
	defer t.mu.Unlock()
	entry := t.targets[to]
	if entry == nil {
		entry = new(against)
		t.targets[to] = entry
		if to.user == "" {
			t.lengths[family(to.network.Addr())][to.network.Bits()]++
		}
	}
	if old := entry[kindIndex(s.Kind)]; old != nil {
		delete(t.ids, old.ID)
	} else if isGuest(s.User) {
		t.guests++
	}
	entry[kindIndex(s.Kind)] = s
	t.ids[s.ID] = to
	t.count.Store(int64(len(t.ids)))
}

// get returns a sanction by its id, nil if there is none.
func (t *sanctions) get(id string) *Sanction {
	t.mu.RLock()
	defer t.mu.RUnlock()
	to, ok := t.ids[id]
	if !ok {
		return nil
	}
	for _, s := range t.targets[to] {
		if s != nil && s.ID == id {
			return s
		}
	}
	return nil
}

// remove ends one.
func (t *sanctions) remove(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.removeLocked(id)
}

func (t *sanctions) removeLocked(id string) {
	to, ok := t.ids[id]
	if !ok {
		return
	}
	delete(t.ids, id)
	t.count.Store(int64(len(t.ids)))
	entry := t.targets[to]
	for i, s := range entry {
		if s != nil && s.ID == id {
			entry[i] = nil
		}
	}
	if isGuest(to.user) {
		t.guests--
	}
	if *entry != (against{}) {
		return
	}
	delete(t.targets, to)
	if to.user == "" {
		t.lengths[family(to.network.Addr())][to.network.Bits()]--
	}
}

// list returns those in a room or everywhere ("" = of all rooms) and against a user
// ("" = against all), the newest first.
func (t *sanctions) list(in, user string, wall time.Time) []Sanction {
	t.mu.RLock()
	list := make([]Sanction, 0, min(len(t.ids), 64))
	for _, entry := range t.targets {
		for _, s := range entry {
			if s != nil && !over(s, wall) && (in == "" || s.Room == "" || s.Room == in) && (user == "" || s.User == user) {
				list = append(list, *s)
			}
		}
	}
	t.mu.RUnlock()
	slices.SortFunc(list, func(a, b Sanction) int {
		return cmp.Or(b.At.Compare(a.At), strings.Compare(a.ID, b.ID))
	})
	return list
}

// sweep removes those that are over and returns the ids of them that were kept.
func (t *sanctions) sweep(wall time.Time) (kept []string) {
	var ids []string
	t.mu.RLock()
	for _, entry := range t.targets {
		for _, s := range entry {
			if s != nil && over(s, wall) {
				ids = append(ids, s.ID)
				if !isGuest(s.User) {
					kept = append(kept, s.ID)
				}
			}
		}
	}
	t.mu.RUnlock()
	if len(ids) == 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range ids {
		t.removeLocked(id)
	}
	return kept
}
