package server

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
)

// TestReplay: what a viewer said comes back for a player, as text, and to those alone
// who may read it.
func TestReplay(t *testing.T) {
	s := start(t, func(c *config.Config) {
		c.Archive, c.DPlayer = t.TempDir(), true
		c.Origins = []string{"https://film.example"}
	})
	v := join(t, s, "r")
	v.say(`{"type":"comment","text":"<img src=x onerror=alert(1)>","mode":"top","color":255}`)
	v.expect("batch")
	await(t, "it is written", func() bool { return s.archive.Counts().Comments == 1 })
	ask := func(method, target, origin string) (*http.Response, string) {
		t.Helper()
		r, err := http.NewRequest(method, "http://"+s.addr()+target, nil)
		if err != nil {
			t.Fatal(err)
		}
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		response, err := http.DefaultTransport.RoundTrip(r) // follows nothing
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response, string(body)
	}
	const want = `{"code":0,"data":[[0,1,255,"~1","\u0026lt;img src=x onerror=alert(1)\u0026gt;"]]}`
	r, body := ask("GET", "/dplayer/v3/?id=r&max=10", "https://film.example")
	if r.StatusCode != 200 || body != want || r.Header.Get("Access-Control-Allow-Origin") != "https://film.example" {
		t.Errorf("%s %v: %s, want %s", r.Status, r.Header, body, want)
	}
	for _, tc := range []struct {
		method, target, origin string
		status                 int
	}{
		{"GET", "/dplayer/v3?id=r", "", 200},
		{"GET", "/dplayer/v3/?id=r", "https://other.example", 403},
		{"OPTIONS", "/dplayer/v3/", "https://film.example", 204},
		{"POST", "/dplayer/v3/", "", 405},
		{"GET", "/dplayer/v3/", "", 400},
	} {
		if r, body := ask(tc.method, tc.target, tc.origin); r.StatusCode != tc.status {
			t.Errorf("%s %s from %q: %s %s", tc.method, tc.target, tc.origin, r.Status, body)
		}
	}
	closed := s.asked
	closed.Guests = config.GuestsNone
	if err := s.apply(&closed); err != nil {
		t.Fatal(err)
	}
	if r, body := ask("GET", "/dplayer/v3/?id=r", ""); r.StatusCode != 401 || strings.Contains(body, "onerror") {
		t.Errorf("where guests may not watch: %s %s", r.Status, body)
	}
}

// TestNoReplayUnlessAsked: an archive alone is not public.
func TestNoReplayUnlessAsked(t *testing.T) {
	s := start(t, func(c *config.Config) { c.Archive = t.TempDir() })
	get(t, "http://"+s.addr()+"/dplayer/v3/?id=r", 404)
}
