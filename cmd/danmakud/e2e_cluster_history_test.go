package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/natstest"
)

// shown are the texts of a welcome's history.
func (v *viewer) shown() (texts []string) {
	for _, c := range v.welcome.History {
		texts = append(texts, c.Text)
	}
	return texts
}

// All nodes go down and come back: who comes first is shown what was said on any of them,
// in order, once, and nothing that was taken back.
func TestClusterHistoryOutlivesAllNodes(t *testing.T) {
	natstest.Each(t, func(t *testing.T, binary natstest.Binary) {
		b := busOf(t, binary, natstest.Options{JetStream: true})
		flags := []string{"--bus-history=20", "--history=50", "--comment-rate=0", "--tick=20ms"}
		all := b.nodes(2, flags...)
		u, v := all[0].join("a.room"), all[1].join("a.room")
		cleared := all[1].join("cleared")
		var want []string
		var ids []string
		for i := range 6 {
			from, to := u, v
			if i%2 == 1 {
				from, to = v, u
			}
			text := fmt.Sprint("number ", i)
			from.send(say(text, ""))
			ids = append(ids, to.hears(text).ID)
			if i != 2 {
				want = append(want, text)
			}
		}
		if status, body := all[1].api("DELETE", "/v1/rooms/a.room/comments/"+ids[2], ""); status/100 != 2 {
			t.Fatalf("retract: %d %s", status, body)
		}
		if status, body := all[0].api("POST", "/v1/rooms/a.room/superchat", `{"user":"u7","text":"paid","price":100,"duration_s":2}`); status/100 != 2 {
			t.Fatalf("superchat: %d %s", status, body)
		}
		want = append(want, "paid")
		cleared.send(say("gone", ""))
		cleared.hears("gone")
		all[0].awaitOnline("cleared", 1)
		if status, body := all[0].api("POST", "/v1/rooms/cleared/clear", ""); status/100 != 2 {
			t.Fatalf("clear: %d %s", status, body)
		}
		for isCleared := false; !isCleared; {
			isCleared = slices.ContainsFunc(cleared.next().comments, func(c comment) bool { return c.ID == "*" })
		}
		cleared.send(say("after", ""))
		cleared.hears("after")
		many := all[0].join("many")
		for i := range 30 {
			many.send(say(fmt.Sprint("one of many ", i), ""))
			many.hears(fmt.Sprint("one of many ", i))
		}
		for _, w := range []*viewer{u, v, cleared, many} {
			w.conn.Close() // or the drain waits for them
		}
		for _, s := range all {
			s.stop()
		}
		b.Kill() // what was kept outlives its server, too
		b.Restart()

		all = b.nodes(2, flags...)
		for i, s := range all { // the second finds it on the first, and with it what is older
			w := s.join("a.room")
			if got := w.shown(); !slices.Equal(got, want) {
				t.Errorf("node %d shows %v, want %v", i, got, want)
			}
			if len(w.welcome.History) > 0 && w.welcome.History[0].ID != ids[0] {
				t.Errorf("%+v has another id than %s", w.welcome.History[0], ids[0])
			}
			if got := s.join("cleared").shown(); !slices.Equal(got, []string{"after"}) {
				t.Errorf("node %d shows %v of a room that was cleared", i, got)
			}
			if got := s.join("many").shown(); len(got) < 20 || len(got) > 27 || got[len(got)-1] != "one of many 29" { // a batch may have two
				t.Errorf("node %d shows %v", i, got)
			}
			if got := s.join("empty").shown(); len(got) != 0 {
				t.Errorf("%v in a room in which nothing was said", got)
			}
			m := s.metrics()
			if m["danmakud_bus_history_up"] != 1 || m[`danmakud_bus_history_rooms_total{result="failed"}`] != 0 || m[`danmakud_bus_dropped_total{reason="foreign"}`] != 0 {
				t.Errorf("node %d: up %v, %v rooms not read", i, m["danmakud_bus_history_up"], m[`danmakud_bus_history_rooms_total{result="failed"}`])
			}
		}
		w, there := all[1].join("a.room"), all[0].join("a.room")
		w.send(say("again", ""))
		there.hears("again")
		if got := all[0].join("a.room").shown(); !slices.Equal(got, append(want, "again")) {
			t.Errorf("then %v", got)
		}
	})
}

// Where JetStream is not there that is said, and all else goes on.
func TestClusterWithoutJetStream(t *testing.T) {
	b := startBus(t, natstest.Options{})
	all := b.nodes(2, "--bus-history=20")
	u, v := all[0].join("r"), all[1].join("r")
	u.send(say("hello", ""))
	v.hears("hello")
	if got := all[1].join("r").shown(); !slices.Equal(got, []string{"hello"}) {
		t.Errorf("history %v", got)
	}
	for _, s := range all {
		if n := s.metrics()["danmakud_bus_history_up"]; n != 0 {
			t.Errorf("up: %v", n)
		}
		if r, _ := s.get("http://" + s.control + "/readyz"); r.StatusCode != http.StatusOK {
			t.Errorf("/readyz is %s", r.Status)
		}
		if !strings.Contains(s.stderr.String(), "not kept in JetStream") {
			t.Errorf("not said:\n%s", s.stderr)
		}
	}
}
