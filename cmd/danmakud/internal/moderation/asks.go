package moderation

import "github.com/danmakud/danmakud/room"

// Asks reports what Judge looks at besides the text and the role, so that nobody
// finds out what is not needed: an address may cost a system call. set is the
// room's, nil = nothing is set. For Banned the answer is the same with nil. It may be
// called by loops.
func (d *Desk) Asks(set *room.Settings) (user, address bool) {
	rules := d.rules.Load()
	sanctioned := d.sanctions.count.Load() > 0
	user = sanctioned || rules.user.interval > 0 || rules.duplicates > 0 || set != nil && set.SlowMode > 0
	return user, sanctioned || rules.address.interval > 0
}
