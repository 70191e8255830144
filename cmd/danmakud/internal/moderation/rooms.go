package moderation

import (
	"fmt"
	"sync"

	"github.com/danmakud/danmakud/room"
)

// roomsMax bounds rooms with settings of their own.
const roomsMax = 10_000

// roomSettings are the settings of rooms that have any. Any goroutine; reading
// takes a short lock that nobody holds for long.
type roomSettings struct {
	mu sync.RWMutex
	// Guarded by mu.
	of map[string]room.Settings
}

func (r *roomSettings) get(name string) room.Settings {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.of[name]
}

// each calls f with all of them.
func (r *roomSettings) each(f func(name string, s room.Settings)) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for name, s := range r.of {
		f(name, s)
	}
}

// place reports whether a room's settings would find a place.
func (r *roomSettings) place(name string) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if _, ok := r.of[name]; !ok && len(r.of) >= roomsMax {
		return fmt.Errorf("%w: %d rooms have settings of their own", ErrFull, roomsMax)
	}
	return nil
}

func (r *roomSettings) set(name string, s room.Settings) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s == (room.Settings{}) {
		delete(r.of, name)
		return
	}
	r.of[name] = s
}

// Bounds on what a room may be set to.
const (
	slowModeMax   = 24 * 3600 * 1000 // milliseconds
	maxViewersMax = 1 << 30
	budgetMax     = 1 << 30
)

func checkSettings(name string, s *room.Settings) error {
	switch {
	case !room.ValidName(name):
		return fmt.Errorf("%q: a room name is 1 to 64 of A-Z a-z 0-9 _ . : -", name)
	case s.SlowMode < 0 || s.SlowMode > slowModeMax:
		return fmt.Errorf("slow_mode_ms %d: want 0 to %d", s.SlowMode, slowModeMax)
	case s.MinRole >= room.Roles:
		return fmt.Errorf("min_role %d: there is no such role", s.MinRole)
	case s.MaxViewers < 0 || s.MaxViewers > maxViewersMax:
		return fmt.Errorf("max_viewers %d: want 0 to %d", s.MaxViewers, maxViewersMax)
	case s.BudgetBytes < 0 || s.BudgetBytes > budgetMax:
		return fmt.Errorf("budget_bytes %d: want 0 to %d", s.BudgetBytes, budgetMax)
	case s.BudgetComments < 0 || s.BudgetComments > budgetMax:
		return fmt.Errorf("budget_comments %d: want 0 to %d", s.BudgetComments, budgetMax)
	}
	return nil
}
