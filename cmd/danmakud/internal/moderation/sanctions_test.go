package moderation

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/danmakud/danmakud/room"
)

func TestSanctionsAreChecked(t *testing.T) {
	d := desk(t, Options{})
	for _, c := range []struct {
		s    Sanction
		want string
	}{
		{Sanction{Kind: "kill", User: "u"}, "mute, ban or shadow"},
		{Sanction{User: "u"}, "mute, ban or shadow"},
		{Sanction{Kind: Mute}, "one of them"},
		{Sanction{Kind: Mute, User: "u", Address: "192.0.2.1"}, "one of them"},
		{Sanction{Kind: Mute, Room: "a b", User: "u"}, "room name"},
		{Sanction{Kind: Mute, User: strings.Repeat("u", userBytesMax+1)}, "256 bytes"},
		{Sanction{Kind: Mute, User: "a\nb"}, "control"},
		{Sanction{Kind: Mute, User: "a\xff"}, "UTF-8"},
		{Sanction{Kind: Mute, User: "u", Reason: strings.Repeat("x", textBytesMax+1)}, "reason"},
		{Sanction{Kind: Mute, User: "u", Until: time.Now().Add(-time.Second)}, "over already"},
		{Sanction{Kind: Ban, Address: "example.org"}, "an address is"},
		{Sanction{Kind: Ban, Address: "fe80::1%eth0"}, "an address is"},
		{Sanction{Kind: Ban, Address: "10.0.0.0/33"}, "an address is"},
		{Sanction{Kind: Ban, Address: "::ffff:10.0.0.0/104"}, "as IPv4"},
	} {
		if _, err := d.Sanction(c.s); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.s, err, c.want)
		}
	}
	if events, _ := d.Audit(10); len(events) != 0 || d.Counts().Sanctions != 0 {
		t.Errorf("refused ones left something: %v", events)
	}
	for address, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.9": "192.0.2.9", "10.1.2.3/8": "10.0.0.0/8",
		"2001:db8::1": "2001:db8::/64", "2001:db8::1/128": "2001:db8::1",
	} {
		if s, err := d.Sanction(Sanction{Kind: Ban, Address: address, By: "test"}); err != nil || s.Address != want || len(s.ID) != 16 {
			t.Errorf("%s: %+v, %v", address, s, err)
		}
	}
}

func TestBanned(t *testing.T) {
	d := desk(t, Options{})
	now := time.Now()
	until := now.Add(time.Hour)
	mustSanction(t, d, Sanction{Kind: Ban, Room: "r", User: "u", Until: until})
	mustSanction(t, d, Sanction{Kind: Ban, Address: "10.0.0.0/8", ByRole: room.RoleModerator})
	mustSanction(t, d, Sanction{Kind: Mute, User: "muted"})
	who := func(user, a string, role room.Role) *Speaker {
		s := &Speaker{User: user, Role: role}
		if a != "" {
			s.Address = netip.MustParseAddr(a)
		}
		return s
	}
	for _, c := range []struct {
		in   string
		who  *Speaker
		wall time.Time
		want bool
	}{
		{"r", who("u", "", room.RoleViewer), now, true},
		{"r", who("u", "", room.RoleViewer), until, false},
		{"other", who("u", "", room.RoleViewer), now, false},
		{"r", who("muted", "", room.RoleViewer), now, false},
		{"other", who("v", "10.2.3.4", room.RoleViewer), now, true},
		{"", who("v", "10.2.3.4", room.RoleViewer), now, true},
		{"other", who("v", "::ffff:10.2.3.4", room.RoleGuest), now, true},
		{"other", who("v", "11.2.3.4", room.RoleViewer), now, false},
		{"other", who("anchor", "10.2.3.4", room.RoleAnchor), now, false}, // above who banned
		{"other", who("mod", "10.2.3.4", room.RoleModerator), now, false},
	} {
		if s, is := d.Banned(c.in, c.who, c.wall); is != c.want || is && s.Kind != Ban {
			t.Errorf("%+v: %v %+v", c, is, s)
		}
	}
	v := say(d, "r", nil, viewer("u"), "x", 0)
	if v.Action != Reject || v.Code != codeBanned || v.RetryMs < 3590_000 || v.RetryMs > 3600_000 || !strings.Contains(v.Message, "in this room until 20") {
		t.Errorf("%+v", v)
	}
	refused(t, say(d, "r", nil, viewer("muted"), "x", 0), codeMuted, 0)
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	d := desk(t, Options{Data: dir})
	soon := time.Now().Add(time.Hour)
	over := mustSanction(t, d, Sanction{Kind: Mute, User: "u", Until: soon})
	mustSanction(t, d, Sanction{Kind: Mute, User: "~g", Until: soon})
	mustSanction(t, d, Sanction{Kind: Ban, Address: "10.0.0.0/8", Until: soon})
	mustSanction(t, d, Sanction{Kind: Mute, User: "stays"})
	d.Sweep(soon.Add(-time.Second))
	if n := d.Counts().Sanctions; n != 4 {
		t.Fatalf("%d in force before the time", n)
	}
	d.Sweep(soon)
	if n := d.Counts().Sanctions; n != 1 || d.sanctions.guests != 0 || len(d.ended) != 2 {
		t.Errorf("%d in force, %d to be removed from the store", n, len(d.ended))
	}
	if err := d.Lift(over.ID, "test"); !errors.Is(err, ErrNotFound) {
		t.Errorf("lifting what is over: %v", err)
	}
	if err := d.Record(Event{By: "test", Action: "kick"}); err != nil {
		t.Fatal(err)
	}
	all, err := readAll(d.store.db)
	if err != nil || len(all.sanctions) != 1 || len(d.ended) != 0 {
		t.Errorf("the store has %+v, %v", all.sanctions, err)
	}
}

// Guests' sanctions are in no file and have an end.
func TestGuestsAreForgotten(t *testing.T) {
	dir := t.TempDir()
	d := desk(t, Options{Data: dir})
	for _, until := range []time.Time{{}, time.Now().Add(1000 * time.Hour)} {
		s := mustSanction(t, d, Sanction{Kind: Mute, User: "~a1", Until: until})
		if s.Until.IsZero() || time.Until(s.Until) > guestLongest {
			t.Errorf("until %v", s.Until)
		}
	}
	refused2 := say(d, "r", nil, Speaker{User: "~a1"}, "x", 0)
	if refused2.Code != codeMuted {
		t.Errorf("%+v", refused2)
	}
	d = reopened(t, d, dir)
	passed(t, say(d, "r", nil, Speaker{User: "~a1"}, "x", 0))
}

func TestSanctionsAreBounded(t *testing.T) {
	d := desk(t, Options{})
	fill := func(n int, user func(i int) string) {
		for i := range n {
			s := &Sanction{ID: newID(), Kind: Mute, User: user(i)}
			d.sanctions.put(target{user: s.User}, s)
		}
	}
	fill(guestSanctionsMax, func(i int) string { return "~" + fmt.Sprint(i) })
	if _, err := d.Sanction(Sanction{Kind: Mute, User: "~more", By: "test"}); !errors.Is(err, ErrFull) {
		t.Errorf("one guest more: %v", err)
	}
	mustSanction(t, d, Sanction{Kind: Mute, User: "~5"}) // in place of another
	fill(sanctionsMax, func(i int) string { return fmt.Sprint(i) })
	if _, err := d.Sanction(Sanction{Kind: Mute, User: "more", By: "test"}); !errors.Is(err, ErrFull) {
		t.Errorf("one more: %v", err)
	}
	mustSanction(t, d, Sanction{Kind: Mute, User: "77"})
}

func TestLiftUser(t *testing.T) {
	d := desk(t, Options{})
	mustSanction(t, d, Sanction{Kind: Mute, Room: "r", User: "u", ByRole: room.RoleModerator})
	mustSanction(t, d, Sanction{Kind: ShadowBan, Room: "r", User: "u", ByRole: room.RoleAnchor})
	mustSanction(t, d, Sanction{Kind: Ban, Room: "r", User: "u"}) // of the API
	mustSanction(t, d, Sanction{Kind: Mute, User: "u", ByRole: room.RoleModerator})
	mustSanction(t, d, Sanction{Kind: Mute, Room: "r", User: "v", ByRole: room.RoleModerator})
	for _, c := range []struct {
		role         room.Role
		lifted, stay int
	}{{room.RoleModerator, 1, 2}, {room.RoleAnchor, 1, 1}, {room.RoleAdmin, 0, 1}, {0, 1, 0}, {0, 0, 0}} {
		if lifted, stay, err := d.LiftUser("r", "u", "test", c.role); err != nil || lifted != c.lifted || stay != c.stay {
			t.Errorf("role %v: %d lifted, %d stay, %v", c.role, lifted, stay, err)
		}
	}
	if list := d.Sanctions("", ""); len(list) != 2 {
		t.Errorf("left %+v", list)
	}
}

func TestSanctionsLists(t *testing.T) {
	d := desk(t, Options{})
	a := mustSanction(t, d, Sanction{Kind: Mute, Room: "a", User: "u"})
	everywhere := mustSanction(t, d, Sanction{Kind: Ban, User: "u"})
	b := mustSanction(t, d, Sanction{Kind: Mute, Room: "b", User: "v"})
	for _, c := range []struct {
		in, user string
		want     []string
	}{{"", "", []string{a.ID, everywhere.ID, b.ID}}, {"a", "", []string{a.ID, everywhere.ID}}, {"b", "u", []string{everywhere.ID}}, {"", "v", []string{b.ID}}, {"c", "v", nil}} {
		got := make(map[string]bool)
		for _, s := range d.Sanctions(c.in, c.user) {
			got[s.ID] = true
		}
		for _, id := range c.want {
			if !got[id] {
				t.Errorf("%q %q: %s is missing", c.in, c.user, id)
			}
		}
		if len(got) != len(c.want) {
			t.Errorf("%q %q: %d of them, want %d", c.in, c.user, len(got), len(c.want))
		}
	}
}

func TestFindAllocatesNothing(t *testing.T) {
	d := desk(t, Options{})
	for _, a := range []string{"10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32"} {
		mustSanction(t, d, Sanction{Kind: Mute, Room: "other", Address: a})
	}
	mustSanction(t, d, Sanction{Kind: ShadowBan, User: "u"})
	who := &Speaker{User: "u", Address: netip.MustParseAddr("10.1.2.3")}
	if n := testing.AllocsPerRun(1000, func() {
		if d.sanctions.find("r", who, time.Now) == nil {
			t.Error("not found")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzSanction: what is accepted is found by whom it is against, and is the same
// after it was written and read.
func FuzzSanction(f *testing.F) {
	dir := f.TempDir()
	d := desk(f, Options{Data: dir})
	d.store.db.NoSync = true
	f.Add("mute", "r", "u", "", "because", int64(0))
	f.Add("ban", "", "", "10.0.0.0/8", "\"<\u2028", int64(60))
	f.Add("shadow", "", "~1", "", "", int64(1e9))
	f.Add("ban", "r", "", "2001:db8::1", "", int64(-1))
	f.Add("ban", "r", "", "::/0", "", int64(7))
	f.Fuzz(func(t *testing.T, kind, in, user, address, reason string, seconds int64) {
		s := Sanction{Kind: SanctionKind(kind), Room: in, User: user, Address: address, Reason: reason, By: "fuzz"}
		if seconds != 0 {
			s.Until = time.Now().Add(time.Duration(1+uint64(seconds)%1e5) * time.Minute)
		}
		kept, err := d.Sanction(s)
		if err != nil {
			return
		}
		who := Speaker{User: user}
		if user == "" {
			network, err := netip.ParsePrefix(kept.Address)
			if err != nil {
				network = netip.PrefixFrom(netip.MustParseAddr(kept.Address), 0)
			}
			who.Address = network.Addr()
		}
		if d.sanctions.find(in, &who, time.Now) == nil {
			t.Errorf("%+v does not find %+v", kept, who)
		}
		if !isGuest(user) {
			all, err := readAll(d.store.db)
			if err != nil || len(all.sanctions) != 1 || !reflect.DeepEqual(all.sanctions[0], kept) {
				t.Errorf("the store has %+v (%v), want %+v", all.sanctions, err, kept)
			}
		}
		if err := d.Lift(kept.ID, "fuzz"); err != nil {
			t.Error(err)
		}
	})
}
