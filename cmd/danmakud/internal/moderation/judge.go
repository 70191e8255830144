package moderation

import (
	"hash/maphash"
	"net/netip"
	"strconv"
	"time"

	"github.com/danmakud/danmakud/room"
)

// Error codes of the protocol that verdicts have.
const (
	codeRateLimited = "rate_limited"
	codeSlowMode    = "slow_mode"
	codeMuted       = "muted"
	codeBanned      = "banned"
	codeBlockedWord = "blocked_word"
	codeDuplicate   = "duplicate"
	codeForbidden   = "forbidden"
	codeRoomClosed  = "room_closed"
	codeOverloaded  = "overloaded"
)

// What senders read.
const (
	textUserRate    = "you are sending too many comments"
	textAddressRate = "too many comments come from your network"
	textDuplicate   = "you have just said the same"
	textBlocked     = "this comment cannot be published"
	textRoomClosed  = "only moderators may speak here at the moment"
	textMinRole     = "you may not speak in this room"
	textNoReview    = "comments cannot be checked at the moment"
)

// Judge decides on a comment before it is published. Any goroutine, each with a
// Scratch of its own. set is the room's, nil = nothing is set; now is nanoseconds
// of a clock that does not go back, the same for all calls. It takes no lock for
// longer than a look into a table, and allocates nothing when the comment passes.
//
// Whoever is a moderator or more is exempt from everything but sanctions by those
// above.
func (d *Desk) Judge(sc *Scratch, in string, set *room.Settings, who *Speaker, text string, now int64) Verdict {
	v := d.judge(sc, in, set, who, text, now)
	d.verdicts[v.Action].Add(1)
	return v
}

func (d *Desk) judge(sc *Scratch, in string, set *room.Settings, who *Speaker, text string, now int64) Verdict {
	shadowed := false
	if s := d.sanctions.find(in, who, time.Now); s != nil {
		if s.Kind != ShadowBan {
			return refuseSanctioned(s)
		}
		shadowed = true
	}
	rules := d.rules.Load()
	privileged := who.Role >= room.RoleModerator
	if !privileged {
		if v := d.admit(rules, in, set, who, now); v.Action == Reject {
			return v
		}
	}
	v := Verdict{Text: text}
	if !privileged {
		d.examine(rules, sc, in, &v)
		if v.Action == Reject {
			return v
		}
		if left := d.repeated(rules, sc, who, now); left > 0 {
			return Verdict{Action: Reject, Code: codeDuplicate, Message: textDuplicate, RetryMs: milliseconds(left)}
		}
		if set != nil && set.SlowMode > 0 {
			d.slow.remember(d.key2(in, who.User), now, now+set.SlowMode*int64(time.Millisecond))
		}
		if v.Action == Pass && rules.review != nil {
			v.Action = Review
		}
	}
	if shadowed {
		v.Action = Shadow
	}
	return v
}

// admit asks whether somebody may speak now, whatever it is.
func (d *Desk) admit(rules *rules, in string, set *room.Settings, who *Speaker, now int64) Verdict {
	if set != nil {
		switch {
		case set.Closed:
			return Verdict{Action: Reject, Code: codeRoomClosed, Message: textRoomClosed}
		case who.Role < set.MinRole:
			return Verdict{Action: Reject, Code: codeForbidden, Message: textMinRole}
		}
		if set.SlowMode > 0 {
			most := set.SlowMode * int64(time.Millisecond) // it may have been longer then
			if wait := min(d.slow.left(d.key2(in, who.User), now), most); wait > 0 {
				return refuseSlow(set.SlowMode, wait)
			}
		}
	}
	if rules.user.interval > 0 {
		if wait := d.users.spend(d.key2("", who.User), rules.user, now); wait > 0 {
			return Verdict{Action: Reject, Code: codeRateLimited, Message: textUserRate, RetryMs: milliseconds(wait)}
		}
	}
	if rules.address.interval > 0 && who.Address.IsValid() {
		if wait := d.addresses.spend(d.addressKey(who.Address), rules.address, now); wait > 0 {
			return Verdict{Action: Reject, Code: codeRateLimited, Message: textAddressRate, RetryMs: milliseconds(wait)}
		}
	}
	return Verdict{}
}

// examine looks for words, and sets what becomes of the text. sc then has it folded, if
// anything asks for that.
func (d *Desk) examine(rules *rules, sc *Scratch, in string, v *Verdict) {
	words := rules.words
	if words.find == nil && rules.duplicates == 0 {
		return
	}
	sc.foldBare(v.Text)
	list := words.scan(sc, in)
	if list < 0 {
		return
	}
	v.List = words.lists[list].Name
	switch words.action[list] {
	case listReject:
		*v = Verdict{Action: Reject, Code: codeBlockedWord, Message: textBlocked, List: v.List}
	case listShadow:
		v.Action = Shadow
	case listHold:
		v.Action = Hold
	case listMask:
		v.Text = string(sc.mask(v.Text))
		if rules.duplicates > 0 {
			sc.foldBare(v.Text)
		}
		d.masked.Add(1)
	}
}

// repeated returns how long it takes until a user may say again what sc has, 0 if it
// has not said it lately. Then it has from now on.
func (d *Desk) repeated(rules *rules, sc *Scratch, who *Speaker, now int64) int64 {
	if rules.duplicates == 0 {
		return 0
	}
	id := d.key2("", who.User) ^ sc.key(d.seed)
	if left := min(d.duplicates.left(id, now), rules.duplicates); left > 0 {
		return left
	}
	d.duplicates.remember(id, now, now+rules.duplicates)
	return 0
}

// key2 is the key of a user, or of a user in a room.
func (d *Desk) key2(in, user string) uint64 {
	return maphash.Comparable(d.seed, [2]string{in, user})
}

func (d *Desk) addressKey(a netip.Addr) uint64 {
	return maphash.Comparable(d.seed, countedNetwork(a))
}

func refuseSlow(every, wait int64) Verdict {
	seconds := strconv.FormatFloat(float64(every)/1000, 'f', -1, 64)
	return Verdict{Action: Reject, Code: codeSlowMode, RetryMs: milliseconds(wait),
		Message: "slow mode: one comment every " + seconds + " s"}
}

// refuseSanctioned tells whoever is muted or banned so, and why if a reason was given.
func refuseSanctioned(s *Sanction) Verdict {
	v := Verdict{Action: Reject, Code: codeMuted, Message: "you are muted"}
	if s.Kind == Ban {
		v.Code, v.Message = codeBanned, "you are banned"
	}
	if s.Room != "" {
		v.Message += " in this room"
	}
	if !s.Until.IsZero() {
		v.RetryMs = max(1, time.Until(s.Until).Milliseconds())
		v.Message += " until " + s.Until.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	if s.Reason != "" {
		v.Message += ": " + s.Reason
	}
	return v
}

// milliseconds rounds up, so that what is tried again then succeeds.
func milliseconds(ns int64) int64 { return (ns + 999_999) / 1_000_000 }
