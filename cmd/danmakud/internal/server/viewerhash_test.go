package server

import (
	"fmt"
	"testing"

	"github.com/danmakud/danmakud/room"
)

func TestViewerHash(t *testing.T) {
	a, b := &Server{guestSeed: 1}, &Server{guestSeed: 2}
	user, guest := &person{user: "alice"}, &person{}
	at, fleeting := a.viewerHash(user, 7)
	if again, _ := b.viewerHash(user, 8); again != at || fleeting {
		t.Errorf("a user is %x on one node and %x on another, fleeting: %v", at, again, fleeting)
	}
	seen := map[uint64]string{at: "alice"}
	for _, s := range []*Server{a, b} {
		for uid := range uint64(100) {
			who, fleeting := s.viewerHash(guest, uid)
			if seen[who] != "" || who == 0 || !fleeting {
				t.Fatalf("guest %d of node %d is %x, as %s; fleeting: %v", uid, s.guestSeed, who, seen[who], fleeting)
			}
			seen[who] = fmt.Sprint("guest ", uid, " of node ", s.guestSeed)
		}
	}
	if n := testing.AllocsPerRun(100, func() { a.viewerHash(user, 1); a.viewerHash(guest, 2) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Who switches rooms and comes back is no other viewer, whatever it speaks; Bilibili's
// clients are told how many there were.
func TestWatched(t *testing.T) {
	s := start(t, withPackets)
	v := join(t, s, "1000")
	for _, name := range []string{"other", "1000", "other"} {
		v.say(`{"type":"switch","room":%q}`, name)
		v.until("welcome")
	}
	join(t, s, "1000")
	c := dialSub(t, s)
	c.send(7, `{"uid":0,"roomid":1000,"protover":0}`)
	c.expect(8)
	if _, err := s.publish("1000", &room.Comment{User: "1", Text: "x", Color: room.ColorDefault}); err != nil {
		t.Fatal(err)
	}
	data, _ := c.event("WATCHED_CHANGE")["data"].(map[string]any)
	if fmt.Sprint(data["num"]) != "3" {
		t.Errorf("%v", data)
	}
	for name, want := range map[string]uint64{"1000": 3, "other": 1} {
		if info, err := s.ShowRoom(name); err != nil || info.Watched != want {
			t.Errorf("%s: %+v, %v", name, info, err)
		}
	}
}
