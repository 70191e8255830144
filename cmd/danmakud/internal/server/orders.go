package server

import (
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/moderation"
	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/room"
)

const (
	orderUserMax   = 128 // bytes of a user's name
	orderReasonMax = 512 // bytes
	// orderSecondsMax is ten years: what shall last longer has no end.
	orderSecondsMax = 10 * 365 * 24 * 3600
)

// An order is a moderation command of a viewer, for the room it is in. It is read
// on the viewer's loop and carried out by the chores, since it writes to disk or
// concerns other loops.
type order struct {
	at   poller.Handle
	ref  string
	by   string // public id
	role room.Role
	room string

	kind     string // type of the message
	user     string
	reason   string
	until    time.Time // zero = until it is lifted
	target   uint64    // comment to take back
	settings settingsChange
}

// settingsChange is what of a room's settings is to change; nil = stays.
type settingsChange struct {
	slowMode *int64
	closed   *bool
	minRole  *room.Role
}

// A readOrder reads the rest of a moderation command; why says what is wrong with it.
type readOrder func(o *order, f *fields, wall int64) (why string)

// orders are the types of moderation commands.
var orders = map[string]readOrder{
	"mute":     readSanction,
	"ban":      readSanction,
	"shadow":   readSanction,
	"lift":     readUser,
	"kick":     readKick,
	"retract":  readRetract,
	"clear":    func(*order, *fields, int64) string { return "" },
	"settings": readSettings,
}

// order runs a moderation command, which is one of orders.
func (h *handler) order(s poller.Slot, kind string, read readOrder, f *fields, ref string) {
	who := h.person(s)
	if who.role < room.RoleModerator {
		h.refuseCommand(s, ref, refusedForbidden, "only moderators and above may do this", 0)
		return
	}
	o := &order{
		at: h.loop.Handle(s), ref: ref, by: h.publicID(s), role: who.role,
		room: h.shard.RoomOf(uint32(s)).Name(), kind: kind,
	}
	why := read(o, f, h.loop.Wall())
	if f.wrong != "" {
		why = f.wrong + " has the wrong type"
	}
	if why != "" {
		h.refuseCommand(s, ref, refusedBadField, why, 0)
		return
	}
	if !h.spend(s, ref) {
		return
	}
	if !h.server.chores.do(func() { h.server.obey(o) }) {
		h.refuseCommand(s, ref, refusedOverloaded, "too many moderation commands at this moment", retryBusy)
	}
}

func readUser(o *order, f *fields, _ int64) string {
	o.user = f.text("user")
	if o.user == "" || len(o.user) > orderUserMax {
		return "user is whom it concerns, as comments have it in uid"
	}
	return ""
}

func readKick(o *order, f *fields, wall int64) string {
	if o.reason = f.text("reason"); len(o.reason) > orderReasonMax {
		return "reason has at most 512 bytes"
	}
	return readUser(o, f, wall)
}

func readSanction(o *order, f *fields, wall int64) string {
	seconds := f.integer("seconds", 0)
	if seconds < 0 || seconds > orderSecondsMax {
		return "seconds is how long it lasts, at most ten years; left out or 0 = until it is lifted"
	}
	if seconds > 0 {
		o.until = time.UnixMilli(wall).Add(time.Duration(seconds) * time.Second)
	}
	return readKick(o, f, wall)
}

func readRetract(o *order, f *fields, _ int64) string {
	var ok bool
	if o.target, ok = room.ParseID(f.text("id")); !ok {
		return "id is that of a comment"
	}
	return ""
}

func readSettings(o *order, f *fields, _ int64) string {
	if f.has("slow_mode_ms") {
		ms := f.integer("slow_mode_ms", 0)
		if ms < 0 || ms > slowModeMax {
			return "slow_mode_ms is a number from 0 to 3600000"
		}
		o.settings.slowMode = &ms
	}
	if f.has("closed") {
		closed := f.boolean("closed")
		o.settings.closed = &closed
	}
	if f.has("min_role") {
		role, ok := room.ParseRole(f.text("min_role"))
		if !ok {
			return "min_role is guest, viewer, vip, moderator, anchor or admin"
		}
		o.settings.minRole = &role
	}
	if o.settings == (settingsChange{}) {
		return "give slow_mode_ms, closed or min_role"
	}
	return ""
}

// slowModeMax is an hour, ms.
const slowModeMax = 3_600_000

// apply makes the change.
func (c *settingsChange) apply(s *room.Settings) {
	if c.slowMode != nil {
		s.SlowMode = *c.slowMode
	}
	if c.closed != nil {
		s.Closed = *c.closed
	}
	if c.minRole != nil {
		s.MinRole = *c.minRole
	}
}

// sanction is what a mute, ban or shadow asks for.
func (o *order) sanction() moderation.Sanction {
	return moderation.Sanction{
		Kind: moderation.SanctionKind(o.kind), Room: o.room, User: o.user,
		Until: o.until, Reason: o.reason, By: o.by, ByRole: o.role,
	}
}
