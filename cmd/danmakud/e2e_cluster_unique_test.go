package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/natstest"
)

// watched returns how many different viewers a room has had, as the list of a node's
// rooms and the room itself tell; -1 = there is no such room, or they differ.
func (s *instance) watched(room string) int {
	s.t.Helper()
	r, body := s.get("http://" + s.control + "/v1/rooms/" + room)
	if r.StatusCode == http.StatusNotFound {
		return -1
	}
	var info struct{ Watched *int }
	if err := json.Unmarshal([]byte(body), &info); err != nil || info.Watched == nil {
		s.t.Fatalf("%s: %v", body, err)
	}
	var list struct {
		Rooms []struct {
			Room    string
			Watched int
		}
	}
	_, body = s.get("http://" + s.control + "/v1/rooms")
	if err := json.Unmarshal([]byte(body), &list); err != nil {
		s.t.Fatalf("%s: %v", body, err)
	}
	for _, of := range list.Rooms {
		if of.Room == room && of.Watched == *info.Watched {
			return of.Watched
		}
	}
	return -1
}

// awaitWatched waits until a room has had so many.
func (s *instance) awaitWatched(room string, want int) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		got := s.watched(room)
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%d have watched %s, want %d", got, room, want)
		}
	}
}

// A user counts once, wherever and however often it comes; guests by their connections.
// What a node has told stays when it is killed.
func TestClusterCountsDifferentViewers(t *testing.T) {
	secret := []byte("0123456789abcdef0123456789abcdef")
	bus := natstest.Newest(t).Start(t, natstest.Options{})
	flags := []string{
		"--listen=127.0.0.1:0", "--control=127.0.0.1:0", "--nats-url=" + bus.URL(),
		"--token-key=" + writeFile(t, filepath.Join(t.TempDir(), "site.secret"), secret),
	}
	node := func(name string) *instance {
		s := launch(t, nil, append([]string{"--node=" + name, "--drain-time=1s"}, flags...)...)
		s.awaitReady()
		return s
	}
	come := func(s *instance, user int) {
		token := signed(t, "HS256", "", claims{"sub": fmt.Sprint("u", user)}, bySecret(secret))
		s.join("r?token=" + token).conn.Close()
	}
	stay := func(s *instance) *viewer { return s.join("r") }
	a, b, killed := node("a"), node("b"), node("c")
	for _, s := range []*instance{a, b, killed} {
		s.awaitMetric("danmakud_cluster_nodes", 2)
		stay(s)
	}
	for user := range 10 {
		come(a, user)
		come(a, user)
		come(b, user+5)
		come(killed, user+8)
	}
	const all = 3 + 18
	for _, s := range []*instance{a, b, killed} {
		s.awaitWatched("r", all)
		s.awaitMetric("danmakud_watched", all)
	}
	killed.signal(syscall.SIGKILL)
	killed.wait()
	late, apart := node("d"), node("e")
	late.awaitMetric("danmakud_cluster_nodes", 3)
	come(late, 3) // who finds the room with what the others have of it
	stay(late)
	for _, s := range []*instance{a, b, late, apart} {
		s.awaitWatched("r", all+1)
	}
	if n := apart.metrics()["danmakud_watched"]; n != 0 {
		t.Errorf("a node without the room has %v viewers of it", n)
	}
	for _, s := range []*instance{a, b, late, apart} {
		if n := s.metrics()[`danmakud_bus_dropped_total{reason="audience"}`]; n != 0 {
			t.Errorf("%v messages were no audiences", n)
		}
	}
}
