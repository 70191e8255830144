package moderation

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/danmakud/danmakud/room"
)

// This file has what operators and moderators change. Each change is in the store
// before it counts, in one transaction with its line of the audit log.

// commit makes a change last and notes its event. With d.mu.
func (d *Desk) commit(c change, e Event) error {
	e.At = time.Now().Truncate(time.Millisecond).UTC()
	c.events = append(c.events, e)
	put, remove := slices.Concat(c.put, c.guests), c.remove // those that are over are over everywhere
	for _, id := range d.ended {
		c.remove = append(c.remove, record{bucket: bucketSanctions, key: id})
	}
	if err := d.store.write(c); err != nil {
		return err
	}
	d.ended = d.ended[:0]
	d.audit.add(e)
	d.tell(put, remove)
	return nil
}

// Sanction puts one in force, in place of another of its kind against the same user
// or address in the same room, and returns it with its id. Those against guests end
// with the process, and after a day at the latest. An IPv6 address becomes its /64.
func (d *Desk) Sanction(s Sanction) (Sanction, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s.At = time.Now().Truncate(time.Millisecond).UTC()
	if err := checkSanction(&s, s.At); err != nil {
		return s, err
	}
	to, err := targetOf(&s)
	if err != nil {
		return s, err
	}
	if latest := s.At.Add(guestLongest); isGuest(s.User) && (s.Until.IsZero() || s.Until.After(latest)) {
		s.Until = latest
	}
	if !s.Until.IsZero() {
		s.Until = s.Until.UTC()
	}
	old := d.sanctions.of(to, s.Kind)
	if err := d.sanctions.place(&s, old); err != nil {
		return s, err
	}
	s.ID = newID()
	var c change
	if isGuest(s.User) {
		c.guests = []record{{bucketSanctions, s.ID, &s}}
	} else {
		c.put = []record{{bucketSanctions, s.ID, &s}}
		if old != nil {
			c.remove = []record{{bucket: bucketSanctions, key: old.ID}}
		}
	}
	if err := d.commit(c, sanctionEvent(string(s.Kind), &s, s.By)); err != nil {
		return s, err
	}
	kept := s
	d.sanctions.put(to, &kept)
	return s, nil
}

func sanctionEvent(action string, s *Sanction, by string) Event {
	var detail []string
	if s.Address != "" {
		detail = append(detail, s.Address)
	}
	if action == eventLift {
		detail = append(detail, string(s.Kind))
	} else if !s.Until.IsZero() {
		detail = append(detail, "until "+s.Until.UTC().Format(time.RFC3339))
	}
	if s.Reason != "" {
		detail = append(detail, s.Reason)
	}
	return Event{By: by, Action: action, Room: s.Room, User: s.User, Detail: strings.Join(detail, ", ")}
}

// Actions of events that the desk records itself; those of sanctions are their kinds.
const (
	eventLift     = "lift"
	eventSettings = "settings"
	eventWords    = "words"
)

// Sanctions lists those in force that concern a room ("" = any) and a user ("" =
// any), the newest first.
func (d *Desk) Sanctions(in, user string) []Sanction { return d.sanctions.list(in, user, time.Now()) }

// Lift ends a sanction; ErrNotFound.
func (d *Desk) Lift(id, by string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.liftLocked(id, by)
}

func (d *Desk) liftLocked(id, by string) error {
	s := d.sanctions.get(id)
	if s == nil || over(s, time.Now()) {
		return ErrNotFound
	}
	c := change{remove: []record{{bucket: bucketSanctions, key: id}}}
	if err := d.commit(c, sanctionEvent(eventLift, s, by)); err != nil {
		return err
	}
	d.sanctions.remove(id)
	return nil
}

// LiftUser ends the sanctions against a user that are for this room alone, as far
// as somebody of that role may: those of the API (role 0) are above all. It returns
// how many it ended and how many stay.
func (d *Desk) LiftUser(in, user, by string, role room.Role) (lifted, stay int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, kind := range sanctionKinds {
		s := d.sanctions.of(target{room: in, user: user}, kind)
		if s == nil || over(s, time.Now()) {
			continue
		}
		if role != 0 && (s.ByRole == 0 || s.ByRole > role) {
			stay++
			continue
		}
		if err := d.liftLocked(s.ID, by); err != nil {
			return lifted, stay, err
		}
		lifted++
	}
	return lifted, stay, nil
}

// Settings returns a room's; the zero value if none were set. It may be called by
// loops and with locks held.
func (d *Desk) Settings(in string) room.Settings { return d.rooms.get(in) }

// SetSettings replaces them.
func (d *Desk) SetSettings(in string, s room.Settings, by string) error {
	if err := checkSettings(in, &s); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	c := change{remove: []record{{bucket: bucketRooms, key: in}}}
	if s != (room.Settings{}) {
		if err := d.rooms.place(in); err != nil {
			return err
		}
		c = change{put: []record{{bucketRooms, in, s}}}
	}
	if err := d.commit(c, Event{By: by, Action: eventSettings, Room: in, Detail: describeSettings(&s)}); err != nil {
		return err
	}
	d.rooms.set(in, s)
	return nil
}

func describeSettings(s *room.Settings) string {
	if *s == (room.Settings{}) {
		return "default"
	}
	var list []string
	note := func(name string, n int) {
		if n != 0 {
			list = append(list, fmt.Sprintf("%s %d", name, n))
		}
	}
	if s.Closed {
		list = append(list, "closed")
	}
	note("slow_mode_ms", int(s.SlowMode))
	if s.MinRole > 0 {
		list = append(list, "min_role "+s.MinRole.String())
	}
	note("max_viewers", s.MaxViewers)
	note("budget_bytes", s.BudgetBytes)
	note("budget_comments", s.BudgetComments)
	return strings.Join(list, ", ")
}

// Words returns the lists in force without their words, by name.
func (d *Desk) Words() []WordList { return slices.Clone(d.rules.Load().words.lists) }

// WordList returns one with its words; ErrNotFound.
func (d *Desk) WordList(name string) (WordList, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range slices.Concat(d.fileLists, d.apiLists) {
		if l.Name == name {
			l.Count = len(l.Words)
			l.Words, l.Rooms = slices.Clone(l.Words), slices.Clone(l.Rooms)
			return l, nil
		}
	}
	return WordList{}, ErrNotFound
}

// SetWordList puts a list in force, in place of the one of its name unless that is
// a file's. It takes as long as compiling all words does.
func (d *Desk) SetWordList(l WordList, by string) error {
	if err := checkList(&l); err != nil {
		return err
	}
	l.File, l.Count = "", 0
	l.Words, l.Rooms = slices.Clone(l.Words), slices.Clone(l.Rooms)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.notOfFile(l.Name); err != nil {
		return err
	}
	lists := append(d.withoutList(l.Name), l)
	return d.setLists(lists, change{put: []record{{bucketWords, l.Name, &l}}},
		Event{By: by, Action: eventWords, Detail: fmt.Sprintf("list %s: %s, %d words", l.Name, l.Action, len(l.Words))})
}

// RemoveWordList ends one that was set by SetWordList; ErrNotFound.
func (d *Desk) RemoveWordList(name, by string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.notOfFile(name); err != nil {
		return err
	}
	lists := d.withoutList(name)
	if len(lists) == len(d.apiLists) {
		return ErrNotFound
	}
	return d.setLists(lists, change{remove: []record{{bucket: bucketWords, key: name}}},
		Event{By: by, Action: eventWords, Detail: "list " + name + ": removed"})
}

func (d *Desk) withoutList(name string) []WordList {
	return slices.DeleteFunc(slices.Clone(d.apiLists), func(o WordList) bool { return o.Name == name })
}

func (d *Desk) notOfFile(name string) error {
	for _, l := range d.fileLists {
		if l.Name == name {
			return fmt.Errorf("the list %q is the file %s; change it there and reload", name, l.File)
		}
	}
	return nil
}

// setLists puts other lists of the API in force. With d.mu.
func (d *Desk) setLists(lists []WordList, c change, e Event) error {
	words, err := compile(d.fileLists, lists)
	if err != nil {
		return err
	}
	if err := d.commit(c, e); err != nil {
		return err
	}
	d.apiLists = lists
	next := *d.rules.Load()
	next.words = words
	d.rules.Store(&next)
	return nil
}

// Hold keeps a comment until a moderator decides, and returns the id it got.
// ErrHeldFull if there are too many: its sender is refused then. It may be called
// by loops.
func (d *Desk) Hold(c HeldComment) (string, error) {
	if c.At.IsZero() {
		c.At = time.Now()
	}
	return d.held.hold(c)
}

// Held lists what waits in a room, "" = in all, the oldest first.
func (d *Desk) Held(in string) []HeldComment { return d.held.list(in) }

// Take removes a comment from those that wait, for whoever decides on it; that is
// to be recorded by the caller. false if it was decided on, or nobody did for an hour.
func (d *Desk) Take(id string) (HeldComment, bool) { return d.held.take(id) }

// PutBack has a comment that was taken wait again, as it did before: what was decided
// could not be done.
func (d *Desk) PutBack(c HeldComment) { d.held.putBack(c) }

// Record notes an event in the audit log. Sanctions, settings and word lists are
// recorded by the methods that change them; this is for everything else.
func (d *Desk) Record(e Event) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.commit(change{}, e)
}

// Audit returns the newest n events, newest first.
func (d *Desk) Audit(n int) ([]Event, error) { return d.audit.newest(n), nil }
