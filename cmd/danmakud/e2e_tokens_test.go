package main

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	coder "github.com/coder/websocket"
)

// Tokens are made here by hand (RFC 7515 section 3.1), apart from the library
// that the server verifies with.

type claims map[string]any

func b64(p []byte) string { return base64.RawURLEncoding.EncodeToString(p) }

// signed returns a token; exp is in an hour unless the claims say otherwise.
func signed(t *testing.T, algorithm, kid string, c claims, sign func(text []byte) []byte) string {
	t.Helper()
	if c["exp"] == nil {
		c["exp"] = time.Now().Unix() + 3600
	}
	head, err := json.Marshal(map[string]string{"alg": algorithm, "kid": kid})
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	text := b64(head) + "." + b64(body)
	return text + "." + b64(sign([]byte(text)))
}

func bySecret(secret []byte) func([]byte) []byte {
	return func(text []byte) []byte {
		h := hmac.New(sha256.New, secret)
		h.Write(text)
		return h.Sum(nil)
	}
}

func byKey(k ed25519.PrivateKey) func([]byte) []byte {
	return func(text []byte) []byte { return ed25519.Sign(k, text) }
}

// edKey is the same at every run.
func edKey(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func writeFile(t *testing.T, path string, content []byte) string {
	t.Helper()
	next := path + ".next"
	if err := os.WriteFile(next, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func jwks(keys map[string]ed25519.PrivateKey) []byte {
	var list []string
	for id, k := range keys {
		list = append(list, fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","kid":%q,"x":%q}`, id, b64(k.Public().(ed25519.PublicKey))))
	}
	return []byte(`{"keys":[` + strings.Join(list, ",") + `]}`)
}

// refused expects an answer before the upgrade.
func (s *instance) refused(target string, status int, text string, extra ...string) {
	s.t.Helper()
	v := s.dial()
	v.write([]byte(requestHead(target, extra...)))
	r, body := v.response()
	if r.StatusCode != status || !strings.Contains(body, text) {
		s.t.Errorf("%s answered with %d %q, want %d %q", target, r.StatusCode, body, status, text)
	}
	if status == 401 && !strings.HasPrefix(r.Header.Get("WWW-Authenticate"), "Bearer") {
		s.t.Errorf("%s: WWW-Authenticate %q", target, r.Header.Get("WWW-Authenticate"))
	}
}

// TestTokens is a viewer's life with one, by a client that we did not write.
func TestTokens(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	site := edKey("site")
	der, err := x509.MarshalPKIXPublicKey(site.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	secret := []byte(strings.Repeat("s", 40))
	s := startServer(t, "--guests=watch",
		"--token-key="+writeFile(t, filepath.Join(dir, "site.pem"), public),
		"--token-key="+writeFile(t, filepath.Join(dir, "old.secret"), append(secret, '\n')))
	alice := signed(t, "EdDSA", "site", claims{"sub": "alice", "name": "小红", "role": "vip", "rooms": []string{"live:*"}}, byKey(site))

	s.refused("/ws/lobby?token="+alice, 403, "not for this room")
	s.refused("/ws/live:1?token="+alice+"x", 401, "the token")
	s.refused("/ws/live:1", 401, "signature", "Authorization: Bearer "+signed(t, "HS256", "", claims{"sub": "alice"}, bySecret(public))+"\r\n")
	s.refused("/ws/live:1?token="+signed(t, "none", "", claims{"sub": "alice"}, func([]byte) []byte { return nil }), 401, "HS256, RS256 or EdDSA")
	s.refused("/ws/live:1?token="+signed(t, "HS256", "", claims{"sub": "bob", "exp": 1}, bySecret(secret)), 401, "expired")
	s.refused("/ws/live:1?token="+strings.Repeat("A", 7000), 401, "no signed JWT")
	s.refused("/ws/live:1?token="+strings.Repeat("A", 9000), 431, "8 KiB")

	guest := s.join("live:1")
	guest.send(say("let me", "g"))
	if m, _ := guest.until("error"); m.Code != "unauthorized" {
		t.Errorf("guest: %+v", m)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, _, err := coder.Dial(ctx, "ws://"+s.public[0]+"/ws/live:1", &coder.DialOptions{
		HTTPClient: s.http, HTTPHeader: http.Header{"Authorization": {"Bearer " + alice}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	read := func(kind string) message {
		t.Helper()
		for {
			_, p, err := conn.Read(ctx)
			if err != nil {
				t.Fatal(err)
			}
			m, err := parseMessage(p)
			if err != nil {
				t.Fatal(err)
			}
			if m.Type == kind {
				return m
			}
		}
	}
	if m := read("welcome"); m.UID != "alice" || m.Name != "小红" || m.Role != "vip" {
		t.Errorf("welcome %+v", m)
	}
	for _, text := range []string{say("hello", ""), `{"type":"token","ref":"t","token":"` +
		signed(t, "EdDSA", "", claims{"sub": "alice", "rooms": []string{"live:*"}, "exp": time.Now().Unix() + 6}, byKey(site)) + `"}`} {
		if err := conn.Write(ctx, coder.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if m := read("ack"); m.Ref != "t" {
		t.Errorf("renewal: %+v", m)
	}
	m, _ := guest.until("batch")
	if c := m.comments[0]; c.UID != "alice" || c.Name != "小红" || c.Role != "vip" {
		t.Errorf("comment %+v", c)
	}
	if m := read("error"); m.Code != "unauthorized" || !strings.Contains(m.Message, "expired") {
		t.Errorf("at the end: %+v", m)
	}
	if _, _, err := conn.Read(ctx); coder.CloseStatus(err) != 4001 || !strings.Contains(err.Error(), "token_expired") {
		t.Errorf("closed with %v", err)
	}
	s.awaitMetric(`danmakud_closes_total{reason="token_expired"}`, 1)
	s.awaitMetric(`danmakud_closes_total{reason="unauthorized"}`, 5)
	s.awaitMetric(`danmakud_closes_total{reason="forbidden"}`, 1)
	guest.ping("still here")
}

// TestJWKSRotation: keys come and go with the file, without a restart and without
// a settings file; a broken one changes nothing.
func TestJWKSRotation(t *testing.T) {
	t.Parallel()
	first, second := edKey("first"), edKey("second")
	path := writeFile(t, filepath.Join(t.TempDir(), "jwks.json"), jwks(map[string]ed25519.PrivateKey{"1": first}))
	s := startServer(t, "--jwks="+path, "--guests=none")
	old := "Authorization: Bearer " + signed(t, "EdDSA", "1", claims{"sub": "a"}, byKey(first)) + "\r\n"
	fresh := "Authorization: Bearer " + signed(t, "EdDSA", "2", claims{"sub": "b"}, byKey(second)) + "\r\n"
	s.refused("/ws/r", 403, "guests")
	s.refused("/ws/r", 401, "not known here", fresh)
	s.join("r", old)

	seen := s.stderr.count()
	writeFile(t, path, jwks(map[string]ed25519.PrivateKey{"1": first, "2": second}))
	if _, err := s.stderr.recordAfter(seen, "keys read again"); err != nil { // noticed by itself
		t.Fatal(err)
	}
	s.join("r", fresh)

	writeFile(t, path, []byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"AA"}]}`))
	seen = s.stderr.count()
	s.signal(syscall.SIGHUP)
	if _, err := s.stderr.recordAfter(seen, "keys not read again, those there were stay"); err != nil {
		t.Fatal(err)
	}
	s.join("r", old)
	s.join("r", fresh)

	writeFile(t, path, jwks(map[string]ed25519.PrivateKey{"2": second}))
	seen = s.stderr.count()
	s.signal(syscall.SIGHUP)
	if _, err := s.stderr.recordAfter(seen, "keys read again"); err != nil {
		t.Fatal(err)
	}
	s.refused("/ws/r", 401, "not known here", old)
	s.join("r", fresh)
}

func TestStartWithBrokenKeys(t *testing.T) {
	t.Parallel()
	path := writeFile(t, filepath.Join(t.TempDir(), "short.secret"), []byte("too short"))
	s := launch(t, nil, "--listen=127.0.0.1:0", "--control=off", "--token-key="+path)
	if status := s.wait(); status == 0 || !strings.Contains(s.stderr.String(), "at least 32 bytes") || !strings.Contains(s.stderr.String(), path) {
		t.Errorf("status %d\n%s", status, s.stderr.String())
	}
}

// TestConnectCallback: the site decides, and a server that goes down does not wait
// for its answers.
func TestConnectCallback(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Room, Address string
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || q.Address != "127.0.0.1" || r.Header.Get("Authorization") != "Bearer s3cret" {
			w.WriteHeader(400)
			return
		}
		switch q.Room {
		case "members":
			io.WriteString(w, `{"allow":false,"message":"members only"}`)
		case "hang":
			select {
			case <-hang:
			case <-r.Context().Done():
			}
		case "broken":
			w.WriteHeader(500)
		default:
			io.WriteString(w, `{"allow":true,"user":"bob","role":"moderator"}`)
		}
	}))
	t.Cleanup(func() { close(hang); site.CloseClientConnections(); site.Close() })
	secret := writeFile(t, filepath.Join(t.TempDir(), "secret"), []byte("s3cret\n"))
	s := startServer(t, "--connect-url="+site.URL, "--connect-secret=file:"+secret, "--connect-timeout=8s", "--drain-time=20s")
	s.refused("/ws/members", 403, "members only")
	s.refused("/ws/broken", 503, "try again later")
	v := s.join("free")
	if v.welcome.UID != "bob" || v.welcome.Role != "moderator" {
		t.Errorf("welcome %+v", v.welcome)
	}
	v.send(`{"type":"switch","room":"members","ref":"s"}`)
	if m, _ := v.until("error"); m.Code != "forbidden" {
		t.Errorf("switch to a room that was not asked about: %+v", m)
	}
	waits := s.dial()
	waits.write([]byte(requestHead("/ws/hang")))
	s.awaitMetric("danmakud_connections", 2)
	if strings.Contains(s.stderr.String(), "s3cret") {
		t.Error("the secret is in the log")
	}
	s.signal(syscall.SIGTERM)
	v.closedWith(1012)
	v.conn.Close()
	if r, _ := waits.response(); r.StatusCode != 503 {
		t.Errorf("who waited got %d", r.StatusCode)
	}
	waits.conn.Close()
	if status := s.wait(); status != 0 {
		t.Errorf("status %d\n%s", status, s.stderr.String())
	}
}
