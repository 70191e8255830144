package server

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/moderation"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/token"
	"github.com/golang-jwt/jwt/v5"
)

// TestReplay: what a viewer said comes back for a player, as text, and to those alone
// who may read it.
func TestReplay(t *testing.T) {
	t.Parallel()
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
		return askReplay(t, s, method, target, http.Header{"Origin": {origin}})
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
	if r, body := ask("GET", "/dplayer/v3/?id=r", ""); r.StatusCode != 403 || strings.Contains(body, "onerror") {
		t.Errorf("where guests may not watch: %s %s", r.Status, body)
	}
}

// askReplay makes one request; empty fields of the header are left out.
func askReplay(t *testing.T, s *Server, method, target string, header http.Header) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+s.addr()+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		if values[0] != "" {
			r.Header[name] = values
		}
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

// TestReplayIsForWhoMayWatch: a replay is refused to whom the room is closed, by ban,
// token or the site's word, also behind a proxy.
func TestReplayIsForWhoMayWatch(t *testing.T) {
	url := site(t, func(w http.ResponseWriter, r *http.Request) {
		var q question
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			t.Error(err)
		}
		switch {
		case q.Room == "denied":
			io.WriteString(w, `{"allow":false,"message":"pay first"}`)
		case q.Room == "broken":
			w.WriteHeader(500)
		case q.Room == "renamed":
			io.WriteString(w, `{"allow":true,"user":"mallory"}`)
		case q.Room == "elsewhere":
			io.WriteString(w, `{"allow":true,"rooms":["other"]}`)
		default:
			io.WriteString(w, `{"allow":true}`)
		}
	})
	keys := withKeys(t)
	s := start(t, func(c *config.Config) {
		keys(c)
		c.Archive, c.DPlayer, c.TrustedProxies, c.Guests = t.TempDir(), true, []string{"127.0.0.0/8"}, config.GuestsWatch
	})
	sanction(t, s, moderation.Sanction{Kind: moderation.Ban, Address: "203.0.113.0/24", Reason: "bots"})
	sanction(t, s, moderation.Sanction{Kind: moderation.Ban, User: "mallory"})
	sanction(t, s, moderation.Sanction{Kind: moderation.Mute, User: "alice"})
	alice := ticket(t, jwt.MapClaims{"sub": "alice", "rooms": []string{"r", "renamed"}})
	mallory := ticket(t, jwt.MapClaims{"sub": "mallory"})
	gone := ticket(t, jwt.MapClaims{"sub": "carol", "jti": "lost"})
	if err := s.revocations.Add(token.Revocation{ID: "lost", Until: time.Now().Add(time.Hour).Unix()}); err != nil {
		t.Fatal(err)
	}
	expect := func(name, query, from, bearer string, status int, words string) {
		t.Helper()
		r, body := askReplay(t, s, "GET", "/dplayer/v3/?id="+query, http.Header{"X-Forwarded-For": {from}, "Authorization": {bearer}})
		if r.StatusCode != status || !strings.Contains(body, words) {
			t.Errorf("%s: %s %s, want %d with %q", name, r.Status, body, status, words)
		}
		if status == 200 && !strings.HasPrefix(r.Header.Get("Cache-Control"), "private") {
			t.Errorf("%s: may be cached for others: %q", name, r.Header.Get("Cache-Control"))
		}
	}
	expect("a guest", "r", "", "", 200, `"code":0`)
	expect("a banned address", "r", "203.0.113.7", "", 403, "bots")
	expect("another address", "r", "203.0.114.7", "", 200, `"code":0`)
	expect("a token in the query", "r&token="+alice, "", "", 200, `"code":0`)
	expect("a token in the header", "r", "", "Bearer "+alice, 200, `"code":0`)
	expect("two tokens", "r&token="+alice, "", "Bearer "+alice, 400, "both")
	expect("a token for other rooms", "q&token="+alice, "", "", 403, "not for this room")
	expect("a banned user", "r&token="+mallory, "", "", 403, "banned")
	expect("a revoked token", "r&token="+gone, "", "", 401, "revoked")
	expect("no token at all", "r&token=nonsense", "", "", 401, "token")

	with := s.asked
	with.Guests, with.ConnectURL, with.ConnectTimeout = config.GuestsNone, url, patient
	if err := s.apply(&with); err != nil {
		t.Fatal(err)
	}
	expect("guests are not let in", "r", "", "", 403, "guests")
	expect("a viewer", "r&token="+alice, "", "", 200, `"code":0`)
	with.Guests = config.GuestsWatch
	if err := s.apply(&with); err != nil {
		t.Fatal(err)
	}
	expect("the site says no", "denied", "", "", 403, "pay first")
	expect("the site is broken", "broken", "", "", 503, "later")
	expect("the site knows who it is", "renamed", "", "", 403, "banned")
	expect("the site lets in elsewhere", "elsewhere", "", "", 403, "into this room")
	with.ConnectFail = config.FailOpen
	if err := s.apply(&with); err != nil {
		t.Fatal(err)
	}
	expect("the site is broken, fail open", "broken", "", "", 200, `"code":0`)
}

// TestNoReplayUnlessAsked: an archive alone is not public.
func TestNoReplayUnlessAsked(t *testing.T) {
	s := start(t, func(c *config.Config) { c.Archive = t.TempDir() })
	get(t, "http://"+s.addr()+"/dplayer/v3/?id=r", 404)
}
