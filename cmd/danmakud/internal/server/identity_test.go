package server

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/moderation"
	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"
)

// siteKey signs viewers' tokens in these tests.
var siteKey = ed25519.NewKeyFromSeed([]byte("0123456789abcdef0123456789abcdef"))

// withKeys has the server verify by siteKey.
func withKeys(t *testing.T) func(c *config.Config) {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(siteKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "site.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(c *config.Config) { c.TokenKeys = []string{path} }
}

// ticket signs claims; exp is in an hour unless they say otherwise.
func ticket(t *testing.T, claims jwt.MapClaims) string {
	t.Helper()
	if claims["exp"] == nil {
		claims["exp"] = time.Now().Unix() + 3600
	}
	text, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims).SignedString(siteKey)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// dial asks for a WebSocket; of a refusal it returns the status and the text.
func dial(t *testing.T, s *Server, target string, header http.Header) (v viewer, status int, text string) {
	t.Helper()
	d := websocket.Dialer{HandshakeTimeout: 20 * time.Second}
	c, r, err := d.DialContext(t.Context(), "ws://"+s.addr()+target, header)
	if err != nil {
		if r == nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(r.Body)
		return viewer{}, r.StatusCode, string(body)
	}
	t.Cleanup(func() { c.Close() })
	return viewer{t, c}, 101, ""
}

// enter is dial for who is let in.
func enter(t *testing.T, s *Server, target string) viewer {
	t.Helper()
	v, status, text := dial(t, s, target, nil)
	if status != 101 {
		t.Fatalf("%s answered with %d %s", target, status, text)
	}
	return v
}

func TestTokensAtTheDoor(t *testing.T) {
	s := start(t, withKeys(t))
	good := ticket(t, jwt.MapClaims{"sub": "alice", "name": "Алиса", "role": "vip", "rooms": []string{"live:*"}})
	stranger, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "alice", "exp": time.Now().Unix() + 60}).
		SignedString([]byte(strings.Repeat("x", 32)))
	if err != nil {
		t.Fatal(err)
	}
	bearer := func(text string) http.Header { return http.Header{"Authorization": {text}} }
	for name, c := range map[string]struct {
		target string
		header http.Header
		status int
		text   string
	}{
		"query":            {"/ws/live:1?token=" + good, nil, 101, ""},
		"header":           {"/ws/live:1", bearer("Bearer " + good), 101, ""},
		"small letters":    {"/ws/live:1", bearer("bearer  " + good), 101, ""},
		"guest":            {"/ws/live:1", nil, 101, ""},
		"empty":            {"/ws/live:1?token=", nil, 101, ""},
		"another scheme":   {"/ws/live:1", bearer("Basic YTpi"), 101, ""},
		"other room":       {"/ws/other?token=" + good, nil, 403, "not for this room"},
		"both":             {"/ws/live:1?token=" + good, bearer("Bearer " + good), 400, "not in both"},
		"no token":         {"/ws/live:1", bearer("Bearer "), 401, "no signed JWT"},
		"garbage":          {"/ws/live:1?token=hello", nil, 401, "no signed JWT"},
		"stranger's":       {"/ws/live:1?token=" + stranger, nil, 401, "not known here"},
		"expired":          {"/ws/live:1?token=" + ticket(t, jwt.MapClaims{"sub": "a", "exp": time.Now().Unix() - 1}), nil, 401, "has expired"},
		"like a guest":     {"/ws/live:1?token=" + ticket(t, jwt.MapClaims{"sub": "~7"}), nil, 401, "sub must name the user"},
		"wrong path first": {"/nowhere?token=hello", nil, 404, "/ws/{room}"},
	} {
		_, status, text := dial(t, s, c.target, c.header)
		if status != c.status || !strings.Contains(text, c.text) {
			t.Errorf("%s: %d %q, want %d %q", name, status, text, c.status, c.text)
		}
	}
	v := enter(t, s, "/ws/live:1?token="+good)
	if m := v.expect("welcome"); m.UID != "alice" || m.Name != "Алиса" || m.Role != "vip" {
		t.Errorf("welcome %+v", m)
	}
	for _, line := range []string{
		`danmakud_closes_total{reason="unauthorized"} 5`, `danmakud_closes_total{reason="forbidden"} 1`,
		`danmakud_tokens_refused_total{problem="expired"} 1`, `danmakud_tokens_refused_total{problem="user"} 1`,
	} {
		eventually(t, s, line)
	}
}

func TestNoKeysNoTokens(t *testing.T) {
	s := start(t, nil)
	if _, status, text := dial(t, s, "/ws/r?token=x.y.z", nil); status != 401 || !strings.Contains(text, "takes no tokens") {
		t.Errorf("%d %q", status, text)
	}
}

func TestTokenOfGuestsNone(t *testing.T) {
	keys := withKeys(t)
	s := start(t, func(c *config.Config) { keys(c); c.Guests = config.GuestsNone })
	if _, status, text := dial(t, s, "/ws/r", nil); status != 403 || !strings.Contains(text, "connect with a token") {
		t.Errorf("guest: %d %q", status, text)
	}
	enter(t, s, "/ws/r?token="+ticket(t, jwt.MapClaims{"sub": "a"}))
}

func TestTokensAreRenewed(t *testing.T) {
	t.Parallel()
	s := start(t, withKeys(t))
	v := enter(t, s, "/ws/r?token="+ticket(t, jwt.MapClaims{"sub": "alice", "exp": time.Now().Unix() + 6}))
	v.expect("welcome")
	renew := func(text string) message {
		t.Helper()
		v.say(`{"type":"token","token":%q,"ref":"t"}`, text)
		m := v.next()
		if m.Ref != "t" {
			t.Fatalf("answered with %+v", m)
		}
		return m
	}
	for name, c := range map[string]struct{ text, code string }{
		"empty":      {"", "bad_field"},
		"bad":        {"x", "unauthorized"},
		"other user": {ticket(t, jwt.MapClaims{"sub": "bob"}), "unauthorized"},
		"other room": {ticket(t, jwt.MapClaims{"sub": "alice", "rooms": []string{"q"}}), "forbidden"},
	} {
		if m := renew(c.text); m.Type != "error" || m.Code != c.code {
			t.Errorf("%s: %+v, want %s", name, m, c.code)
		}
	}
	if m := renew(ticket(t, jwt.MapClaims{"sub": "alice", "role": "moderator"})); m.Type != "ack" {
		t.Fatalf("good token: %+v", m)
	}
	v.say(`{"type":"comment","text":"x"}`)
	if raw := string(v.expect("batch").Comments); !strings.Contains(raw, `"role":"moderator"`) {
		t.Errorf("comment %s has the old role", raw)
	}
	// The first token has ended when one with the same end has.
	other := enter(t, s, "/ws/r?token="+ticket(t, jwt.MapClaims{"sub": "carol", "exp": time.Now().Unix() + 7}))
	if code := other.expectClose(); code != 4001 {
		t.Errorf("closed with %d", code)
	}
	v.say(`{"type":"ping","ref":"p"}`)
	for m := v.next(); m.Type != "pong"; m = v.next() {
		if m.Type != "batch" {
			t.Fatalf("got %+v after the first token's end", m)
		}
	}
	g, _ := guest(t, s, "r")
	g.say(`{"type":"token","token":%q,"ref":"t"}`, ticket(t, jwt.MapClaims{"sub": "alice"}))
	if m := g.expect("error"); m.Code != "unauthorized" {
		t.Errorf("guest: %+v", m)
	}
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	keys := withKeys(t)
	data := t.TempDir()
	s := start(t, func(c *config.Config) { keys(c); c.TokenMaxLife, c.Data = 2*time.Hour, data })
	now := time.Now().Unix()
	claims := []jwt.MapClaims{
		{"sub": "alice", "jti": "1", "iat": now - 9}, {"sub": "alice", "jti": "2", "iat": now - 9}, {"sub": "bob", "jti": "3", "iat": now - 9}, {"sub": "alice"},
	}
	var viewers []viewer
	var texts []string
	for i, c := range claims {
		texts = append(texts, ticket(t, c))
		v := enter(t, s, fmt.Sprintf("/ws/room%d?token=%s", i, texts[i]))
		v.expect("welcome")
		viewers = append(viewers, v)
	}
	revoke := func(id, user string, want int) {
		t.Helper()
		if n, err := s.revoke(t.Context(), id, user); n != want || err != nil {
			t.Errorf("revoked %d of %q %q (%v), want %d", n, id, user, err, want)
		}
	}
	gone := func(i int) {
		t.Helper()
		if m := viewers[i].expect("error"); m.Code != "unauthorized" {
			t.Errorf("told %+v", m)
		}
		if code := viewers[i].expectClose(); code != 4001 {
			t.Errorf("closed with %d", code)
		}
		if _, status, text := dial(t, s, "/ws/r?token="+texts[i], nil); status != 401 || !strings.Contains(text, "revoked") {
			t.Errorf("revoked token: %d %q", status, text)
		}
	}
	revoke("1", "", 1)
	gone(0)
	revoke("1", "", 0)
	revoke("nobody's", "", 0)
	revoke("", "alice", 2)
	gone(1)
	gone(3)
	viewers[2].say(`{"type":"ping"}`)
	viewers[2].expect("pong")
	enter(t, s, "/ws/r?token="+ticket(t, jwt.MapClaims{"sub": "alice", "iat": time.Now().Unix() + 1}))
	eventually(t, s, `danmakud_closes_total{reason="token_revoked"} 3`)
	eventually(t, s, `danmakud_revocations 3`)
	if err := s.desk.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.revoke(t.Context(), "x", ""); !errors.Is(err, moderation.ErrClosed) {
		t.Errorf("revoked without being kept: %v", err)
	}
	next := start(t, func(c *config.Config) { keys(c); c.Data = data })
	eventually(t, next, `danmakud_revocations 3`)
	if _, status, text := dial(t, next, "/ws/r?token="+texts[0], nil); status != 401 || !strings.Contains(text, "revoked") {
		t.Errorf("after a restart: %d %q", status, text)
	}
}
