package server

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
)

// reviewing runs a webhook that answers with what follows "do " in the text, and
// returns what has a server ask it. gate, if given, holds the answers back.
func reviewing(t *testing.T, gate <-chan struct{}) func(c *config.Config) {
	t.Helper()
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var question struct{ Text string }
		if err := json.NewDecoder(r.Body).Decode(&question); err != nil {
			t.Error(err)
		}
		if gate != nil {
			select {
			case <-gate:
			case <-r.Context().Done():
				return
			}
		}
		_, action, _ := strings.Cut(question.Text, "do ")
		json.NewEncoder(w).Encode(map[string]string{"action": action, "text": "nicer", "message": "not so"})
	}))
	t.Cleanup(hook.Close)
	return func(c *config.Config) { c.ReviewURL, c.ReviewTimeout, c.CommentRate = hook.URL, time.Minute, 0 }
}

func TestReviewsAnswers(t *testing.T) {
	t.Parallel()
	s := start(t, reviewing(t, nil))
	v, other := join(t, s, "r"), join(t, s, "r")
	ask := func(action string) message {
		t.Helper()
		return v.asks(`{"type":"comment","text":"do %s","ref":"c"}`, action)
	}
	if ask("pass").accepted(t).ID == "" {
		t.Error("published without an id")
	}
	if got := other.until("batch").texts(t); !slices.Equal(got, []string{"do pass"}) {
		t.Errorf("published %q", got)
	}
	m := ask("reject")
	m.refusedAs(t, "blocked_word")
	ask("mask").accepted(t)
	if got := other.until("batch").texts(t); !slices.Equal(got, []string{"nicer"}) {
		t.Errorf("published %q", got)
	}
	if ask("hold").accepted(t).ID != "" || len(s.Held("r")) != 1 {
		t.Errorf("held %+v", s.Held("r"))
	}
	if ask("shadow").accepted(t).ID == "" {
		t.Error("a shadowed comment has no id")
	}
	ask("pass").accepted(t)
	if got := other.until("batch").texts(t); !slices.Equal(got, []string{"do pass"}) {
		t.Errorf("after a shadowed comment others saw %q", got)
	}
	ask("dance").accepted(t) // no answer that can be used: open by default
	eventually(t, s, `danmakud_reviews_total{answer="failed"} 1`)
}

// Who has left does not take its comment along.
func TestReviewOutlivesItsSender(t *testing.T) {
	gate := make(chan struct{})
	s := start(t, reviewing(t, gate))
	v, other := join(t, s, "r"), join(t, s, "r")
	v.say(`{"type":"comment","text":"do pass","ref":"c"}`)
	other.say(`{"type":"ping"}`)
	other.until("pong")
	await(t, "it is under review", func() bool {
		return strings.Contains(scrape(t, s), `danmakud_comments_judged_total{verdict="review"} 1`)
	})
	v.Close()
	await(t, "it has left", func() bool { return s.Stats().Members == 1 })
	close(gate)
	for {
		if m := other.until("batch"); len(m.Comments) > 2 {
			if got := m.texts(t); !slices.Equal(got, []string{"do pass"}) {
				t.Errorf("published %q", got)
			}
			return
		}
	}
}

// Who has gone on to another room is not shown there what it said in the one before.
func TestReviewShadowsInTheRoomOfTheComment(t *testing.T) {
	gate := make(chan struct{})
	s := start(t, reviewing(t, gate))
	v := join(t, s, "r")
	v.say(`{"type":"comment","text":"do shadow","ref":"c"}`)
	v.say(`{"type":"switch","room":"other"}`)
	v.until("welcome")
	close(gate)
	for {
		switch m := v.next(); m.Type {
		case "ack":
			if m.ID == "" {
				t.Error("no id")
			}
			return
		case "batch":
			if got := m.texts(t); len(got) > 0 {
				t.Errorf("saw %q in %s", got, m.Room)
			}
		}
	}
}

// The time in the queue is part of the time that a review has.
func TestReviewWaitedTooLong(t *testing.T) {
	asked := make(chan struct{}, 1)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		w.Write([]byte(`{"action":"reject"}`))
	}))
	t.Cleanup(hook.Close)
	s := start(t, func(c *config.Config) { c.ReviewURL, c.ReviewTimeout = hook.URL, 20*time.Millisecond })
	v := join(t, s, "r")
	gate := make(chan struct{})
	for range reviewsAtOnce { // all are at work
		s.reviews.do(func() { <-gate })
	}
	v.say(`{"type":"comment","text":"hello","ref":"c"}`)
	await(t, "it waits", func() bool { return s.desk.Counts().Verdicts["review"] == 1 })
	time.Sleep(2 * 20 * time.Millisecond)
	close(gate)
	if v.until("ack").ID == "" { // open by default
		t.Error("not published")
	}
	if len(asked) != 0 {
		t.Error("the webhook was asked all the same")
	}
}

// fillReviews takes all places and returns what frees them.
func fillReviews(s *Server) (free func()) {
	gate := make(chan struct{})
	for s.reviews.do(func() { <-gate }) {
	}
	return func() { close(gate) }
}

func TestReviewsFull(t *testing.T) {
	for _, fail := range []string{"open", "closed"} {
		t.Run(fail, func(t *testing.T) {
			s := start(t, func(c *config.Config) { reviewing(t, nil)(c); c.ReviewFail = fail })
			v := join(t, s, "r")
			defer fillReviews(s)()
			m := v.asks(`{"type":"comment","text":"do reject","ref":"c"}`)
			if fail == "open" {
				m.accepted(t)
				return
			}
			m.refusedAs(t, "overloaded")
			if m.RetryAfterMs == 0 {
				t.Error("not said when to try again")
			}
		})
	}
}

// A server that goes down does not wait for reviews: they count as failed.
func TestDrainWithReviewsUnderWay(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	s, cancel, wait := run(t, func(c *config.Config) {
		reviewing(t, gate)(c)
		c.Archive, c.ReviewTimeout = t.TempDir(), time.Minute
	})
	v := join(t, s, "r")
	for range 20 {
		v.say(`{"type":"comment","text":"do pass"}`)
	}
	await(t, "all are under review", func() bool {
		return strings.Contains(scrape(t, s), `danmakud_comments_judged_total{verdict="review"} 20`)
	})
	cancel()
	v.until("goodbye")
	if err := wait(); err != nil {
		t.Error(err)
	}
	if n := s.desk.Counts().Reviews["failed"]; n != 20 || s.settled.Load() != 20 {
		t.Errorf("%d reviews failed, %d comments published; 20 each are wanted where failing is open", n, s.settled.Load())
	}
	if n := s.archive.Counts().Comments; n != 20 {
		t.Errorf("%d in the archive", n)
	}
	close(gate)
}
