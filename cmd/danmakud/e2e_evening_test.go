package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	eveningRoom  = "live:1"
	eveningSeats = 2000
	eveningGifts = 20
	eveningKey   = "key-of-the-back-end"
)

// evening is a whole evening of a site, in the order of TestEvening.
type evening struct {
	t      *testing.T
	dir    string
	secret []byte
	begun  time.Time
	s      *instance

	anchor, moderator *viewer
	crowd, others     []*viewer
	taken             string // id of the comment that the moderator took back
}

// TestEvening: the doors open, 2,000 come, gifts are given, a spammer is caught by
// each limit, a viewer goes and comes back without a gap, the server restarts, and
// what was said is a film's subtitles.
func TestEvening(t *testing.T) {
	t.Parallel()
	e := &evening{t: t, dir: t.TempDir(), secret: []byte(strings.Repeat("s", 40)), begun: time.Now()}
	e.serve()
	e.openTheDoors()
	e.takeSeats()
	e.giveGifts()
	e.limits()
	e.spamFromOneAddress()
	e.slowMode()
	e.moderate()
	e.dropAndResume()
	e.goodNight()
	e.restart()
	e.export()
}

func (e *evening) serve() {
	e.t.Helper()
	path := func(name string) string { return filepath.Join(e.dir, name) }
	if err := os.MkdirAll(path("words"), 0o700); err != nil {
		e.t.Fatal(err)
	}
	writeFile(e.t, path("words/shop.reject.txt"), []byte("cheap gold\n"))
	writeFile(e.t, path("site.secret"), e.secret)
	e.s = startServer(e.t, "--tick=50ms", "--data="+path("data"), "--archive="+path("archive"), "--words="+path("words"),
		"--token-key="+path("site.secret"), "--control-key="+eveningKey, "--trusted-proxy=127.0.0.0/8",
		"--idle-timeout=0",       // the crowd reads at the end alone
		"--handshake-timeout=2m", // all of it connects before the first one asks for anything
		"--user-rate=1", "--user-burst=10", "--address-rate=1", "--address-burst=20", "--duplicate-window=1m")
}

// api asks the control listener, and returns the answer, which must have the status.
func (e *evening) api(method, path, body string, status int) string {
	e.t.Helper()
	r, err := http.NewRequest(method, "http://"+e.s.control+path, strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+eveningKey)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := e.s.http.Do(r)
	if err != nil {
		e.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != status {
		e.t.Fatalf("%s %s: %s, error %v, want %d: %s", method, path, answer.Status, err, status, text)
	}
	return string(text)
}

// head is the request of a viewer at an address; user "" is a guest.
func (e *evening) head(user, role, address, query string) string {
	target := "/ws/" + eveningRoom + "?" + query
	if user != "" {
		target += "&token=" + signed(e.t, "HS256", "", claims{"sub": user, "name": "the " + user, "role": role}, bySecret(e.secret))
	}
	return requestHead(target, "X-Forwarded-For: "+address+"\r\n")
}

func (e *evening) enter(user, role, address string) *viewer {
	e.t.Helper()
	v := e.s.dial()
	e.others = append(e.others, v)
	v.write([]byte(e.head(user, role, address, "")))
	v.accepted()
	return v
}

// asks sends a message, of which "r" is the ref, and returns its answer.
func (v *viewer) asks(text string) message {
	v.t.Helper()
	v.send(text)
	for {
		if m := v.next(); m.Ref == "r" {
			return m
		}
	}
}

func (e *evening) accepted(m message) message {
	e.t.Helper()
	if m.Type != "ack" {
		e.t.Fatalf("answered with %+v, want an ack", m)
	}
	return m
}

func (e *evening) refusedAs(m message, code, text string) {
	e.t.Helper()
	if m.Type != "error" || m.Code != code || !strings.Contains(m.Message, text) {
		e.t.Fatalf("answered with %+v, want error %s with %q", m, code, text)
	}
}

// publish is the back end saying something.
func (e *evening) publish(text string) {
	e.t.Helper()
	e.api("POST", "/v1/rooms/"+eveningRoom+"/comments", fmt.Sprintf(`{"text":%q}`, text), 200)
}

// openTheDoors: the room is closed until its anchor opens it.
func (e *evening) openTheDoors() {
	e.api("PATCH", "/v1/rooms/"+eveningRoom+"/settings", `{"closed":true}`, 200)
	early := e.enter("", "", "10.9.0.1")
	if !early.welcome.Settings.Closed {
		e.t.Errorf("welcome does not say that the room is closed: %+v", early.welcome)
	}
	e.refusedAs(early.asks(say("is anybody here", "r")), "room_closed", "moderators")
	e.anchor, e.moderator = e.enter("anna", "anchor", "10.9.0.2"), e.enter("mod", "moderator", "10.9.0.3")
	e.refusedAs(early.asks(`{"type":"settings","closed":false,"ref":"r"}`), "forbidden", "moderators")
	e.accepted(e.anchor.asks(`{"type":"settings","closed":false,"ref":"r"}`))
	e.accepted(early.asks(say("there you are", "r")))
}

// takeSeats: half of the crowd has tokens.
func (e *evening) takeSeats() {
	heads := make([]string, eveningSeats)
	for i := range heads {
		user := ""
		if i%2 == 0 {
			user = fmt.Sprint("u", i)
		}
		heads[i] = e.head(user, "viewer", fmt.Sprintf("10.1.%d.%d", i/250, i%250), "history=0")
	}
	e.crowd = make([]*viewer, eveningSeats)
	for i := range e.crowd {
		e.crowd[i] = e.s.dial()
	}
	e.together(func(i int, v *viewer) error {
		if err := v.writeAll([]byte(heads[i])); err != nil {
			return err
		}
		return v.readAccepted()
	})
	if n := total(e.s.metrics(), "danmakud_members"); n != eveningSeats+3 {
		e.t.Errorf("%v are there", n)
	}
	e.together(func(i int, v *viewer) error {
		if i%50 != 0 {
			return nil
		}
		return v.writeAll(masked(opText, say(fmt.Sprint("hello from seat ", i), "")))
	})
}

// together has f done for every seat, by few goroutines.
func (e *evening) together(f func(i int, v *viewer) error) {
	e.t.Helper()
	const hands = 8
	failed := make(chan error, hands)
	for hand := range hands {
		go func() {
			for i := hand; i < len(e.crowd); i += hands {
				if err := f(i, e.crowd[i]); err != nil {
					failed <- fmt.Errorf("seat %d: %w", i, err)
					return
				}
			}
			failed <- nil
		}()
	}
	for range hands {
		if err := <-failed; err != nil {
			e.t.Fatal(err)
		}
	}
}

func (e *evening) giveGifts() {
	for i := range eveningGifts {
		e.api("POST", "/v1/rooms/"+eveningRoom+"/gift", fmt.Sprintf(`{"user":"patron","gift":"rocket","num":%d,"price":500}`, i+1), 200)
	}
	e.api("POST", "/v1/rooms/"+eveningRoom+"/superchat", `{"user":"patron","text":"well done","price":3000,"duration_s":600}`, 200)
	for paid := false; !paid; {
		m, _ := e.anchor.until("batch")
		paid = slices.ContainsFunc(m.comments, func(c comment) bool { return c.Kind == "superchat" && c.Duration == 600 && c.Price == 3000 })
	}
	late := e.enter("", "", "10.9.0.4")
	if len(late.welcome.Superchats) != 1 || late.welcome.Superchats[0].Text != "well done" || late.welcome.Superchats[0].Left < 1 {
		e.t.Errorf("who comes later is shown the superchats %+v", late.welcome.Superchats)
	}
}

// flood says so many different things at once and returns the errors.
func (v *viewer) flood(n int, what string) (refused []message) {
	v.t.Helper()
	var all []string
	for i := range n {
		all = append(all, say(fmt.Sprintf("%s, offer %d", what, i), fmt.Sprint("f", i)))
	}
	v.send(all...)
	for answers := 0; answers < n; {
		m := v.next()
		if strings.HasPrefix(m.Ref, "f") {
			answers++
		}
		if m.Type == "error" {
			refused = append(refused, m)
		}
	}
	return refused
}

// caught says whether one of the refusals is of that kind.
func (e *evening) caught(refused []message, code, text string) {
	e.t.Helper()
	if !slices.ContainsFunc(refused, func(m message) bool {
		return m.Code == code && strings.Contains(m.Message, text) && m.RetryMs > 0
	}) {
		e.t.Errorf("not caught by %s, %q: %+v", code, text, refused)
	}
}

// limits: a connection's rate, a user's over all connections, what is said twice,
// and words.
func (e *evening) limits() {
	e.caught(e.enter("spam1", "viewer", "10.8.0.1").flood(14, "buy here"), "rate_limited", "a second")

	one, two := e.enter("spam2", "viewer", "10.8.0.2"), e.enter("spam2", "viewer", "10.8.0.3")
	e.caught(append(one.flood(9, "left hand"), two.flood(9, "right hand")...), "rate_limited", "you are sending too many")

	v := e.enter("spam3", "viewer", "10.8.0.4")
	e.accepted(v.asks(say("look at my page", "r")))
	e.refusedAs(v.asks(say("LOOK at my page", "r")), "duplicate", "")
	e.refusedAs(v.asks(say("CHEAP　ＧＯＬＤ here", "r")), "blocked_word", "")
}

// spamFromOneAddress: guests who come from one address share its limit.
func (e *evening) spamFromOneAddress() {
	var refused []message
	for i := range 5 {
		refused = append(refused, e.enter("", "", "10.8.1.1").flood(6, fmt.Sprint("guest ", i))...)
	}
	e.caught(refused, "rate_limited", "network")
}

func (e *evening) slowMode() {
	e.accepted(e.moderator.asks(`{"type":"settings","slow_mode_ms":60000,"ref":"r"}`))
	v := e.enter("spam4", "viewer", "10.8.0.5")
	if v.welcome.Settings.SlowMode != 60_000 {
		e.t.Errorf("welcome does not tell slow mode: %+v", v.welcome.Settings)
	}
	e.accepted(v.asks(say("first of mine", "r")))
	m := v.asks(say("second of mine", "r"))
	e.refusedAs(m, "slow_mode", "")
	e.caught([]message{m}, "slow_mode", "")
	e.accepted(e.moderator.asks(`{"type":"settings","slow_mode_ms":0,"ref":"r"}`))
}

// moderate: one is muted and loses a comment, another one talks to itself, a third
// one goes.
func (e *evening) moderate() {
	v := e.enter("spam5", "viewer", "10.8.0.6")
	e.taken = e.accepted(v.asks(say("what nobody shall keep", "r"))).ID
	e.accepted(e.moderator.asks(`{"type":"mute","user":"spam5","seconds":3600,"reason":"off topic","ref":"r"}`))
	e.refusedAs(v.asks(say("but why", "r")), "muted", "off topic")
	e.accepted(e.moderator.asks(fmt.Sprintf(`{"type":"retract","id":%q,"ref":"r"}`, e.taken)))
	e.refusedAs(e.moderator.asks(`{"type":"mute","user":"anna","ref":"r"}`), "forbidden", "")

	ghost := e.enter("ghost", "viewer", "10.8.0.7")
	e.api("POST", "/v1/sanctions", fmt.Sprintf(`{"kind":"shadow","room":%q,"user":"ghost"}`, eveningRoom), 201)
	ghost.send(say("psst, over here", "r"))
	for seen := false; !seen; {
		m, _ := ghost.until("batch")
		seen = slices.Contains(m.texts(), "psst, over here")
	}
	rude := e.enter("rude", "viewer", "10.8.0.8")
	e.accepted(e.anchor.asks(`{"type":"ban","user":"rude","reason":"enough","ref":"r"}`))
	rude.closedWith(4003)
	back := e.s.dial()
	back.write([]byte(e.head("rude", "viewer", "10.8.0.8", "")))
	if r, text := back.response(); r.StatusCode != 403 || !strings.Contains(text, "enough") {
		e.t.Errorf("who is banned came back: %s %s", r.Status, text)
	}
}

// dropAndResume: who was gone for some batches gets them, and nothing twice.
func (e *evening) dropAndResume() {
	v := e.enter("walker", "viewer", "10.8.0.9")
	e.publish("before the drop")
	last := v.welcome.Seq
	for seen := false; !seen; {
		m, _ := v.until("batch")
		seen, last = slices.Contains(m.texts(), "before the drop"), m.Seq
	}
	epoch := v.welcome.Epoch
	v.reset()
	for i := range 5 {
		e.publish(fmt.Sprint("meanwhile ", i))
		time.Sleep(60 * time.Millisecond) // so that they are several batches
	}
	v = e.s.dial()
	v.write([]byte(e.head("walker", "viewer", "10.8.0.9", fmt.Sprintf("since=%d&epoch=%s", last, epoch))))
	v.accepted()
	if v.welcome.Resumed == nil || !*v.welcome.Resumed || v.welcome.Seq != last || len(v.welcome.History) != 0 {
		e.t.Fatalf("resumed after %d by %+v", last, v.welcome)
	}
	e.publish("after the drop")
	var texts []string
	for !slices.Contains(texts, "after the drop") {
		m, between := v.until("batch")
		if len(between) > 0 || m.Seq != last+1 {
			e.t.Fatalf("after batch %d came %+v and batch %d", last, between, m.Seq)
		}
		last, texts = m.Seq, append(texts, m.texts()...)
	}
	if want := []string{"meanwhile 0", "meanwhile 1", "meanwhile 2", "meanwhile 3", "meanwhile 4", "after the drop"}; !slices.Equal(texts, want) {
		e.t.Errorf("resumed with %q", texts)
	}
}

// goodNight: everybody has seen the same, all gifts, and nothing of the ghost's.
func (e *evening) goodNight() {
	e.publish("good night")
	e.together(func(_ int, v *viewer) error {
		gifts, retracted, seq := 0, false, v.welcome.Seq
		for {
			m, err := v.read()
			if err != nil {
				return err
			}
			if m.Type != "batch" || m.Seq != seq+1 {
				return fmt.Errorf("after batch %d came %+v", seq, m)
			}
			seq = m.Seq
			for _, c := range m.comments {
				switch {
				case c.Kind == "gift" && c.Num == gifts+1 && c.UID == "patron":
					gifts++
				case c.Kind == "retract" && c.ID == e.taken:
					retracted = true
				case c.UID == "ghost":
					return errors.New("it saw the ghost")
				case c.Text == "good night":
					if gifts != eveningGifts || !retracted {
						return fmt.Errorf("%d gifts, retracted %v", gifts, retracted)
					}
					return nil
				}
			}
		}
	})
	history := e.api("GET", "/v1/rooms/"+eveningRoom+"/history", "", 200)
	if strings.Contains(history, e.taken) || !strings.Contains(history, "good night") {
		e.t.Errorf("history %s", history)
	}
}

// restart: what was decided holds in the next process.
func (e *evening) restart() {
	if err := e.s.signal(syscall.SIGTERM); err != nil {
		e.t.Fatal(err)
	}
	e.crowd[0].closedWith(1012)
	// Nobody answers the close frame: a machine that halts would be out of time.
	for _, v := range append(e.crowd, e.others...) {
		v.conn.Close()
	}
	if status := e.s.wait(); status != exitOK {
		e.t.Errorf("exit status %d", status)
	}
	e.serve()
	e.refusedAs(e.enter("spam5", "viewer", "10.8.0.6").asks(say("still me", "r")), "muted", "off topic")
	e.accepted(e.enter("anna", "anchor", "10.9.0.2").asks(say("an encore", "r")))
	v := e.s.dial()
	v.write([]byte(e.head("rude", "viewer", "10.8.0.8", "")))
	if r, _ := v.response(); r.StatusCode != 403 {
		e.t.Errorf("the ban is over: %s", r.Status)
	}
	audit := e.api("GET", "/v1/audit?limit=100", "", 200)
	for _, act := range []string{`"mute"`, `"retract"`, `"ban"`, `"shadow"`, `"settings"`} {
		if !strings.Contains(audit, act) {
			e.t.Errorf("the audit log has no %s: %s", act, audit)
		}
	}
}

// export: both processes' comments are one stream of subtitles, which a player draws.
func (e *evening) export() {
	e.s.awaitMetric("danmakud_archive_comments_total", 1)
	path := "/v1/rooms/" + eveningRoom + "/export?format="
	lines := e.api("GET", path+"ndjson", "", 200)
	gifts := 0
	for line := range strings.Lines(lines) {
		if !json.Valid([]byte(line)) {
			e.t.Fatalf("line %q", line)
		}
		if strings.Contains(line, `"kind":"gift"`) {
			gifts++
		}
	}
	if gifts != eveningGifts || !strings.Contains(lines, "an encore") || strings.Contains(lines, "nobody shall keep") || strings.Contains(lines, "psst") {
		e.t.Errorf("%d gifts in %s", gifts, lines)
	}
	subtitles := e.api("GET", path+"ass", "", 200)
	for _, text := range []string{"[Events]", "there you are", "an encore"} { // not all find a place on the stage
		if !strings.Contains(subtitles, text) {
			e.t.Fatalf("no %q in the subtitles %s", text, subtitles)
		}
	}
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		e.t.Log("the subtitles are not drawn: ", err)
		return
	}
	file := writeFile(e.t, filepath.Join(e.dir, "evening.ass"), []byte(subtitles))
	length := fmt.Sprint(int(time.Since(e.begun).Seconds()) + 10)
	cmd := exec.Command(ffmpeg, "-hide_banner", "-loglevel", "error", "-f", "lavfi", "-i", "color=black:s=480x270:r=1:d="+length,
		"-vf", "ass="+file, "-f", "rawvideo", "-pix_fmt", "gray", "-")
	var said bytes.Buffer
	cmd.Stderr = &said
	frames, err := cmd.Output()
	if strings.Contains(said.String(), "No such filter") {
		e.t.Log("the subtitles are not drawn: this ffmpeg has no libass")
		return
	}
	if bright := slices.ContainsFunc(frames, func(p byte) bool { return p > 128 }); err != nil || said.Len() > 0 || !bright {
		e.t.Errorf("error %v, something to be seen %v, ffmpeg says %q", err, bright, said.String())
	}
}
