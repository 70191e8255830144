package room

import "strconv"

// Notices go to one viewer, as JSON of protocol section 3; Hub.AppendNotice puts them
// into other words where need be. All of them append to the caller's memory.

// Viewer is what a viewer is told about itself.
type Viewer struct {
	UID  uint64 // number of a guest; counts when User is ""
	User string
	Name string
	Role Role
}

// AppendWelcome appends what a viewer is told when it has joined.
func AppendWelcome(dst []byte, e *Entry, v *Viewer) []byte {
	dst = append(dst, `{"type":"welcome","room":"`...)
	dst = append(dst, e.Room.name...)
	dst = append(dst, `","epoch":"`...)
	dst = append(dst, e.Room.epoch...)
	dst = append(dst, `","seq":`...)
	dst = strconv.AppendUint(dst, e.Seq, 10)
	dst = append(dst, `,"tick_ms":`...)
	dst = strconv.AppendInt(dst, e.Room.Tick().Milliseconds(), 10)
	dst = append(dst, `,"online":`...)
	dst = strconv.AppendInt(dst, int64(e.Online), 10)
	dst = append(dst, `,"uid":`...)
	dst = appendPublicID(dst, v.User, v.UID)
	if v.Name != "" {
		dst = append(dst, `,"name":`...)
		dst = appendString(dst, v.Name)
	}
	if v.Role != RoleGuest {
		dst = append(dst, `,"role":"`...)
		dst = append(dst, v.Role.String()...)
		dst = append(dst, '"')
	}
	if e.Resume {
		dst = strconv.AppendBool(append(dst, `,"resumed":`...), e.Resumed)
	}
	if e.Degraded {
		dst = append(dst, `,"degraded":true`...)
	}
	if !e.Settings.seems(&open) {
		dst = appendSettings(append(dst, ','), e.Settings)
	}
	if len(e.Superchats) > 0 {
		dst = append(dst, `,"superchats":[`...)
		dst = append(append(dst, e.Superchats...), ']')
	}
	dst = append(dst, `,"history":[`...)
	dst = append(dst, e.History...)
	return append(dst, ']', '}')
}

// appendSettings appends what of a room's settings viewers need to know and is not
// as usual.
func appendSettings(dst []byte, s *Settings) []byte {
	dst = append(dst, `"settings":{`...)
	empty := len(dst)
	if s.Closed {
		dst = append(dst, `"closed":true,`...)
	}
	if s.SlowMode > 0 {
		dst = strconv.AppendInt(append(dst, `"slow_mode_ms":`...), s.SlowMode, 10)
		dst = append(dst, ',')
	}
	if s.MinRole > RoleGuest {
		dst = append(append(dst, `"min_role":"`...), s.MinRole.String()...)
		dst = append(dst, `",`...)
	}
	if len(dst) > empty {
		dst = dst[:len(dst)-1] // the comma
	}
	return append(dst, '}')
}

// appendSkipped appends the notice that batches from..to were passed over, with
// comments in them. settings are the room's if one of the batches told them, else nil.
func appendSkipped(dst []byte, from, to uint64, comments uint32, settings *Settings) []byte {
	dst = append(dst, `{"type":"skipped","from":`...)
	dst = strconv.AppendUint(dst, from, 10)
	dst = append(dst, `,"to":`...)
	dst = strconv.AppendUint(dst, to, 10)
	dst = append(dst, `,"batches":`...)
	dst = strconv.AppendUint(dst, to-from+1, 10)
	dst = append(dst, `,"comments":`...)
	dst = strconv.AppendUint(dst, uint64(comments), 10)
	if settings != nil {
		dst = appendSettings(append(dst, ','), settings)
	}
	return append(dst, '}')
}
