package server

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/room"
	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"
)

// patient is for how long a site may answer; the time for the handshake is not much longer.
const patient = 9 * time.Second

// site answers questions about viewers until the test ends.
func site(t *testing.T, answer http.HandlerFunc) (url string) {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s.URL
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, text)
	}
}

func TestSiteIsAsked(t *testing.T) {
	asked := make(chan *http.Request, 10)
	bodies := make(chan []byte, 10)
	url := site(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies <- body
		asked <- r
		io.WriteString(w, `{"allow":true,"name":"Alice A.","role":"anchor","more":1}`)
	})
	keys := withKeys(t)
	s := start(t, func(c *config.Config) {
		keys(c)
		c.ConnectURL, c.ConnectTimeout, c.ConnectSecret = url+"/live", patient, "s3cret"
	})
	text := ticket(t, jwt.MapClaims{"sub": "alice", "name": "alice", "rooms": []string{"r", "q"}})
	header := http.Header{"Origin": {"http://" + s.addr()}, "User-Agent": {"player/1"}}
	v, status, _ := dial(t, s, "/ws/r?token="+text, header)
	if status != 101 {
		t.Fatalf("status %d", status)
	}
	r := <-asked
	if r.Method != "POST" || r.URL.Path != "/live" || r.Header.Get("Authorization") != "Bearer s3cret" || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("asked by %s %s %v", r.Method, r.URL, r.Header)
	}
	var got map[string]any
	if err := json.Unmarshal(<-bodies, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"room": "r", "user": "alice", "name": "alice", "role": "viewer", "address": "127.0.0.1",
		"origin": "http://" + s.addr(), "user_agent": "player/1"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("asked %v, want %v", got, want)
	}
	if m := v.expect("welcome"); m.UID != "alice" || m.Name != "Alice A." || m.Role != "anchor" {
		t.Errorf("welcome %+v", m)
	}
	// Asked about r alone, although the token is for q, too; a renewal changes nothing of it.
	renewed := ticket(t, jwt.MapClaims{"sub": "alice", "role": "viewer"})
	v.say(`{"type":"token","token":%q,"ref":"t"}`, renewed)
	v.expect("ack")
	v.say(`{"type":"switch","room":"q","ref":"s"}`)
	if m := v.expect("error"); m.Code != "forbidden" {
		t.Errorf("switch: %+v", m)
	}
	v.say(`{"type":"comment","text":"x"}`)
	if raw := string(v.expect("batch").Comments); !strings.Contains(raw, `"role":"anchor"`) {
		t.Errorf("comment %s", raw)
	}
	eventually(t, s, `danmakud_connect_total{outcome="allowed"} 1`)
}

// TestAnswers: what becomes of viewers by what the site says.
func TestAnswers(t *testing.T) {
	t.Parallel()
	var answer atomic.Pointer[http.HandlerFunc]
	url := site(t, func(w http.ResponseWriter, r *http.Request) { (*answer.Load())(w, r) })
	for _, open := range []bool{false, true} {
		s := start(t, func(c *config.Config) {
			c.ConnectURL, c.ConnectTimeout, c.Guests = url, patient, config.GuestsWatch
			if open {
				c.ConnectFail = config.FailOpen
			}
		})
		status := func(code int) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(code); says(`{"allow":true}`)(w, r) }
		}
		const broken = 0
		for name, c := range map[string]struct {
			answer http.HandlerFunc
			status int
			text   string
		}{
			"allowed":      {says(`{"allow":true}`), 101, ""},
			"denied":       {says(`{"allow":false}`), 403, "the site does not let you in"},
			"said why":     {says(`{"allow":false,"message":"members only, 会员"}`), 403, "members only, 会员"},
			"long why":     {says(`{"allow":false,"message":"` + strings.Repeat("长", 500) + `"}`), 403, strings.Repeat("长", 66) + "\n"},
			"500":          {status(500), broken, ""},
			"404":          {status(404), broken, ""},
			"201":          {status(201), broken, ""},
			"elsewhere":    {http.RedirectHandler("/other", 307).ServeHTTP, broken, ""},
			"rubbish":      {says(`hello`), broken, ""},
			"nothing":      {says(``), broken, ""},
			"two answers":  {says(`{"allow":true}{"allow":false}`), broken, ""},
			"no word":      {says(`{}`), broken, ""},
			"null":         {says(`{"allow":null}`), broken, ""},
			"text":         {says(`{"allow":"true"}`), broken, ""},
			"like a guest": {says(`{"allow":true,"user":"~1"}`), broken, ""},
			"no role":      {says(`{"allow":true,"role":"king"}`), broken, ""},
			"bad name":     {says(`{"allow":true,"name":"a\nb"}`), broken, ""},
			"bad rooms":    {says(`{"allow":true,"rooms":["a b"]}`), broken, ""},
			"too long":     {says(`{"allow":true,"x":"` + strings.Repeat("x", answerMax) + `"}`), broken, ""},
			"hangs up":     {func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }, broken, ""},
			"half a answer": {func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "99")
				io.WriteString(w, `{"al`)
			}, broken, ""},
		} {
			answer.Store(&c.answer)
			want := c.status
			switch {
			case want != broken:
			case open:
				want = 101
			default:
				want, c.text = 503, "try again later"
			}
			if _, got, text := dial(t, s, "/ws/r", nil); got != want || !strings.Contains(text, c.text) {
				t.Errorf("%s, open %v: %d %q, want %d %q", name, open, got, text, want, c.text)
			}
		}
		eventually(t, s, `danmakud_connect_total{outcome="denied"} 3`)
		eventually(t, s, `danmakud_connect_total{outcome="error"} 17`)
	}
}

func TestSiteNamesGuests(t *testing.T) {
	url := site(t, func(w http.ResponseWriter, r *http.Request) {
		var q question
		json.NewDecoder(r.Body).Decode(&q)
		answers := map[string]string{
			"user": `{"allow":true,"user":"bob","name":"Bob","rooms":["*"]}`, "name": `{"allow":true,"name":"Gast"}`, "guest": `{"allow":true}`,
		}
		io.WriteString(w, answers[q.Room])
	})
	s := start(t, func(c *config.Config) { c.ConnectURL, c.ConnectTimeout, c.Guests = url, patient, config.GuestsWatch })
	for name, want := range map[string]struct {
		id, shown string
		speaks    bool
	}{"user": {"bob", "Bob", true}, "name": {"~", "Gast", false}, "guest": {"~", "", false}} {
		v := enter(t, s, "/ws/"+name)
		m := v.expect("welcome")
		if !strings.HasPrefix(m.UID, want.id) || m.Name != want.shown {
			t.Errorf("%s: welcome %+v", name, m)
		}
		if n, err := s.forUser(t.Context(), m.UID, func(*handler, poller.Slot) bool { return true }); n != 1 || err != nil {
			t.Errorf("%s: %d connections of %s (%v)", name, n, m.UID, err)
		}
		v.say(`{"type":"comment","text":"x","ref":"1"}`)
		if m := v.next(); (m.Type != "error") != want.speaks {
			t.Errorf("%s: comment answered with %+v", name, m)
		}
		v.say(`{"type":"switch","room":"elsewhere"}`)
		for m = v.next(); m.Type == "batch"; m = v.next() {
		}
		if (m.Type == "welcome") != want.speaks {
			t.Errorf("%s: switch answered with %+v", name, m)
		}
	}
}

// TestSiteHangs: viewers wait no longer than the timeout, those who have no place
// in the queue not at all, and the loops serve others meanwhile.
func TestSiteHangs(t *testing.T) {
	t.Parallel()
	hung := make(chan struct{})
	url := site(t, func(w http.ResponseWriter, r *http.Request) {
		var q question
		json.NewDecoder(r.Body).Decode(&q)
		if q.Room != "fine" {
			select {
			case <-hung:
			case <-r.Context().Done():
			}
		}
		io.WriteString(w, `{"allow":true}`)
	})
	t.Cleanup(func() { close(hung) })
	s := start(t, func(c *config.Config) { c.ConnectURL, c.ConnectTimeout = url, 300*time.Millisecond })
	if _, status, text := dial(t, s, "/ws/hung", nil); status != 503 {
		t.Errorf("%d %q, want 503", status, text)
	}
	eventually(t, s, `danmakud_connect_total{outcome="timeout"} 1`)
	eventually(t, s, `danmakud_closes_total{reason="connect_failed"} 1`)
	await(t, "others are let in", func() bool { // the site may take longer than that for them, too, on a busy machine
		v, status, _ := dial(t, s, "/ws/fine", nil)
		if status == 101 {
			v.expect("welcome")
		}
		return status == 101
	})
}

func TestQueueOfQuestionsIsFull(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	url := site(t, func(w http.ResponseWriter, r *http.Request) {
		<-release
		io.WriteString(w, `{"allow":true}`)
	})
	c := config.Default()
	c.Listen, c.Control, c.Loops, c.DrainTime = []string{"127.0.0.1:0"}, "127.0.0.1:0", 2, 100*time.Millisecond
	c.ConnectURL, c.ConnectTimeout = url, 9*time.Second
	s, err := New(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.callback.pool = newErrands("connect", asksAtOnce, 2, s.log)
	s.Start()
	t.Cleanup(func() { s.Close() })
	const more = 10
	results := make(chan int, asksAtOnce+2+more)
	for range cap(results) {
		go func() {
			d := websocket.Dialer{HandshakeTimeout: 20 * time.Second}
			c, r, err := d.Dial("ws://"+s.addr()+"/ws/r", nil)
			switch {
			case err == nil:
				c.Close()
				results <- 101
			case r != nil:
				results <- r.StatusCode
			default:
				results <- 0
			}
		}()
	}
	counts := map[int]int{}
	for range more {
		counts[<-results]++
	}
	if counts[503] != more {
		t.Errorf("first answers %v, want 503 and nothing else", counts)
	}
	close(release)
	for range cap(results) - more {
		counts[<-results]++
	}
	if counts[101] != asksAtOnce+2 || counts[503] != more {
		t.Errorf("answers %v", counts)
	}
	eventually(t, s, fmt.Sprintf(`danmakud_connect_total{outcome="full"} %d`, counts[503]))
	eventually(t, s, fmt.Sprintf(`danmakud_connect_total{outcome="allowed"} %d`, counts[101]))
}

// TestViewersLeaveWhileAsked: an answer about somebody who has gone meets nobody,
// and what a viewer sent meanwhile is not lost.
func TestViewersLeaveWhileAsked(t *testing.T) {
	arrived, release := make(chan string, 10), make(chan struct{})
	url := site(t, func(w http.ResponseWriter, r *http.Request) {
		var q question
		json.NewDecoder(r.Body).Decode(&q)
		arrived <- q.Room
		<-release
		io.WriteString(w, `{"allow":true}`)
	})
	s := start(t, func(c *config.Config) { c.ConnectURL, c.ConnectTimeout = url, 9*time.Second })
	head := func(name string) string {
		return "GET /ws/" + name + " HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
			"Sec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\nSec-WebSocket-Version: 13\r\n\r\n"
	}
	dial := func(name, behind string) *net.TCPConn {
		t.Helper()
		c, err := net.Dial("tcp", s.addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		io.WriteString(c, head(name)+behind)
		<-arrived
		return c.(*net.TCPConn)
	}
	gone := dial("gone", "")
	gone.SetLinger(0)
	gone.Close()
	shut := dial("shut", "")
	shut.CloseWrite()
	const ping = "\x89\x81\x00\x00\x00\x00" // masked, one byte
	stays := dial("stays", ping+"a")
	for _, word := range []string{"b", "c"} {
		io.WriteString(stays, ping+word)
	}
	await(t, "the reset", func() bool { return s.reactor.Connections() == 2 })
	close(release)
	stays.SetReadDeadline(time.Now().Add(20 * time.Second))
	var got strings.Builder
	buf := make([]byte, 4096)
	for !strings.Contains(got.String(), "\x8a\x01c") {
		n, err := stays.Read(buf)
		if err != nil {
			t.Fatalf("%v after %q", err, got.String())
		}
		got.Write(buf[:n])
	}
	for _, want := range []string{"101 Switching", `"type":"welcome"`, "\x8a\x01a\x8a\x01b\x8a\x01c"} {
		if !strings.Contains(got.String(), want) {
			t.Errorf("%q has no %q", got.String(), want)
		}
	}
	eventually(t, s, `danmakud_connect_gone_total 1`)
	eventually(t, s, `danmakud_connect_total{outcome="allowed"} 3`)
	stays.Close()
	shut.Close()
	await(t, "the end of all", func() bool { return s.reactor.Connections() == 0 && s.partialBytes.Load() == 0 })
}

// TestHandshakeClockWhileAsked: the question does not make a handshake last longer.
func TestHandshakeClockWhileAsked(t *testing.T) {
	t.Parallel()
	url := site(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); <-r.Context().Done() })
	s := start(t, func(c *config.Config) {
		c.ConnectURL, c.HandshakeTimeout, c.ConnectTimeout = url, 5*time.Second, 60*time.Second // which the settings' check would not let pass
	})
	if _, status, text := dial(t, s, "/ws/r", nil); status != 503 || !strings.Contains(text, "no answer in time") {
		t.Errorf("%d %q", status, text)
	}
}

// TestTokenEndsWhileAsked: what was good when the question went out is looked at
// again.
func TestTokenEndsWhileAsked(t *testing.T) {
	arrived, release := make(chan string, 10), make(chan struct{})
	url := site(t, func(w http.ResponseWriter, r *http.Request) {
		arrived <- ""
		<-release
		io.WriteString(w, `{"allow":true}`)
	})
	keys := withKeys(t)
	s := start(t, func(c *config.Config) { keys(c); c.ConnectURL, c.ConnectTimeout = url, 9*time.Second })
	text := ticket(t, jwt.MapClaims{"sub": "alice", "jti": "1"})
	go func() {
		<-arrived
		if _, err := s.revoke(t.Context(), "1", ""); err != nil {
			t.Error(err)
		}
		close(release)
	}()
	if _, status, body := dial(t, s, "/ws/r?token="+text, nil); status != 401 || !strings.Contains(body, "revoked") {
		t.Errorf("%d %q", status, body)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"allow":true,"user":"bob","name":"Bob","role":"vip","rooms":["a*"]}`))
	f.Add([]byte(`{"allow":false,"message":"no"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := parseAnswer(text)
		if err != nil {
			return
		}
		if len(a.message) > messageMax || len(a.name) > 64 || len(a.user) > 64 || strings.HasPrefix(a.user, "~") || a.role != nil && *a.role >= room.Roles {
			t.Fatalf("%s gives %+v", text, a)
		}
	})
}
