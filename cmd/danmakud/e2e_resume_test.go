package main

import (
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	gorilla "github.com/gorilla/websocket"
)

// returning is a viewer of another library that comes and goes, and remembers what
// it has.
type returning struct {
	t       *testing.T
	conn    *gorilla.Conn
	address string
	epoch   string
	seq     uint64
	heard   []string // texts of all comments, in order
}

// come connects, with what it remembers if it has been there, and returns the welcome.
func (v *returning) come() (m message) {
	v.t.Helper()
	target := "ws://" + v.address + "/ws/busy?history=0"
	if v.epoch != "" {
		target += fmt.Sprintf("&since=%d&epoch=%s", v.seq, url.QueryEscape(v.epoch))
	}
	dialer := gorilla.Dialer{EnableCompression: true}
	conn, _, err := dialer.Dial(target, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() { conn.Close() })
	v.conn = conn
	if m = v.read(); m.Type != "welcome" {
		v.t.Fatalf("first message %+v", m)
	}
	v.epoch, v.seq = m.Epoch, m.Seq
	return m
}

func (v *returning) read() message {
	v.t.Helper()
	v.conn.SetReadDeadline(time.Now().Add(patience))
	_, p, err := v.conn.ReadMessage()
	if err != nil {
		v.t.Fatal(err)
	}
	m, err := parseMessage(p)
	if err != nil {
		v.t.Fatal(err)
	}
	return m
}

// watch takes batches, which must be without a gap, up to the one with that text.
func (v *returning) watch(last string) {
	v.t.Helper()
	for {
		m := v.read()
		if m.Type != "batch" || m.Seq != v.seq+1 || m.Sampled != 0 {
			v.t.Fatalf("%s %d with %d left out, after batch %d", m.Type, m.Seq, m.Sampled, v.seq)
		}
		v.seq = m.Seq
		v.heard = append(v.heard, m.texts()...)
		if slices.Contains(m.texts(), last) {
			return
		}
	}
}

// talk says a thousand comments a second from number first on, for the time given,
// and returns the number after the last one.
func talk(v *viewer, first int, d time.Duration) (next int) {
	const perSlice = 20
	ticker := time.NewTicker(time.Second * perSlice / 1000)
	defer ticker.Stop()
	next = first
	for end := first + int(d.Seconds()*1000); next < end; next += perSlice {
		var said []string
		for i := range perSlice {
			said = append(said, say(fmt.Sprint(next+i), ""))
		}
		v.send(said...)
		<-ticker.C
	}
	return next
}

// TestResumeAfterThreeSeconds: a viewer loses its connection, is gone for three
// seconds in which a thousand comments a second are said, and misses none of them.
func TestResumeAfterThreeSeconds(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--comment-rate=0", "--loops=2")
	speaker := s.join("busy")
	go func() { // the answers must not fill its socket
		for {
			if _, err := speaker.read(); err != nil {
				return
			}
		}
	}()
	v := &returning{t: t, address: s.public[0]}
	v.come()
	next := talk(speaker, 0, time.Second)
	v.watch(fmt.Sprint(next - 100))
	v.conn.NetConn().Close() // gone, without a word
	gap := talk(speaker, next, 3*time.Second)
	if w := v.come(); w.Resumed == nil || !*w.Resumed || len(w.History) != 0 {
		t.Fatalf("welcome %+v", w)
	}
	end := talk(speaker, gap, time.Second)
	v.watch(fmt.Sprint(end - 1))
	if len(v.heard) != end {
		t.Errorf("heard %d comments of %d", len(v.heard), end)
	}
	for i, text := range v.heard {
		if text != fmt.Sprint(i) {
			t.Fatalf("comment %d is %s", i, text)
		}
	}
	samples := s.metrics()
	if samples[`danmakud_resumes_total{result="resumed"}`] != 1 || samples["danmakud_batches_resumed_total"] < 2 || samples["danmakud_resume_bytes"] == 0 {
		t.Errorf("%v resumed with %v batches, %v bytes are kept", samples[`danmakud_resumes_total{result="resumed"}`],
			samples["danmakud_batches_resumed_total"], samples["danmakud_resume_bytes"])
	}
	if lost := total(samples, "danmakud_batches_skipped_total") + total(samples, "danmakud_comments_sampled_total"); lost != 0 {
		t.Errorf("%v batches skipped or comments sampled", lost)
	}
}

// TestResumeTooLate: outside what is kept it is said, and the newest comments come as
// for anybody.
func TestResumeTooLate(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--comment-rate=0", "--tick=10ms", "--resume-bytes=64KiB")
	v := s.join("r")
	for i := range 300 { // of half a KiB and more each, in memory
		v.send(say(fmt.Sprint(i), ""))
		v.until("batch")
	}
	resume := func(since uint64, epoch string) message {
		t.Helper()
		return s.join(fmt.Sprintf("r?since=%d&epoch=%s", since, epoch)).welcome
	}
	for what, w := range map[string]message{
		"too far back":    resume(1, v.welcome.Epoch),
		"another life":    resume(299, "another-1"),
		"not there yet":   resume(1000, v.welcome.Epoch),
		"without a since": s.join("r").welcome,
	} {
		if w.Seq != 300 || len(w.History) != 20 || (w.Resumed == nil) != (what == "without a since") || w.Resumed != nil && *w.Resumed {
			t.Errorf("%s: %+v", what, w)
		}
	}
	if w := resume(299, v.welcome.Epoch); w.Resumed == nil || !*w.Resumed || w.Seq != 299 {
		t.Errorf("one batch back: %+v", w)
	}
	if n := s.metrics()[`danmakud_resumes_total{result="missed"}`]; n != 3 {
		t.Errorf("%v were told that they cannot resume, want 3", n)
	}
	bad := s.dial()
	bad.write([]byte(requestHead("/ws/r?since=x")))
	if err := bad.readAccepted(); err == nil {
		t.Error("since=x was accepted")
	}
}

// TestBudgetDisclosed: beyond the budget of a batch, what was left out or merged is
// counted in it, and all of it adds up to what was said.
func TestBudgetDisclosed(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--comment-rate=0", "--budget-bytes=4KiB", "--tick=200ms")
	v := s.join("b")
	watcher, _, err := gorilla.DefaultDialer.Dial("ws://"+s.public[0]+"/ws/b", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Close()
	var burst []string
	for i := range 2000 {
		burst = append(burst, say(fmt.Sprint("comment ", i), ""))
	}
	v.send(burst...)
	left := 0
	for got := 0; got < 2000; {
		watcher.SetReadDeadline(time.Now().Add(patience))
		_, p, err := watcher.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		b, err := parseMessage(p)
		if err != nil || len(p) > 4<<10 {
			t.Fatalf("message of %d bytes: %v", len(p), err)
		}
		got += len(b.comments) + b.Sampled
		left += b.Sampled
		for _, c := range b.comments {
			got += max(0, c.Count-1)
		}
	}
	s.awaitMetric("danmakud_frames_written_total", 2*s.metrics()["danmakud_batches_sealed_total"])
	samples := s.metrics()
	if left == 0 || samples["danmakud_comments_sampled_total"] != float64(left) {
		t.Errorf("%d were left out, counted are %v", left, samples["danmakud_comments_sampled_total"])
	}
	delivered := samples["danmakud_comments_delivered_total"] / 2 // to each of the two
	if sum := delivered + samples["danmakud_comments_merged_total"] + float64(left); sum != samples["danmakud_comments_received_total"] {
		t.Errorf("%v comments are accounted for of %v", sum, samples["danmakud_comments_received_total"])
	}
}
