package moderation

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/danmakud/danmakud/room"
)

// reviews answers every question by f.
func reviews(t *testing.T, f http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return server.URL
}

func answer(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, text) }
}

func TestReviewAsks(t *testing.T) {
	asked := make(chan string, 1)
	url := reviews(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked <- fmt.Sprint(r.Method, " ", r.Header.Get("Content-Type"), " ", string(body))
		io.WriteString(w, `{"action":"pass"}`)
	})
	d := desk(t, Options{ReviewURL: url, ReviewTimeout: 30 * time.Second})
	who := Speaker{User: "~1", Role: room.RoleVIP}
	if v := say(d, "r", nil, who, "x \"y\"", 0); v.Action != Review || v.Text != "x \"y\"" {
		t.Fatalf("%+v", v)
	}
	v, err := d.Review(t.Context(), "r", who, "x \"y\"")
	if err != nil {
		t.Fatal(err)
	}
	passed(t, v)
	if got, want := <-asked, `POST application/json {"room":"r","user":"~1","role":"vip","text":"x \"y\""}`; got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
}

func TestReviewAnswers(t *testing.T) {
	for _, c := range []struct {
		answer string
		want   Verdict
	}{
		{`{"action":"pass","text":"ignored"}`, Verdict{Text: "so bad"}},
		{`{"action":"mask","text":"so b*d"}`, Verdict{Text: "so b*d"}},
		{`{"action":"mask"}`, Verdict{Text: "** ***"}},
		{`{"action":"hold"}`, Verdict{Action: Hold, Text: "so bad"}},
		{`{"action":"shadow","more":[1]}`, Verdict{Action: Shadow, Text: "so bad"}},
		{`{"action":"reject","message":"be kind, please"}`, Verdict{Action: Reject, Text: "so bad", Code: codeBlockedWord, Message: "be kind, please"}},
		{`{"action":"reject"}`, Verdict{Action: Reject, Text: "so bad", Code: codeBlockedWord, Message: textBlocked}},
		{`{"action":"reject","message":"a\u0000b"}`, Verdict{Action: Reject, Text: "so bad", Code: codeBlockedWord, Message: textBlocked}},
	} {
		d := desk(t, Options{ReviewURL: reviews(t, answer(c.answer)), ReviewTimeout: 30 * time.Second})
		v, err := d.Review(t.Context(), "r", viewer("u"), "so bad")
		if err != nil || v != c.want {
			t.Errorf("%s: %+v, %v, want %+v", c.answer, v, err, c.want)
		}
		if n := d.Counts().Reviews; n[v.Action.String()] != 1 || n["failed"] != 0 {
			t.Errorf("%s: %v", c.answer, n)
		}
	}
}

// Whatever the other side does: the comment passes or is refused, as was asked for,
// and the caller is told what was wrong.
func TestReviewFails(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	hang := func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	}
	for _, c := range []struct {
		name   string
		serve  http.HandlerFunc
		want   string
		timely bool // it answers, so the time to wait may be long
	}{
		{"hangs", hang, "exceeded", false},
		{"hangs in its answer", func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, `{"action":`)
			w.(http.Flusher).Flush()
			hang(w, r)
		}, "exceeded", false},
		{"is slow", func(w http.ResponseWriter, r *http.Request) {
			for range 10_000 {
				if _, err := io.WriteString(w, " "); err != nil || r.Context().Err() != nil {
					return
				}
				w.(http.Flusher).Flush()
				time.Sleep(5 * time.Millisecond)
			}
		}, "exceeded", false},
		{"rubbish", answer("<html>"), "no JSON", true},
		{"nothing", answer(""), "no JSON", true},
		{"a list", answer(`["pass"]`), "no JSON", true},
		{"two answers", answer(`{"action":"pass"}{"action":"reject"}`), "no JSON", true},
		{"unknown", answer(`{"action":"explode"}`), `"explode"`, true},
		{"no action", answer(`{}`), "none of", true},
		{"masked with control characters", answer(`{"action":"mask","text":"a\nb"}`), "control", true},
		{"masked to nothing", answer(`{"action":"mask","text":"  "}`), "empty", true},
		{"masked too long", answer(`{"action":"mask","text":"` + strings.Repeat("x", 100) + `"}`), "too long", true},
		{"too long", func(w http.ResponseWriter, r *http.Request) {
			json.NewEncoder(w).Encode(reviewAnswer{Action: "pass", Text: strings.Repeat("x", reviewAnswerMax)})
		}, "longer than", true},
		{"500", func(w http.ResponseWriter, r *http.Request) { http.Error(w, `{"action":"pass"}`, 500) }, "500", true},
		{"204", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) }, "204", true},
		{"elsewhere", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", 307) }, "redirect", true},
		{"hangs up", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, "EOF", true},
	} {
		timeout := 50 * time.Millisecond
		if c.timely {
			timeout = 30 * time.Second
		}
		url := reviews(t, c.serve)
		for _, closed := range []bool{false, true} {
			d := desk(t, Options{ReviewURL: url, ReviewTimeout: timeout, ReviewFailClosed: closed})
			v, err := d.Review(t.Context(), "r", viewer("u"), "text")
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "review: ") {
				t.Errorf("%s: %v, want %q", c.name, err, c.want)
			}
			if closed {
				refused(t, v, codeOverloaded, 5000)
			} else {
				passed(t, v)
			}
			if n := d.Counts().Reviews["failed"]; n != 1 {
				t.Errorf("%s: %d failed", c.name, n)
			}
		}
	}
}

func TestReviewIsCancelled(t *testing.T) {
	d := desk(t, Options{ReviewURL: "http://127.0.0.1:1/", ReviewTimeout: time.Minute, ReviewFailClosed: true})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	v, err := d.Review(ctx, "r", viewer("u"), "x")
	if err == nil {
		t.Error("no error")
	}
	refused(t, v, codeOverloaded, 5000)
	if err := d.Configure(Options{}); err != nil {
		t.Fatal(err)
	}
	v, err = d.Review(t.Context(), "r", viewer("u"), "x") // switched off while it waited
	if err != nil {
		t.Error(err)
	}
	passed(t, v)
}
