package room

// Settings are what operators and moderators set for one room. The zero value is
// a room for everybody.
type Settings struct {
	// Closed: only moderators and above may speak.
	Closed bool `json:"closed"`
	// SlowMode is the least time between two comments of one viewer, milliseconds;
	// moderators are exempt.
	SlowMode int64 `json:"slow_mode_ms"`
	// MinRole is who may speak: viewer keeps guests out, vip is members only.
	MinRole Role `json:"min_role"`
	// MaxViewers bounds the room's members; 0 = no bound.
	MaxViewers int `json:"max_viewers"`
	// BudgetBytes and BudgetComments bound one batch, see Config; 0 = the hub's.
	BudgetBytes    int `json:"budget_bytes"`
	BudgetComments int `json:"budget_comments"`
}

// open are the settings of most rooms: nobody has set any.
var open Settings

// settingsOf returns s on the heap, or what all such share.
func settingsOf(s Settings) *Settings {
	if s == open {
		return &open
	}
	return &s
}

// seems reports whether s and other are the same to viewers.
func (s *Settings) seems(other *Settings) bool {
	return s.Closed == other.Closed && s.SlowMode == other.SlowMode && s.MinRole == other.MinRole
}

// SetSettings puts others in force. The next batch tells them to members, if they
// differ in what viewers need to know. sealNow is as in Publish.
func (r *Room) SetSettings(s Settings, now int64) (sealNow bool) {
	r.mu.Lock()
	before := r.settings.Swap(settingsOf(s))
	if r.gone || s.seems(before) {
		r.mu.Unlock()
		return false
	}
	r.untold = true
	return r.dirtyLocked(now, speech{})
}
