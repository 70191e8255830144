package server

import (
	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/room"
	"github.com/danmakud/danmakud/wsproto"
)

// person is who a viewer is. It is never changed: who renews its token is another
// person from then on. Any goroutine.
type person struct {
	user    string   // what the site calls it; "" = a guest
	name    string   // to be shown; may be ""
	subject string   // whom the token is for: user, unless the callback says otherwise; "" = no token
	tokenID string   // "" = the token has none
	rooms   []string // names, or beginnings of names with a * behind; nil = all
	issued  int64    // Unix seconds; 0 = the token does not say
	expires int64    // Unix seconds; 0 = never

	role     room.Role
	silent   bool // watches and does not speak
	answered bool // by --connect-url: what it said of user, name, role and rooms stays
}

// holder is one connection of somebody who is no guest. Guests have none.
type holder struct {
	slot       poller.Slot
	place      int32 // in persons.expiring; noPlace = it does not expire
	person     *person
	prev, next *holder // connections of the same user on this loop
}

// persons are the viewers of a loop who are no guests, by who they are.
// Loop goroutine only.
type persons struct {
	bySlot   map[poller.Slot]*holder
	byUser   map[string]*holder // the first of a list
	expiring expiries
}

func newPersons() persons {
	return persons{bySlot: make(map[poller.Slot]*holder), byUser: make(map[string]*holder)}
}

// set makes p the person at s, in place of whom it was.
func (ps *persons) set(s poller.Slot, p *person) {
	ps.forget(s)
	w := &holder{slot: s, place: noPlace, person: p, next: ps.byUser[p.user]}
	if w.next != nil {
		w.next.prev = w
	}
	ps.bySlot[s], ps.byUser[p.user] = w, w
	if p.expires != 0 {
		ps.expiring.add(w)
	}
}

// forget does nothing for a guest.
func (ps *persons) forget(s poller.Slot) {
	w := ps.bySlot[s]
	if w == nil {
		return
	}
	delete(ps.bySlot, s)
	ps.expiring.remove(w)
	if w.next != nil {
		w.next.prev = w.prev
	}
	switch {
	case w.prev != nil:
		w.prev.next = w.next
	case w.next != nil:
		ps.byUser[w.person.user] = w.next
	default:
		delete(ps.byUser, w.person.user)
	}
}

// person returns who is at s. All guests are the same person, who has no user: see
// publicID. Loop goroutine only.
func (h *handler) person(s poller.Slot) *person {
	if w := h.persons.bySlot[s]; w != nil {
		return w.person
	}
	return &h.rules.guest
}

// anybody reports whether nothing is known of p, as of most guests.
func (p *person) anybody() bool { return p.subject == "" && !p.answered }

// publicID returns what others know the viewer at s by: the site's name for it, or
// a guest's, such as ~7f. Loop goroutine only.
func (h *handler) publicID(s poller.Slot) string {
	if p := h.person(s); p.user != "" {
		return p.user
	}
	var buf [24]byte // so that only the string is allocated
	return string(room.AppendUID(buf[:0], h.session(s).uid))
}

// sign says on a comment who it is from.
func (h *handler) sign(s poller.Slot, c *room.Comment) {
	p := h.person(s)
	c.UID, c.User, c.Name, c.Role = h.session(s).uid, p.user, p.name, p.role
}

// maySpeak reports whether the viewer may say or like anything, and tells it if not.
func (h *handler) maySpeak(s poller.Slot, ref string) bool {
	if !h.person(s).silent {
		return true
	}
	h.refuseCommand(s, ref, refusedUnauthorized, "guests only watch here; connect with a token to speak", 0)
	return false
}

// codeToken is the close code for who has no good token any more.
const codeToken wsproto.Code = 4001

// dismiss ends a viewer whose token is not good any more: message is for people,
// word for programs.
func (h *handler) dismiss(s poller.Slot, message, word string, r poller.Reason) {
	if !h.speaksPackets(s) {
		h.replyError(s, "", refusedUnauthorized, message, 0)
	}
	h.finish(s, codeToken, word, r)
}

// maySwitch reports whether the viewer at s may go on to a room. Where the site is
// asked at connect it has been asked about the room one is in.
func (h *handler) maySwitch(s poller.Slot, name string) bool {
	p := h.person(s)
	if p.anybody() && h.config.ConnectURL != "" {
		return h.shard.RoomOf(uint32(s)).Name() == name
	}
	return p.mayEnter(name)
}

// mayEnter reports whether a room is among those that p is let into.
func (p *person) mayEnter(name string) bool {
	if p.rooms == nil {
		return true
	}
	for _, pattern := range p.rooms {
		if matchRoom(pattern, name) {
			return true
		}
	}
	return false
}

// matchRoom compares a room's name with a name, or a beginning with a * behind.
func matchRoom(pattern, name string) bool {
	if n := len(pattern) - 1; n >= 0 && pattern[n] == '*' {
		return len(name) >= n && name[:n] == pattern[:n]
	}
	return pattern == name
}
