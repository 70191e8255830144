package server

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/room"
	"github.com/gorilla/websocket"
)

func TestMatchRoom(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"lobby", "lobby", true}, {"lobby", "lobby2", false}, {"lobby", "Lobby", false}, {"lobby", "lobb", false},
		{"live:*", "live:1", true}, {"live:*", "live:", true}, {"live:*", "live", false}, {"live:*", "xlive:1", false},
		{"*", "anything", true}, {"", "x", false}, {"a*b", "a*b", true}, {"a*b", "axb", false},
	} {
		if got := matchRoom(c.pattern, c.name); got != c.want {
			t.Errorf("matchRoom(%q, %q) = %v", c.pattern, c.name, got)
		}
	}
	if p := (&person{rooms: []string{}}); p.mayEnter("a") {
		t.Error("a list of no rooms is good for a room")
	}
	if p := (&person{}); !p.mayEnter("a") {
		t.Error("no list is not good for all rooms")
	}
}

// TestPersonsAgainstModel compares the lists and the heap with plain maps over
// random comings, renewals and goings.
func TestPersonsAgainstModel(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		ps, model := newPersons(), map[poller.Slot]*person{}
		var now int64
		for range 3000 {
			s := poller.Slot(rnd.IntN(40))
			switch rnd.IntN(8) {
			case 0, 1, 2, 3:
				p := &person{user: fmt.Sprint("u", rnd.IntN(8))}
				if rnd.IntN(3) > 0 {
					p.expires = now + 1 + rnd.Int64N(50)
				}
				ps.set(s, p)
				model[s] = p
			case 4, 5, 6:
				ps.forget(s)
				delete(model, s)
			case 7:
				now += 1 + rnd.Int64N(3)
				for w := ps.expiring.due(now); w != nil; w = ps.expiring.due(now) {
					if p := model[w.slot]; p != w.person || p.expires > now {
						t.Fatalf("seed %d: %+v expires at %d, the model has %+v", seed, w.person, now, p)
					}
					ps.forget(w.slot)
					delete(model, w.slot)
				}
				for s, p := range model {
					if p.expires != 0 && p.expires <= now {
						t.Fatalf("seed %d: slot %d should have expired at %d, now is %d", seed, s, p.expires, now)
					}
				}
			}
			comparePersons(t, &ps, model)
		}
	}
}

func comparePersons(t *testing.T, ps *persons, model map[poller.Slot]*person) {
	t.Helper()
	users := map[string][]poller.Slot{}
	for s, p := range model {
		if w := ps.bySlot[s]; w == nil || w.person != p {
			t.Fatalf("slot %d: %+v, the model has %+v", s, w, p)
		}
		users[p.user] = append(users[p.user], s)
	}
	if len(ps.bySlot) != len(model) {
		t.Fatalf("%d persons, the model has %d", len(ps.bySlot), len(model))
	}
	h := handler{persons: *ps}
	for user, want := range users {
		slices.Sort(want)
		got := h.slotsOf(user)
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Fatalf("%s is at %v, the model has %v", user, got, want)
		}
	}
	if len(ps.byUser) != len(users) {
		t.Fatalf("users %v, the model has %v", slices.Collect(maps.Keys(ps.byUser)), users)
	}
}

// introduce makes who has that public id somebody else, as a token would have.
func introduce(t *testing.T, s *Server, id string, p *person) {
	t.Helper()
	n, err := s.forUser(t.Context(), id, func(h *handler, at poller.Slot) bool {
		h.persons.set(at, p)
		return true
	})
	if n != 1 || err != nil {
		t.Fatalf("%d connections of %s (%v), want 1", n, id, err)
	}
}

// guest joins a room and returns its public id besides.
func guest(t *testing.T, s *Server, name string) (viewer, string) {
	t.Helper()
	c, _, err := websocket.DefaultDialer.Dial("ws://"+s.addr()+"/ws/"+name, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	v := viewer{t, c}
	return v, v.expect("welcome").UID
}

func TestCommentsAreSigned(t *testing.T) {
	s := start(t, nil)
	v, id := guest(t, s, "r")
	introduce(t, s, id, &person{user: `al"ice`, name: "Алиса", role: room.RoleModerator})
	v.say(`{"type":"comment","text":"hello"}`)
	raw := string(v.expect("batch").Comments)
	for _, want := range []string{`"uid":"al\"ice"`, `"name":"Алиса"`, `"role":"moderator"`} {
		if !strings.Contains(raw, want) {
			t.Errorf("comment %s: no %s", raw, want)
		}
	}
}

func TestSearchFindsConnections(t *testing.T) {
	s := start(t, nil)
	var ids []string
	for i := range 6 {
		_, id := guest(t, s, fmt.Sprint("room", i)) // small rooms are spread over the loops
		ids = append(ids, id)
	}
	for _, id := range ids[:4] {
		introduce(t, s, id, &person{user: "bob"})
	}
	count := func(user string) int {
		n, err := s.forUser(t.Context(), user, func(h *handler, at poller.Slot) bool {
			if got := h.publicID(at); got != user {
				t.Errorf("looking for %s found %s", user, got)
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for user, want := range map[string]int{
		"bob": 4, ids[5]: 1, "carol": 0, "~": 0, "~0" + ids[5][1:]: 0, strings.ToUpper("~ZZ"): 0,
		ids[0]: 0, // is bob now
	} {
		if got := count(user); got != want {
			t.Errorf("%d connections of %q, want %d", got, user, want)
		}
	}
	n, err := s.forAll(t.Context(), func(h *handler, at poller.Slot) bool { return h.person(at).user == "" })
	if n != 2 || err != nil {
		t.Errorf("%d guests (%v), want 2", n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.forAll(ctx, func(*handler, poller.Slot) bool { return true }); err != nil && err != context.Canceled {
		t.Errorf("error %v for a search given up", err)
	}
}

func TestExpiredTokenIsToldAndClosed(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	v, id := guest(t, s, "r")
	other, otherID := guest(t, s, "r")
	introduce(t, s, id, &person{user: "bob", expires: time.Now().Unix()})
	introduce(t, s, otherID, &person{user: "carol", expires: time.Now().Unix() + 3600})
	if m := v.expect("error"); m.Code != "unauthorized" {
		t.Errorf("code %q, want unauthorized", m.Code)
	}
	if code := v.expectClose(); code != 4001 {
		t.Errorf("closed with %d, want 4001", code)
	}
	other.say(`{"type":"ping"}`)
	other.expect("pong")
	eventually(t, s, `danmakud_closes_total{reason="token_expired"} 1`)
}

func TestGuestsWatch(t *testing.T) {
	s := start(t, func(c *config.Config) { c.Guests = config.GuestsWatch })
	v, id := guest(t, s, "r")
	for _, text := range []string{`{"type":"comment","text":"a","ref":"1"}`, `{"type":"like","ref":"1"}`} {
		v.say("%s", text)
		if m := v.expect("error"); m.Code != "unauthorized" || m.Ref != "1" {
			t.Errorf("%s answered with %+v", text, m)
		}
	}
	introduce(t, s, id, &person{user: "bob"})
	v.say(`{"type":"comment","text":"a","ref":"2"}`)
	v.expect("ack")
}

func TestGuestsNone(t *testing.T) {
	s := start(t, func(c *config.Config) { c.Guests = config.GuestsNone })
	_, r, err := websocket.DefaultDialer.Dial("ws://"+s.addr()+"/ws/r", nil)
	if err == nil || r == nil || r.StatusCode != http.StatusForbidden {
		t.Errorf("guest got %v, %v, want 403", r, err)
	}
}

func TestSwitchKeepsToTheRoomsOfTheToken(t *testing.T) {
	s := start(t, nil)
	v, id := guest(t, s, "live:1")
	introduce(t, s, id, &person{user: "bob", rooms: []string{"live:*"}})
	v.say(`{"type":"switch","room":"other","ref":"1"}`)
	if m := v.expect("error"); m.Code != "forbidden" || m.Ref != "1" {
		t.Errorf("got %+v, want forbidden", m)
	}
	v.say(`{"type":"switch","room":"live:2"}`)
	if m := v.expect("welcome"); m.Room != "live:2" || m.UID != "bob" {
		t.Errorf("welcome %+v", m)
	}
}

// BenchmarkTokenHolder tells what a viewer with a token costs more than a guest.
func BenchmarkTokenHolder(b *testing.B) {
	heap := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	ps, before := newPersons(), heap()
	for i := range b.N {
		ps.set(poller.Slot(i), &person{
			user: fmt.Sprintf("user-%08d", i), name: strings.Clone("小明的名字"), role: room.RoleVIP, subject: fmt.Sprintf("user-%08d", i),
			tokenID: fmt.Sprintf("%016x", i), rooms: []string{strings.Clone("live:*")}, issued: 1, expires: int64(1 + i),
		})
	}
	b.ReportMetric((heap()-before)/float64(b.N), "heap-B/holder")
	runtime.KeepAlive(ps)
}
