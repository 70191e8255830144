package server

import (
	"context"
	"testing"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/admin"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/poller"
)

// A search lets others have turns: what was posted when it had begun comes before
// its end, however long each visit takes.
func TestSearchIsNotOneLongTurn(t *testing.T) {
	s := start(t, func(c *config.Config) { c.Loops = 1 })
	const viewers = 10
	for range viewers {
		join(t, s, "r")
	}
	visited, between := 0, 0 // the loop's
	n, err := s.forAll(t.Context(), func(h *handler, _ poller.Slot) bool {
		if visited++; visited == 1 {
			h.loop.Post(func() { between = visited })
		}
		time.Sleep(2 * searchTurn)
		return true
	})
	if n != viewers || err != nil {
		t.Errorf("%d visited, error %v", n, err)
	}
	on(t, s.handlers[0], func() {
		if between == 0 || between == viewers {
			t.Errorf("what was posted during the search ran after %d of %d visits", between, viewers)
		}
	})
}

// One user may have very many connections.
func TestSearchForOneUserIsNotOneLongTurn(t *testing.T) {
	s := start(t, func(c *config.Config) { withKeys(t)(c); c.Loops = 1 })
	const viewers = 10
	for range viewers {
		as(t, s, "r", "alice", "viewer")
	}
	visited, between := 0, 0 // the loop's
	n, err := s.forUser(t.Context(), "alice", func(h *handler, _ poller.Slot) bool {
		if visited++; visited == 1 {
			h.loop.Post(func() { between = visited })
		}
		time.Sleep(2 * searchTurn)
		return true
	})
	if n != viewers || err != nil {
		t.Errorf("%d visited, error %v", n, err)
	}
	on(t, s.handlers[0], func() {
		if between == 0 || between == viewers {
			t.Errorf("what was posted during the search ran after %d of %d visits", between, viewers)
		}
	})
}

// Tokens that end at one moment are not all ended in one turn, and all are.
func TestManyTokensEndTogether(t *testing.T) {
	s := start(t, func(c *config.Config) { c.Loops = 1 })
	const viewers = 400
	var all []viewer
	for range viewers {
		all = append(all, join(t, s, "r"))
	}
	h, left := s.handlers[0], -1
	on(t, h, func() {
		end := h.loop.Wall() / 1000
		for slot := range poller.Slot(h.loop.Slots()) {
			if h.session(slot).state == stateOpen {
				h.persons.set(slot, &person{user: "alice", subject: "alice", expires: end})
			}
		}
		h.sweepTokens()
		left = len(h.persons.bySlot)
	})
	if left == 0 {
		t.Errorf("all %d were ended in one turn", viewers)
	}
	for _, v := range all {
		if code := v.expectClose(); code != 4001 {
			t.Errorf("closed with %d", code)
		}
	}
}

// Who asks has its own patience; a loop that does not answer is not waited for.
func TestSearchGivesUp(t *testing.T) {
	s := start(t, func(c *config.Config) { c.Loops = 1 })
	join(t, s, "r")
	gate := make(chan struct{})
	s.handlers[0].loop.Post(func() { <-gate })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Kick(ctx, "", "~1", "", "key"); err != admin.ErrBusy {
		t.Errorf("error %v", err)
	}
	if _, err := s.Viewers(ctx, "", "~1"); err != admin.ErrBusy {
		t.Errorf("error %v", err)
	}
	close(gate)
}

func TestViewersOfAUser(t *testing.T) {
	s := start(t, withKeys(t))
	as(t, s, "a", "alice", "vip")
	as(t, s, "b", "alice", "vip")
	guest := enter(t, s, "/ws/a")
	uid := guest.expect("welcome").UID
	for _, c := range []struct {
		room, user string
		want       int
	}{{"", "alice", 2}, {"a", "alice", 1}, {"c", "alice", 0}, {"", "bob", 0}, {"", uid, 1}, {"b", uid, 0}, {"", "~zzzzzz", 0}, {"", "~", 0}} {
		found, err := s.Viewers(t.Context(), c.room, c.user)
		if err != nil || len(found) != c.want {
			t.Errorf("%q in %q: %+v, error %v, want %d", c.user, c.room, found, err, c.want)
		}
		for _, v := range found {
			if v.User != c.user || v.Address != "127.0.0.1" || c.user == "alice" && (v.Name != "alice" || v.Role.String() != "vip") {
				t.Errorf("found %+v", v)
			}
		}
	}
}
