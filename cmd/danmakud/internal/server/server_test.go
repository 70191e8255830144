package server

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/room"
	"github.com/danmakud/danmakud/wsproto"
	"github.com/gorilla/websocket"
)

// start runs a server on free ports until the test ends.
func start(t *testing.T, change func(*config.Config)) *Server {
	t.Helper()
	c := config.Default()
	c.Listen, c.Control = []string{"127.0.0.1:0"}, "127.0.0.1:0"
	c.Loops = 2
	c.DrainTime = 100 * time.Millisecond
	if change != nil {
		change(&c)
	}
	s, err := New(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func (s *Server) addr() string { return s.reactor.Addrs()[0].String() }

// viewer is a WebSocket client that we did not write.
type viewer struct {
	t *testing.T
	*websocket.Conn
}

func join(t *testing.T, s *Server, room string) viewer {
	t.Helper()
	c, _, err := websocket.DefaultDialer.Dial("ws://"+s.addr()+"/ws/"+room, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	v := viewer{t, c}
	v.expect("welcome")
	return v
}

// message is any message of the server.
type message struct {
	Type, Room, Code, Ref, ID, Epoch, UID, Reason string
	Name, Role                                    string
	Seq, From, To, Batches, Likes, Sampled        uint64
	Online                                        *int
	RetryAfterMs                                  int64 `json:"retry_after_ms"`
	History                                       []comment
	Comments, Settings                            json.RawMessage
}

type comment struct{ ID, UID, Text, Mode string }

func (m message) texts(t *testing.T) (texts []string) {
	t.Helper()
	var comments []comment
	if err := json.Unmarshal(m.Comments, &comments); err != nil {
		t.Fatalf("comments %s: %v", m.Comments, err)
	}
	for _, c := range comments {
		texts = append(texts, c.Text)
	}
	return texts
}

func (v viewer) next() message {
	v.t.Helper()
	v.SetReadDeadline(time.Now().Add(60 * time.Second)) // a guard against hanging
	var m message
	if err := v.ReadJSON(&m); err != nil {
		v.t.Fatal(err)
	}
	return m
}

func (v viewer) expect(kind string) message {
	v.t.Helper()
	m := v.next()
	if m.Type != kind {
		v.t.Fatalf("got %+v, want a %s", m, kind)
	}
	return m
}

func (v viewer) say(format string, args ...any) {
	v.t.Helper()
	if err := v.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, format, args...)); err != nil {
		v.t.Fatal(err)
	}
}

// expectClose reads until the server closes, and returns the code.
func (v viewer) expectClose() int {
	v.t.Helper()
	v.SetReadDeadline(time.Now().Add(20 * time.Second))
	for {
		if _, _, err := v.ReadMessage(); err != nil {
			closed, ok := err.(*websocket.CloseError)
			if !ok {
				v.t.Fatalf("ended without a close frame: %v", err)
			}
			return closed.Code
		}
	}
}

func scrape(t *testing.T, s *Server) string {
	t.Helper()
	return get(t, "http://"+s.controlListener.Addr().String()+"/metrics", 200)
}

func get(t *testing.T, url string, status int) string {
	t.Helper()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if r.StatusCode != status {
		t.Fatalf("%s: %s: %s", url, r.Status, body)
	}
	return string(body)
}

// eventually waits for a metric to have a value.
func eventually(t *testing.T, s *Server, line string) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !strings.Contains(scrape(t, s), "\n"+line+"\n"); time.Sleep(25 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never came: %s\n%s", line, scrape(t, s))
		}
	}
}

func TestCommentsReachEverybodyMerged(t *testing.T) {
	t.Parallel()
	for _, loops := range []int{1, 2, 5} {
		t.Run(fmt.Sprintf("%d loops", loops), func(t *testing.T) {
			t.Parallel()
			s := start(t, func(c *config.Config) { c.Loops = loops; c.Tick = 5 * time.Second }) // in which all are said
			viewers := make([]viewer, 12)
			for i := range viewers {
				viewers[i] = join(t, s, "r")
			}
			viewers[0].say(`{"type":"comment","text":"first"}`)
			for i, v := range viewers {
				if m := v.expect("batch"); m.Seq != 1 || m.texts(t)[0] != "first" || *m.Online != 12 {
					t.Fatalf("viewer %d got %+v", i, m)
				}
			}
			for i := range 5 {
				viewers[0].say(`{"type":"comment","text":"%d"}`, i)
			}
			viewers[0].say(`{"type":"like","count":9}`)
			for _, v := range viewers {
				m := v.expect("batch")
				if got := strings.Join(m.texts(t), ""); m.Seq != 2 || got != "01234" || m.Likes != 9 || m.Online != nil {
					t.Fatalf("second batch %+v with %s", m, got)
				}
			}
			eventually(t, s, "danmakud_frames_written_total 24")
			eventually(t, s, `danmakud_encodings_total{encoding="json"} 2`)
		})
	}
}

func TestAnswersToOneViewer(t *testing.T) {
	s := start(t, func(c *config.Config) { c.CommentRate = 0 })
	v := join(t, s, "r")
	cases := []struct{ say, kind, code, ref string }{
		{`{"type":"comment","text":"x","ref":"c1"}`, "ack", "", "c1"},
		{`{"type":"ping","ref":"p\"1"}`, "pong", "", `p"1`},
		{`{"type":"ping"}`, "pong", "", ""},
		{`{"type":"comment","text":" \t ","ref":"c2"}`, "error", "empty", "c2"},
		{`{"type":"comment","text":"a\u0007b"}`, "error", "bad_field", ""},
		{`{"type":"comment","text":"` + strings.Repeat("弹", 201) + `"}`, "error", "too_long", ""},
		{`{"type":"comment","text":"x","color":16777216}`, "error", "bad_field", ""},
		{`{"type":"comment","text":"x","color":"red","ref":"c3"}`, "error", "bad_field", "c3"},
		{`{"type":"comment","text":"x","mode":"diagonal"}`, "error", "bad_field", ""},
		{`{"type":"comment","text":"x","size":"huge"}`, "error", "bad_field", ""},
		{`{"type":"comment","text":"x","ref":"` + strings.Repeat("r", 65) + `"}`, "error", "bad_field", ""},
		{`{"type":"like","count":0}`, "error", "bad_field", ""},
		{`{"type":"like","count":101}`, "error", "bad_field", ""},
		{`{"type":"switch","room":"a b"}`, "error", "bad_field", ""},
		{`{"type":"dance"}`, "error", "bad_type", ""},
		{`{}`, "error", "bad_type", ""},
		{`[]`, "error", "bad_json", ""},
		{`{"type":`, "error", "bad_json", ""},
		{`hello`, "error", "bad_json", ""},
		{`null`, "error", "bad_json", ""},
		{`{"type":"comment","text":"a\x41"}`, "error", "bad_json", ""},
		{`{"type":"comment","text":"x","color":01}`, "error", "bad_json", ""},
		{`{"type":"comment","text":"x","color":1.5}`, "error", "bad_field", ""},
		{`{"type":"comment","text":7,"ref":"` + strings.Repeat("<", 64) + `"}`, "error", "bad_field", strings.Repeat("<", 64)},
	}
	for _, c := range cases {
		v.say("%s", c.say)
		m := v.next()
		for m.Type == "batch" {
			m = v.next()
		}
		if m.Type != c.kind || m.Code != c.code || m.Ref != c.ref {
			t.Errorf("%s: got %+v", c.say, m)
		}
	}
	v.say(`{"type":"comment","text":"%s"}`, strings.Repeat("弹", 200))
	if m := v.expect("batch"); len([]rune(m.texts(t)[0])) != 200 {
		t.Errorf("200 characters must pass: %+v", m)
	}
}

func TestSwitchAndHistory(t *testing.T) {
	s := start(t, nil)
	a, b := join(t, s, "one"), join(t, s, "two")
	a.say(`{"type":"comment","text":"in one"}`)
	a.expect("batch")
	b.say(`{"type":"switch","room":"one"}`)
	m := b.expect("welcome")
	if m.Room != "one" || m.Seq != 1 || len(m.History) != 1 || m.History[0].Text != "in one" || *m.Online != 2 {
		t.Fatalf("welcome after switch: %+v", m)
	}
	b.say(`{"type":"comment","text":"hello one"}`)
	if m := a.expect("batch"); m.Seq != 2 || m.texts(t)[0] != "hello one" {
		t.Fatalf("batch %+v", m)
	}
	rooms := get(t, "http://"+s.controlListener.Addr().String()+"/v1/rooms/one", 200)
	if !strings.Contains(rooms, `"online":2`) || !strings.Contains(rooms, `"tick_ms":100`) {
		t.Errorf("room: %s", rooms)
	}
	get(t, "http://"+s.controlListener.Addr().String()+"/v1/rooms/none", 404)
	get(t, "http://"+s.controlListener.Addr().String()+"/v1/rooms?limit=0", 400)
	if list := get(t, "http://"+s.controlListener.Addr().String()+"/v1/rooms?limit=1", 200); !strings.Contains(list, `"next":"one"`) {
		t.Errorf("list: %s", list)
	}
}

func TestRateLimitAndAbuse(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *config.Config) { c.CommentRate, c.CommentBurst = 0.001, 2 })
	v := join(t, s, "r")
	for i := range strikesMax + 2 {
		v.say(`{"type":"comment","text":"%d","ref":"%d"}`, i, i)
	}
	limited := 0
	for {
		v.SetReadDeadline(time.Now().Add(20 * time.Second))
		var m message
		if err := v.ReadJSON(&m); err != nil {
			if !websocket.IsCloseError(err, websocket.ClosePolicyViolation) {
				t.Fatal(err)
			}
			break
		}
		if m.Code == "rate_limited" {
			if limited++; m.RetryAfterMs <= 0 {
				t.Fatalf("no retry_after_ms: %+v", m)
			}
		}
	}
	if limited < strikesMax-5 {
		t.Errorf("%d refused before the close", limited)
	}
	eventually(t, s, `danmakud_closes_total{reason="abuse"} 1`)
	eventually(t, s, `danmakud_comments_received_total 2`)
}

func TestRoomsFull(t *testing.T) {
	s := start(t, func(c *config.Config) { c.MaxRooms = 1 })
	v := join(t, s, "only")
	_, resp, err := websocket.DefaultDialer.Dial("ws://"+s.addr()+"/ws/other", nil)
	if err == nil || resp == nil || resp.StatusCode != 503 {
		t.Fatalf("second room: %v %v", resp, err)
	}
	v.say(`{"type":"switch","room":"other","ref":"s"}`)
	if m := v.expect("error"); m.Code != "overloaded" || m.Ref != "s" {
		t.Fatalf("switch answered %+v", m)
	}
	if m := v.expect("welcome"); m.Room != "only" {
		t.Fatalf("back to %+v", m)
	}
	eventually(t, s, `danmakud_rejected_total{reason="rooms"} 2`)
}

func TestFullTickIsDisclosed(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *config.Config) {
		c.CommentRate, c.PendingComments, c.Tick = 0, 3, 5*time.Second // in which all are said
	})
	v := join(t, s, "r")
	v.say(`{"type":"comment","text":"at once"}`)
	v.expect("batch")
	for i := range 5 {
		v.say(`{"type":"comment","text":"%d"}`, i)
	}
	for range 2 {
		if m := v.expect("error"); m.Code != "overloaded" || m.RetryAfterMs <= 0 {
			t.Fatalf("got %+v", m)
		}
	}
	if m := v.expect("batch"); m.Sampled != 2 || strings.Join(m.texts(t), "") != "012" {
		t.Fatalf("got %+v", m)
	}
}

// Each reason a connection can end with has a counter from the start.
func TestEveryReasonHasACounter(t *testing.T) {
	s := start(t, nil)
	text := scrape(t, s)
	seen := make(map[string]bool)
	for _, r := range allReasons() {
		name := reasonName(r)
		if seen[name] || strings.HasPrefix(name, "reason_") {
			t.Errorf("reason %d is named %q", r, name)
		}
		seen[name] = true
		if !strings.Contains(text, fmt.Sprintf("danmakud_closes_total{reason=%q} 0\n", name)) {
			t.Errorf("no counter for %s", name)
		}
	}
	for _, v := range wsproto.Violations() {
		if r, ok := violationReasons[v]; !ok || !seen[reasonName(r)] {
			t.Errorf("violation %s has no reason", v.Name)
		}
	}
	for name := range map[poller.Reason]string(reasonNames) {
		if !seen[reasonName(name)] {
			t.Errorf("%s is named and not counted", reasonName(name))
		}
	}
	for _, code := range refusalCodes {
		if !strings.Contains(text, fmt.Sprintf("danmakud_refused_messages_total{code=%q} 0\n", code)) {
			t.Errorf("no counter for error %s", code)
		}
	}
}

func TestDrainTellsEverybody(t *testing.T) {
	t.Parallel()
	c := config.Default()
	c.Listen, c.Control, c.DrainTime = []string{"127.0.0.1:0"}, "", 200*time.Millisecond
	s, err := New(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	viewers := make([]viewer, 50)
	for i := range viewers {
		viewers[i] = join(t, s, "r")
	}
	half, err := net.Dial("tcp", s.addr()) // never says a word
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	var readers sync.WaitGroup
	for _, v := range viewers {
		readers.Go(func() {
			m := v.next()
			if m.Type != "goodbye" || m.Reason != "draining" || m.RetryAfterMs < 500 {
				t.Errorf("got %+v", m)
			}
			if code := v.expectClose(); code != websocket.CloseServiceRestart {
				t.Errorf("closed with %d", code)
			}
			v.Close()
		})
	}
	go func() { // a peer that answers a half-close
		io.Copy(io.Discard, half)
		half.Close()
	}()
	if err := s.Close(); err != nil {
		t.Errorf("drain: %v", err)
	}
	readers.Wait()
}

// A viewer that never answers the close is cut off, and that is an error of the drain.
func TestDrainIsBounded(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits for the grace time")
	}
	c := config.Default()
	c.Listen, c.Control, c.DrainTime = []string{"127.0.0.1:0"}, "", 50*time.Millisecond
	s, err := New(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	v := join(t, s, "r") // reads nothing from now on
	if err := s.Close(); err != nil {
		t.Errorf("the linger time must end it before the grace time: %v", err)
	}
	if code := v.expectClose(); code != websocket.CloseServiceRestart {
		t.Errorf("closed with %d", code)
	}
}

// TestB7 sends the head and the first frame in one segment, cut at every byte.
func TestB7BytesBehindTheHeadAreFrames(t *testing.T) {
	s := start(t, func(c *config.Config) { c.CommentRate = 0 })
	head := "GET /ws/r HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
	all := append([]byte(head), maskedText(`{"type":"ping","ref":"behind"}`)...)
	for cut := 1; cut < len(all); cut += 1 + len(all)/80 {
		c, err := net.Dial("tcp", s.addr())
		if err != nil {
			t.Fatal(err)
		}
		c.Write(all[:cut])
		if cut%2 == 0 { // else both parts may come in one read
			time.Sleep(time.Millisecond)
		}
		c.Write(all[cut:])
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		got := make([]byte, 0, 1024)
		r := bufio.NewReader(c)
		for !strings.Contains(string(got), `{"type":"pong","ref":"behind"}`) {
			b, err := r.ReadByte()
			if err != nil {
				t.Fatalf("cut at %d: %v after %q", cut, err, got)
			}
			got = append(got, b)
		}
		c.Close()
	}
}

// maskedText is a client's text frame, of fewer than 126 bytes.
func maskedText(s string) []byte {
	mask := [4]byte{1, 2, 3, 4}
	p := append([]byte{0x81, 0x80 | byte(len(s))}, mask[:]...)
	for i := range len(s) {
		p = append(p, s[i]^mask[i%4])
	}
	return p
}

func TestPlainHTTPIsBounded(t *testing.T) {
	s := start(t, func(c *config.Config) { c.HTTPConnections = 1 })
	get(t, "http://"+s.addr()+"/healthz", 200)
	eventually(t, s, "danmakud_http_connections 0")
	if !s.public.take() { // as a request under way does
		t.Fatal("the place was not given back")
	}
	get(t, "http://"+s.addr()+"/healthz", 503)
	eventually(t, s, `danmakud_rejected_total{reason="http_connections"} 1`)
	s.public.open.Add(-1)
	get(t, "http://"+s.addr()+"/readyz", 200)
}

// A room's name may be percent-encoded in the path, as pages do.
func TestRoomInPathIsDecoded(t *testing.T) {
	s := start(t, nil)
	c, _, err := websocket.DefaultDialer.Dial("ws://"+s.addr()+"/ws/live%3A1", nil)
	if err != nil {
		t.Fatal(err)
	}
	v := viewer{t, c}
	if m := v.expect("welcome"); m.Room != "live:1" {
		t.Errorf("joined %q", m.Room)
	}
	v.Close()
	for _, path := range []string{"/ws/a%20b", "/ws/", "/ws", "/ws?room=a/b", "/ws/r?history=x"} {
		_, resp, err := websocket.DefaultDialer.Dial("ws://"+s.addr()+path, nil)
		if err == nil || resp == nil || resp.StatusCode != 400 {
			t.Errorf("%s: %v %v", path, resp, err)
		}
	}
	eventually(t, s, `danmakud_closes_total{reason="bad_request"} 5`)
}

// A switch that is refused at the strike limit must not bring a closing
// connection back into a room.
func TestRefusedSwitchOfAnAbuserStaysOut(t *testing.T) {
	s := start(t, func(c *config.Config) { c.MaxRooms, c.CommentRate = 1, 0 })
	keeper, abuser := join(t, s, "only"), join(t, s, "only")
	for range strikesMax - 1 {
		abuser.say(`{"type":"dance"}`)
	}
	abuser.say(`{"type":"switch","room":"other"}`)
	abuser.say(`{"type":"dance"}`)
	if code := abuser.expectClose(); code != websocket.ClosePolicyViolation {
		t.Errorf("closed with %d", code)
	}
	abuser.Close()
	eventually(t, s, "danmakud_members 1")
	keeper.say(`{"type":"comment","text":"alone"}`)
	if m := keeper.expect("batch"); *m.Online != 1 {
		t.Errorf("%d online", *m.Online)
	}
}

// What a panic left unsent must not reach the next connection.
func TestB1RepliesDoNotCrossConnections(t *testing.T) {
	s := start(t, func(c *config.Config) { c.Loops = 1 })
	a, b := join(t, s, "r"), join(t, s, "r")
	h := s.handlers[0]
	h.loop.Post(func() { h.replyPong(0, "secret of a") }) // appended, and never flushed
	b.say(`{"type":"ping","ref":"mine"}`)
	if m := b.expect("pong"); m.Ref != "mine" {
		t.Fatalf("b got %+v", m)
	}
	a.say(`{"type":"ping","ref":"still here"}`)
	a.expect("pong")
}

// A scrape that a busy loop does not answer must not make counters go back.
func TestCountersNeverGoBack(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	join(t, s, "r")
	eventually(t, s, "danmakud_handshakes_total 1")
	release := make(chan struct{})
	for _, h := range s.handlers {
		h.loop.Post(func() { <-release })
	}
	text := scrape(t, s)
	close(release)
	if !strings.Contains(text, "\ndanmakud_handshakes_total 1\n") {
		t.Error("a busy loop's handshakes are gone")
	}
}

// Members of a small room are brought together on one loop, whichever accepted
// them; those of a large one are spread.
func TestSmallRoomsHaveAHome(t *testing.T) {
	s := start(t, func(c *config.Config) { c.Loops = 4 })
	home := s.hub.Home("small")
	for range 8 {
		join(t, s, "small")
	}
	for i, h := range s.handlers {
		members := make(chan int)
		h.loop.Post(func() { members <- h.shard.Counts().Members })
		if n, want := <-members, map[bool]int{true: 8}[i == home]; n != want {
			t.Errorf("loop %d of home %d has %d members", i, home, n)
		}
	}
	eventually(t, s, "danmakud_connections 8")
	for range 120 {
		join(t, s, "large")
	}
	loops := 0
	for _, h := range s.handlers {
		members := make(chan int)
		h.loop.Post(func() { members <- h.shard.Counts().Members })
		if <-members > 8 {
			loops++
		}
	}
	if loops < 3 {
		t.Errorf("120 members of one room are on %d loops", loops)
	}
}

// TestApplyReachesEveryLoop: settings that were applied hold for connections on
// all loops, and settings that cannot work change nothing.
func TestApplyReachesEveryLoop(t *testing.T) {
	s := start(t, func(c *config.Config) { c.CommentRate = 0 })
	viewers := make([]viewer, 8)
	for i := range viewers {
		viewers[i] = join(t, s, fmt.Sprintf("room%d", i)) // homes on both loops
	}
	changed := *s.settings()
	changed.MaxText = 3
	if err := s.apply(&changed); err != nil {
		t.Fatal(err)
	}
	for _, h := range s.handlers { // what is posted later runs later
		done := make(chan struct{})
		h.loop.Post(func() { close(done) })
		<-done
	}
	for _, v := range viewers {
		v.say(`{"type":"comment","text":"four"}`)
		if m := v.expect("error"); m.Code != "too_long" {
			t.Errorf("got %+v, want too_long", m)
		}
	}
	broken := changed
	broken.Origins, broken.MaxText = []string{"*.*"}, 50
	if err := s.apply(&broken); err == nil || s.settings().MaxText != 3 {
		t.Errorf("broken settings: %v, text %d", err, s.settings().MaxText)
	}
}

// A process that takes over at once must not give out ids that are taken.
func TestIDsRiseOverRestarts(t *testing.T) {
	first := time.Now()
	for soon := time.Millisecond; soon < 3*time.Second; soon *= 3 {
		published := uint64(100 * soon / time.Millisecond) // 100,000 a second
		if next := room.FirstID(first.Add(soon)); next <= room.FirstID(first)+published {
			t.Errorf("a restart after %v begins at %d, the process before had got to %d", soon, next, room.FirstID(first)+published)
		}
	}
	if end := room.FirstID(time.Date(2060, 1, 1, 0, 0, 0, 0, time.UTC)); end >= 1<<48 {
		t.Errorf("%d in 2060 does not fit into 48 bits", end)
	}
}
