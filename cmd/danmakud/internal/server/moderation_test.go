package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/admin"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/moderation"
	"github.com/danmakud/danmakud/room"
	"github.com/golang-jwt/jwt/v5"
)

// as joins a room with a token.
func as(t *testing.T, s *Server, in, user, role string) viewer {
	t.Helper()
	v := enter(t, s, "/ws/"+in+"?token="+ticket(t, jwt.MapClaims{"sub": user, "name": user, "role": role}))
	v.expect("welcome")
	return v
}

// until reads up to a message of that type.
func (v viewer) until(kind string) message {
	v.t.Helper()
	for {
		if m := v.next(); m.Type == kind {
			return m
		}
	}
}

// asks sends a message and returns its answer, ack or error.
func (v viewer) asks(format string, args ...any) message {
	v.t.Helper()
	v.say(format, args...)
	for {
		if m := v.next(); m.Type == "ack" || m.Type == "error" {
			return m
		}
	}
}

// refusedAs checks the code of an answer.
func (m message) refusedAs(t *testing.T, code string) {
	t.Helper()
	if m.Type != "error" || m.Code != code {
		t.Errorf("answered with %+v, want error %s", m, code)
	}
}

func (m message) accepted(t *testing.T) message {
	t.Helper()
	if m.Type != "ack" {
		t.Errorf("answered with %+v, want an ack", m)
	}
	return m
}

const hello = `{"type":"comment","text":"hello","ref":"c"}`

func sanction(t *testing.T, s *Server, wanted moderation.Sanction) moderation.Sanction {
	t.Helper()
	wanted.By = "key"
	got, err := s.Sanction(t.Context(), wanted)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestMutedCannotSpeak(t *testing.T) {
	s := start(t, withKeys(t))
	alice, guest := as(t, s, "r", "alice", "viewer"), join(t, s, "r")
	first := sanction(t, s, moderation.Sanction{Kind: moderation.Mute, User: "alice", Until: time.Now().Add(time.Hour), Reason: "spam"})
	m := alice.asks(hello)
	m.refusedAs(t, "muted")
	if m.RetryAfterMs < 1000 {
		t.Errorf("to be tried again after %d ms", m.RetryAfterMs)
	}
	guest.asks(hello).accepted(t)
	if err := s.Lift(first.ID, "key"); err != nil {
		t.Fatal(err)
	}
	alice.asks(hello).accepted(t)
	if err := s.Lift(first.ID, "key"); err != admin.ErrNotFound {
		t.Errorf("lifted twice: %v", err)
	}
	sanction(t, s, moderation.Sanction{Kind: moderation.Mute, Room: "r", Address: "127.0.0.1"})
	guest.asks(hello).refusedAs(t, "muted")
}

func TestBanClosesAndKeepsOut(t *testing.T) {
	t.Parallel()
	s := start(t, withKeys(t))
	here, there, bob := as(t, s, "r", "alice", "viewer"), as(t, s, "other", "alice", "viewer"), as(t, s, "r", "bob", "viewer")
	sanction(t, s, moderation.Sanction{Kind: moderation.Ban, Room: "r", User: "alice", Reason: "enough"})
	if code := here.expectClose(); code != 4003 {
		t.Errorf("closed with %d", code)
	}
	there.asks(`{"type":"switch","room":"r","ref":"s"}`).refusedAs(t, "banned")
	there.asks(hello).accepted(t)
	bob.asks(hello).accepted(t)
	target := "/ws/r?token=" + ticket(t, jwt.MapClaims{"sub": "alice"})
	if _, status, text := dial(t, s, target, nil); status != 403 || !strings.Contains(text, "banned") || !strings.Contains(text, "enough") {
		t.Errorf("let in again: %d %q", status, text)
	}
	sanction(t, s, moderation.Sanction{Kind: moderation.Ban, Address: "127.0.0.0/8"})
	for _, v := range []viewer{there, bob} {
		if code := v.expectClose(); code != 4003 {
			t.Errorf("closed with %d", code)
		}
	}
	if _, status, _ := dial(t, s, "/ws/r", nil); status != 403 {
		t.Errorf("a guest of a banned address: %d", status)
	}
	for _, line := range []string{`danmakud_closes_total{reason="banned"} 5`, `danmakud_rejected_total{reason="banned"} 2`} {
		await(t, line, func() bool { return strings.Contains(scrape(t, s), line+"\n") })
	}
}

func TestShadowIsSeenByItsSenderAlone(t *testing.T) {
	s := start(t, withKeys(t))
	alice, bob := as(t, s, "r", "alice", "viewer"), as(t, s, "r", "bob", "viewer")
	bob.asks(hello).accepted(t)
	before := alice.until("batch")
	sanction(t, s, moderation.Sanction{Kind: moderation.ShadowBan, User: "alice"})
	alice.say(`{"type":"comment","text":"only mine","ref":"m"}`)
	var echoed message
	acked := false
	for echoed.Type == "" || !acked {
		switch m := alice.next(); m.Type {
		case "batch":
			echoed = m
		case "ack":
			acked = m.ID != ""
		}
	}
	if echoed.Seq != before.Seq || !slices.Equal(echoed.texts(t), []string{"only mine"}) {
		t.Errorf("came back as %+v", echoed)
	}
	bob.say(`{"type":"comment","text":"after"}`)
	var seen []string
	for !slices.Contains(seen, "after") {
		seen = append(seen, bob.until("batch").texts(t)...)
	}
	if slices.Contains(seen, "only mine") {
		t.Errorf("another viewer saw %q", seen)
	}
	late := as(t, s, "other", "carol", "viewer")
	late.say(`{"type":"switch","room":"r"}`)
	for _, c := range late.expect("welcome").History {
		if c.Text == "only mine" {
			t.Error("it is in the history")
		}
	}
	await(t, "counted", func() bool { return strings.Contains(scrape(t, s), "danmakud_comments_shadowed_total 1\n") })
}

// What a shadowed viewer says in the same segment as its request comes back behind the
// answer to that and behind the welcome.
func TestShadowBehindTheHead(t *testing.T) {
	s := start(t, nil)
	sanction(t, s, moderation.Sanction{Kind: moderation.ShadowBan, Address: "127.0.0.1"})
	c, err := net.Dial("tcp", s.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	head := "GET /ws/r HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
	c.Write(append([]byte(head), maskedText(`{"type":"comment","text":"alone","ref":"c"}`)...))
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	var got []byte
	for p := make([]byte, 4096); !bytes.Contains(got, []byte(`"type":"ack"`)); {
		n, err := c.Read(p)
		if err != nil {
			t.Fatalf("%v after %q", err, got)
		}
		got = append(got, p[:n]...)
	}
	at := 0
	for _, want := range []string{"HTTP/1.1 101 ", `"type":"welcome"`, `"type":"batch"`, `"text":"alone"`, `"type":"ack"`} {
		i := bytes.Index(got[at:], []byte(want))
		if i < 0 || at == 0 && i != 0 {
			t.Fatalf("%s is not where it should be: %q", want, got)
		}
		at += i + len(want)
	}
}

func TestModeratorsCommands(t *testing.T) {
	s := start(t, func(c *config.Config) { withKeys(t)(c); c.CommentRate = 0 })
	mod, alice, guest := as(t, s, "r", "mod", "moderator"), as(t, s, "r", "alice", "viewer"), enter(t, s, "/ws/r")
	uid := guest.expect("welcome").UID
	anchor := as(t, s, "r", "anna", "anchor")
	for _, m := range []string{
		`{"type":"mute","user":"alice","seconds":60,"ref":"m"}`, `{"type":"clear","ref":"m"}`, `{"type":"settings","closed":true,"ref":"m"}`,
	} {
		alice.asks("%s", m).refusedAs(t, "forbidden")
		guest.asks("%s", m).refusedAs(t, "forbidden")
	}
	mod.asks(`{"type":"mute","user":"anna","ref":"m"}`).refusedAs(t, "forbidden")
	mod.asks(`{"type":"mute","user":"mod","ref":"m"}`).refusedAs(t, "forbidden")

	mod.asks(`{"type":"mute","user":"alice","seconds":60,"reason":"caps","ref":"m"}`).accepted(t)
	alice.asks(hello).refusedAs(t, "muted")
	mod.asks(`{"type":"lift","user":"alice","ref":"m"}`).accepted(t)
	alice.asks(hello).accepted(t)
	mod.asks(`{"type":"lift","user":"alice","ref":"m"}`).refusedAs(t, "bad_field")

	mod.asks(`{"type":"settings","closed":true,"slow_mode_ms":5000,"ref":"m"}`).accepted(t)
	alice.asks(hello).refusedAs(t, "room_closed")
	anchor.asks(hello).accepted(t)
	if got := s.Settings("r"); got != (room.Settings{Closed: true, SlowMode: 5000}) {
		t.Errorf("settings %+v", got)
	}
	mod.asks(`{"type":"settings","closed":false,"slow_mode_ms":0,"min_role":"viewer","ref":"m"}`).accepted(t)
	guest.asks(hello).refusedAs(t, "forbidden")
	mod.asks(`{"type":"kick","user":"%s","reason":"off you go","ref":"m"}`, uid).accepted(t)
	if code := guest.expectClose(); code != 1008 {
		t.Errorf("closed with %d", code)
	}
	mod.asks(`{"type":"kick","user":"alice","ref":"m"}`).accepted(t)
	if code := alice.expectClose(); code != 1008 {
		t.Errorf("closed with %d", code)
	}
	mod.asks(`{"type":"kick","user":"alice","ref":"m"}`).refusedAs(t, "bad_field")
	events, err := s.Audit(20)
	if err != nil || !slices.ContainsFunc(events, func(e moderation.Event) bool {
		return e.Action == "kick" && e.User == uid && e.By == "mod" && e.Room == "r" && !e.At.IsZero()
	}) {
		t.Errorf("put down: %+v, error %v", events, err)
	}
}

func TestModeratorTakesBack(t *testing.T) {
	t.Parallel()
	s := start(t, withKeys(t))
	mod, alice := as(t, s, "r", "mod", "moderator"), as(t, s, "r", "alice", "viewer")
	anchor := as(t, s, "r", "anna", "anchor")
	id := alice.asks(hello).accepted(t).ID
	mod.until("batch")
	mod.asks(`{"type":"retract","id":"%s","ref":"m"}`, id).accepted(t)
	for !strings.Contains(string(anchor.until("batch").Comments), `{"id":"`+id+`"`) {
	}
	for m := anchor.until("batch"); ; m = anchor.until("batch") {
		if strings.Contains(string(m.Comments), `"kind":"retract"`) && strings.Contains(string(m.Comments), id) {
			break
		}
	}
	if history, err := s.History("r", 20); err != nil || strings.Contains(string(history), id) {
		t.Errorf("history %s, error %v", history, err)
	}
	above := anchor.asks(hello).accepted(t).ID
	anchor.until("batch")
	mod.asks(`{"type":"retract","id":"%s","ref":"m"}`, above).refusedAs(t, "forbidden")
	mod.asks(`{"type":"retract","id":"nonsense!","ref":"m"}`).refusedAs(t, "bad_field")
	mod.asks(`{"type":"clear","ref":"m"}`).accepted(t)
	for !strings.Contains(string(anchor.until("batch").Comments), `"id":"*"`) {
	}
	if history, _ := s.History("r", 20); strings.Contains(string(history), "hello") {
		t.Errorf("after clear the history is %s", history)
	}
}

func TestModerationCommandsThatAreWrong(t *testing.T) {
	s := start(t, func(c *config.Config) { withKeys(t)(c); c.CommentRate = 0 })
	mod := as(t, s, "r", "mod", "moderator")
	for _, m := range []string{
		`{"type":"mute","ref":"m"}`, `{"type":"mute","user":7,"ref":"m"}`, `{"type":"mute","user":"a","seconds":-1,"ref":"m"}`,
		`{"type":"mute","user":"a","seconds":1e10,"ref":"m"}`, `{"type":"ban","user":"a","seconds":"x","ref":"m"}`,
		`{"type":"ban","user":"` + strings.Repeat("x", 300) + `","ref":"m"}`, `{"type":"kick","user":"","ref":"m"}`,
		`{"type":"kick","user":"a","reason":"` + strings.Repeat("x", 600) + `","ref":"m"}`,
		`{"type":"kick","user":"~","ref":"m"}`, `{"type":"kick","user":"~07","ref":"m"}`,
		`{"type":"retract","ref":"m"}`, `{"type":"retract","id":"short","ref":"m"}`, `{"type":"settings","ref":"m"}`,
		`{"type":"settings","closed":"yes","ref":"m"}`, `{"type":"settings","min_role":"king","ref":"m"}`,
		`{"type":"settings","slow_mode_ms":-1,"ref":"m"}`, `{"type":"settings","slow_mode_ms":1e12,"ref":"m"}`,
		`{"type":"mute","user":"a\u0000b","ref":"m"}`,
	} {
		mod.asks("%s", m).refusedAs(t, "bad_field")
	}
}

func TestFloodOfModerationCommands(t *testing.T) {
	s := start(t, func(c *config.Config) { withKeys(t)(c); c.CommentRate = 0.001 }) // no token comes back meanwhile
	mod := as(t, s, "r", "mod", "moderator")
	limited := 0
	for i := range 40 {
		if m := mod.asks(`{"type":"mute","user":"u%d","seconds":60,"ref":"m"}`, i); m.Code == "rate_limited" {
			limited++
		}
	}
	if limited < 20 {
		t.Errorf("%d of 40 at once were limited", limited)
	}
	if n := len(s.Sanctions("r", "")); n == 0 || n > 20 {
		t.Errorf("%d are in force", n)
	}
}

// What the chores have no place for is refused at once and counted.
func TestChoresFull(t *testing.T) {
	s := start(t, func(c *config.Config) { withKeys(t)(c); c.CommentRate = 0 })
	mod := as(t, s, "r", "mod", "moderator")
	gate := make(chan struct{})
	for s.chores.do(func() { <-gate }) || s.chores.waiting() < choresMost {
	}
	mod.asks(`{"type":"clear","ref":"m"}`).refusedAs(t, "overloaded")
	close(gate)
	await(t, "the chores are done", func() bool { return s.chores.waiting() == 0 })
	mod.asks(`{"type":"clear","ref":"m"}`).accepted(t)
	if !strings.Contains(scrape(t, s), fmt.Sprintf("danmakud_errands_refused_total{pool=%q} ", "moderation")) {
		t.Error("not counted")
	}
}

func TestHeldComments(t *testing.T) {
	s := start(t, withKeys(t))
	if err := s.SetWordList(moderation.WordList{Name: "w", Action: "hold", Words: []string{"maybe"}}, "key"); err != nil {
		t.Fatal(err)
	}
	alice, bob := as(t, s, "r", "alice", "viewer"), as(t, s, "r", "bob", "viewer")
	for _, text := range []string{"maybe one", "maybe two"} {
		if m := alice.asks(`{"type":"comment","text":"%s","mode":"top","ref":"c"}`, text).accepted(t); m.ID != "" {
			t.Errorf("a held comment has the id %q", m.ID)
		}
	}
	held := s.Held("r")
	if len(held) != 2 || held[0].User != "alice" || held[0].Text != "maybe one" || held[0].List != "w" {
		t.Fatalf("held %+v", held)
	}
	if err := s.Decide(held[0].ID, false, "key"); err != nil {
		t.Fatal(err)
	}
	if err := s.Decide(held[1].ID, true, "key"); err != nil {
		t.Fatal(err)
	}
	if m := bob.until("batch"); !slices.Equal(m.texts(t), []string{"maybe two"}) || !strings.Contains(string(m.Comments), `"name":"alice"`) ||
		!strings.Contains(string(m.Comments), `"mode":"top"`) {
		t.Errorf("published %s", m.Comments)
	}
	if err := s.Decide(held[1].ID, true, "key"); err != admin.ErrNotFound {
		t.Errorf("decided twice: %v", err)
	}
}

// What cannot be published now is not lost.
func TestHeldCommentWaitsOn(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *config.Config) { c.MaxRooms = 1 })
	v := join(t, s, "r")
	c := room.Comment{UID: 9, Text: "maybe", Color: room.ColorDefault}
	if err := s.hold("other", "~9", &c, "w"); err != nil {
		t.Fatal(err)
	}
	id := s.Held("")[0].ID
	if err := s.Decide(id, true, "key"); err != admin.ErrBusy {
		t.Errorf("error %v", err)
	}
	if held := s.Held("other"); len(held) != 1 || held[0].ID != id {
		t.Fatalf("held %+v", held)
	}
	v.Close()
	await(t, "there is a place for the room", func() bool { return s.Decide(id, true, "key") == nil })
	if n := len(s.Held("")); n != 0 {
		t.Errorf("%d are held", n)
	}
}

// A guest that is banned from another room by its name does not get there by a switch.
func TestBannedGuestDoesNotSwitch(t *testing.T) {
	s := start(t, nil)
	v, id := guest(t, s, "other")
	sanction(t, s, moderation.Sanction{Kind: moderation.Ban, Room: "r", User: id})
	v.asks(`{"type":"switch","room":"r","ref":"s"}`).refusedAs(t, "banned")
	v.asks(hello).accepted(t)
}

// A guest may have a role by the word of the site; nobody acts on who is not below.
func TestGuestsWithARoleAreNotBelow(t *testing.T) {
	url := site(t, func(w http.ResponseWriter, r *http.Request) {
		var q question
		json.NewDecoder(r.Body).Decode(&q)
		if q.User == "" {
			says(`{"allow":true,"role":"anchor"}`)(w, r)
			return
		}
		says(`{"allow":true}`)(w, r)
	})
	s := start(t, func(c *config.Config) {
		withKeys(t)(c)
		c.ConnectURL, c.ConnectTimeout, c.CommentRate = url, patient, 0
	})
	anchor, id := guest(t, s, "r")
	mod := as(t, s, "r", "mod", "moderator")
	for _, order := range []string{"kick", "ban", "mute"} {
		mod.asks(`{"type":%q,"user":%q,"ref":"m"}`, order, id).refusedAs(t, "forbidden")
	}
	anchor.asks(hello).accepted(t)
}

func TestLimitsOfSpeaking(t *testing.T) {
	s := start(t, func(c *config.Config) {
		withKeys(t)(c)
		c.CommentRate, c.DuplicateWindow = 0, time.Minute
	})
	if err := s.SetWordList(moderation.WordList{Name: "no", Action: "reject", Words: []string{"forbidden"}}, "key"); err != nil {
		t.Fatal(err)
	}
	if err := s.SetWordList(moderation.WordList{Name: "mask", Action: "mask", Words: []string{"damn"}}, "key"); err != nil {
		t.Fatal(err)
	}
	alice, mod := as(t, s, "r", "alice", "viewer"), as(t, s, "r", "mod", "moderator")
	alice.asks(`{"type":"comment","text":"this is FORBIDDEN","ref":"c"}`).refusedAs(t, "blocked_word")
	alice.asks(hello).accepted(t)
	alice.asks(hello).refusedAs(t, "duplicate")
	mod.until("batch")
	alice.asks(`{"type":"comment","text":"damn it","ref":"c"}`).accepted(t)
	if got := mod.until("batch").texts(t); len(got) != 1 || strings.Contains(got[0], "damn") || !strings.Contains(got[0], " it") {
		t.Errorf("masked to %q", got)
	}
	if err := s.SetSettings("r", room.Settings{SlowMode: 60_000}, "key"); err != nil {
		t.Fatal(err)
	}
	alice.asks(`{"type":"comment","text":"one","ref":"c"}`).accepted(t)
	m := alice.asks(`{"type":"comment","text":"two","ref":"c"}`)
	m.refusedAs(t, "slow_mode")
	if m.RetryAfterMs < 1000 {
		t.Errorf("to be tried again after %d ms", m.RetryAfterMs)
	}
	mod.asks(`{"type":"comment","text":"this is forbidden","ref":"c"}`).accepted(t)
	mod.asks(`{"type":"comment","text":"this is forbidden","ref":"c"}`).accepted(t)
}

// Who is in a room is told when its settings change, over the API or by a moderator.
func TestChangedSettingsAreTold(t *testing.T) {
	s := start(t, withKeys(t))
	alice, mod := as(t, s, "r", "alice", "viewer"), as(t, s, "r", "mod", "moderator")
	told := func(want string) {
		t.Helper()
		for _, v := range []viewer{alice, mod} {
			m := v.until("batch")
			for m.Settings == nil {
				m = v.until("batch")
			}
			if string(m.Settings) != want || string(m.Comments) != "[]" {
				t.Errorf("told %s with %s, want %s", m.Settings, m.Comments, want)
			}
		}
	}
	change := func(set room.Settings) {
		t.Helper()
		if err := s.SetSettings("r", set, "key"); err != nil {
			t.Fatal(err)
		}
	}
	change(room.Settings{SlowMode: 5000, MaxViewers: 9})
	told(`{"slow_mode_ms":5000}`)
	mod.say(`{"type":"settings","closed":true,"slow_mode_ms":0}`)
	told(`{"closed":true}`)
	change(room.Settings{Closed: true, MaxViewers: 8}) // which is not for viewers
	change(room.Settings{})
	told(`{}`)
}

// Settings, sanctions and word lists of a server are those of the next one.
func TestModerationSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	change := func(c *config.Config) { withKeys(t)(c); c.Data = dir }
	s, cancel, wait := run(t, change)
	sanction(t, s, moderation.Sanction{Kind: moderation.Mute, User: "alice"})
	if err := s.SetSettings("r", room.Settings{MinRole: room.RoleViewer}, "key"); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	s = start(t, change)
	as(t, s, "r", "alice", "viewer").asks(hello).refusedAs(t, "muted")
	join(t, s, "r").asks(hello).refusedAs(t, "forbidden")
	as(t, s, "r", "bob", "viewer").asks(hello).accepted(t)
}
