package dplayer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/archive"
)

// source is an archive of the tests.
type source struct {
	comments []archive.Comment
	start    int64
	err      error
	asked    atomic.Int64
	may      chan struct{} // nil = at once

	mu   sync.Mutex
	last string // what was asked last
}

func (s *source) Sample(ctx context.Context, room string, from, to time.Time, n int) ([]archive.Comment, int64, error) {
	s.asked.Add(1)
	s.mu.Lock()
	s.last = fmt.Sprint(room, from.UnixMilli(), to.UnixMilli(), n)
	s.mu.Unlock()
	if s.may != nil {
		<-s.may
	}
	return s.comments[:min(n, len(s.comments))], s.start, s.err
}

func serve(s Source) *Handler {
	return New(Options{
		Source: s, Log: slog.New(slog.DiscardHandler), Admit: func(*http.Request, string) (int, string) { return 0, "" },
		Origin: func(origin, host string) bool { return origin == "https://good.example" },
	})
}

func ask(h http.Handler, method, target string, header ...string) *http.Response {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// answer is what a player makes of a response.
type answer struct {
	Code int
	Msg  string
	Data [][5]any
}

func read(t testing.TB, r *http.Response) (a answer) {
	t.Helper()
	if err := json.NewDecoder(r.Body).Decode(&a); err != nil {
		t.Fatal(err)
	}
	return a
}

// probes are texts that become more than text where somebody makes HTML of them.
var probes = []string{
	`<script>alert(1)</script>`,
	`"><img src=x onerror=alert(1)>`,
	`'><svg/onload=alert(1)>`,
	`<img src="javascript:alert(1)">`,
	`</span><iframe srcdoc="<script>alert(1)</script>">`,
	`<a href="jav&#x09;ascript:alert(1)">x</a>`,
	`&lt;script&gt;alert(1)&lt;/script&gt;`,
	`<<script>alert(1)//<</script>`,
	`<img """><script>alert(1)</script>">`,
	"`onmouseover=alert(1)",
	`<!--[if gte IE 4]><script>alert(1)</script><![endif]-->`,
	`<style>@import'http://x.example/x.css';</style>`,
	`<details open ontoggle=alert(1)>`,
	`<math><mi//xlink:href="data:x,<script>alert(1)</script>">`,
	"</div>\u2028<script>alert(1)</script>",
	`<svg><animate onbegin=alert(1) attributeName=x dur=1s>`,
	`<noscript><p title="</noscript><img src=x onerror=alert(1)>">`,
	`\x3cscript\x3ealert(1)\x3c/script\x3e`,
	`<IMG SRC=&#106;&#97;&#118;&#97;&#115;&#99;>`,
}

// TestNoHTML: nothing of what is said becomes markup in a reader that makes HTML of
// author and text, as an element or in an attribute, and a person reads what was
// written.
func TestNoHTML(t *testing.T) {
	s := &source{}
	for i, p := range probes {
		s.comments = append(s.comments, archive.Comment{Text: p, Name: p, User: p, Time: int64(i)})
	}
	r := ask(serve(s), "GET", "/dplayer/v3/?id=r")
	if got := r.Header.Get("Content-Type"); got != "application/json; charset=utf-8" || r.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("type %q, %q", got, r.Header)
	}
	data := read(t, r).Data
	if len(data) != len(probes) {
		t.Fatalf("%d of %d", len(data), len(probes))
	}
	for i, d := range data {
		checkEscaped(t, d[3].(string), probes[i])
		checkEscaped(t, d[4].(string), probes[i])
	}
}

func checkEscaped(t *testing.T, got, want string) {
	t.Helper()
	if strings.ContainsAny(got, "<>\"'`") {
		t.Errorf("%q has markup", got)
	}
	if back := html.UnescapeString(got); back != want {
		t.Errorf("%q is shown as %q, want %q", got, back, want)
	}
}

// FuzzEscape: whatever is said, a reader of HTML shows exactly that.
func FuzzEscape(f *testing.F) {
	for _, p := range probes {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, s string) {
		checkEscaped(t, escape(s), s)
	})
}

func TestAnswer(t *testing.T) {
	s := &source{start: 1000, comments: []archive.Comment{
		{Text: "a", User: "~1", Time: 1000, Color: 0xFFFFFF},
		{Text: "b", User: "u", Name: "名", Time: 2234, Mode: "top", Color: 255, Count: 3},
		{Text: "c", User: "u", Time: 61_000, Mode: "bottom", Color: 1},
		{Text: "d", User: "u", Time: 62_000, Mode: "reverse", Color: 1},
	}}
	h := serve(s)
	r := ask(h, "GET", "/dplayer/v3/?id=r1&max=100")
	body, err := readAll(r)
	want := `{"code":0,"data":[[0,0,16777215,"~1","a"],[1.234,1,255,"名","b ×3"],[60,2,1,"u","c"],[61,0,1,"u","d"]]}`
	if err != nil || body != want || r.StatusCode != 200 {
		t.Errorf("%d %s, want %s", r.StatusCode, body, want)
	}
	none := time.Time{}.UnixMilli()
	for target, want := range map[string]string{
		"/dplayer/v3/?id=r":                     fmt.Sprint("r", none, none, 1000),
		"/dplayer/v3?id=r2&max=3":               fmt.Sprint("r2", none, none, 3),
		"/dplayer/v3/?id=r&max=9999999":         fmt.Sprint("r", none, none, 5000),
		"/dplayer/v3/?id=r&from=1795000000000":  fmt.Sprint("r", 1795000000000, none, 1000),
		"/dplayer/v3/?id=r3&from=1&to=2&max=77": fmt.Sprint("r3", 1, 2, 77),
	} {
		if r := ask(h, "GET", target); r.StatusCode != 200 || s.last != want {
			t.Errorf("%s: %d, asked for %q, want %q", target, r.StatusCode, s.last, want)
		}
	}
}

func readAll(r *http.Response) (string, error) {
	body, err := io.ReadAll(r.Body)
	return string(body), err
}

func TestBadRequests(t *testing.T) {
	s := &source{}
	h := serve(s)
	for _, tc := range []struct {
		method, target string
		status         int
	}{
		{"GET", "/dplayer/v3/", 400},
		{"GET", "/dplayer/v3/?id=", 400},
		{"GET", "/dplayer/v3/?id=..%2fetc", 400},
		{"GET", "/dplayer/v3/?id=" + strings.Repeat("a", 65), 400},
		{"GET", "/dplayer/v3/?id=r&max=0", 400},
		{"GET", "/dplayer/v3/?id=r&max=-1", 400},
		{"GET", "/dplayer/v3/?id=r&max=many", 400},
		{"GET", "/dplayer/v3/?id=r&from=yesterday", 400},
		{"GET", "/dplayer/v3/?id=r&from=-5", 400},
		{"GET", "/dplayer/v3/?id=r&to=99999999999999999999", 400},
		{"GET", "/dplayer/v3/other?id=r", 404},
		{"POST", "/dplayer/v3/", 405},
		{"PUT", "/dplayer/v3/?id=r", 405},
		{"DELETE", "/dplayer/v3/?id=r", 405},
	} {
		r := ask(h, tc.method, tc.target)
		a := read(t, r)
		if r.StatusCode != tc.status || a.Code == 0 || a.Msg == "" {
			t.Errorf("%s %s: %d %+v, want %d", tc.method, tc.target, r.StatusCode, a, tc.status)
		}
		if tc.status == 405 && r.Header.Get("Allow") == "" {
			t.Errorf("%s %s: no Allow", tc.method, tc.target)
		}
	}
	if s.asked.Load() != 0 {
		t.Error("a bad request reached the archive")
	}
	h.Admit = func(r *http.Request, room string) (int, string) { return 503, "not into " + room }
	r := ask(h, "GET", "/dplayer/v3/?id=r")
	if a := read(t, r); r.StatusCode != 503 || a.Code != codeLater || a.Msg != "not into r" || r.Header.Get("Retry-After") == "" {
		t.Errorf("who is not let in: %d %v %+v", r.StatusCode, r.Header, a)
	}
	if s.asked.Load() != 0 {
		t.Error("the archive was read for somebody who may not")
	}
}

func TestErrorsOfTheArchive(t *testing.T) {
	for err, status := range map[error]int{
		archive.ErrNoRoom: 200, archive.ErrBusy: 503, archive.ErrTooMuch: 400, errors.New("/secret/path: I/O"): 503,
	} {
		h := serve(&source{err: err})
		r := ask(h, "GET", "/dplayer/v3/?id=r")
		body, _ := readAll(r)
		if r.StatusCode != status || strings.Contains(body, "secret") {
			t.Errorf("%v: %d %s, want %d", err, r.StatusCode, body, status)
		}
		if status == 200 && body != `{"code":0,"data":[]}` {
			t.Errorf("of a room without an archive: %s", body)
		}
		if status != 200 && len(h.answers.kept) != 0 {
			t.Errorf("%v is kept", err)
		}
	}
}

func TestOrigins(t *testing.T) {
	h := serve(&source{})
	const target = "/dplayer/v3/?id=r"
	if r := ask(h, "GET", target, "Origin", "https://good.example"); r.StatusCode != 200 || r.Header.Get("Access-Control-Allow-Origin") != "https://good.example" || r.Header.Get("Vary") != "Origin" {
		t.Errorf("good origin: %d %v", r.StatusCode, r.Header)
	}
	if r := ask(h, "GET", target, "Origin", "https://bad.example"); r.StatusCode != 403 || r.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("bad origin: %d %v", r.StatusCode, r.Header)
	}
	if r := ask(h, "OPTIONS", target, "Origin", "https://good.example", "Access-Control-Request-Headers", "content-type"); r.StatusCode != 204 || r.Header.Get("Access-Control-Allow-Headers") != "Authorization, Content-Type" {
		t.Errorf("preflight: %d %v", r.StatusCode, r.Header)
	}
	if r := ask(h, "OPTIONS", target, "Origin", "null"); r.StatusCode != 403 {
		t.Errorf("preflight of a bad origin: %d", r.StatusCode)
	}
}

// TestMadeOnce: who asks for the same gets the same, made once; too many different
// questions at a time are put off; and it is asked again when the answer is old.
func TestMadeOnce(t *testing.T) {
	s := &source{may: make(chan struct{})}
	h := serve(s)
	now := time.Now()
	h.answers.now = func() time.Time { return now }
	var all sync.WaitGroup
	statuses := make(chan int, 100)
	for range 50 {
		for _, room := range []string{"a", "b"} {
			all.Go(func() { statuses <- ask(h, "GET", "/dplayer/v3/?id="+room).StatusCode })
		}
	}
	for s.asked.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	if r := ask(h, "GET", "/dplayer/v3/?id=c"); r.StatusCode != 503 || r.Header.Get("Retry-After") == "" || h.Refused() != 1 {
		t.Errorf("the third at a time: %d", r.StatusCode)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := h.answers.get(ctx, query{room: "a", count: countDefault}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("who went away: %v", err)
	}
	close(s.may)
	all.Wait()
	close(statuses)
	for status := range statuses {
		if status != 200 {
			t.Errorf("status %d", status)
		}
	}
	if n := s.asked.Load(); n != 2 {
		t.Errorf("asked %d times for 2 answers", n)
	}
	now = now.Add(fresh)
	ask(h, "GET", "/dplayer/v3/?id=a")
	if n := s.asked.Load(); n != 3 {
		t.Errorf("asked %d times, want a third when the answer was old", n)
	}
}

// TestAnswersAreBounded: whatever is asked, what is kept does not grow.
func TestAnswersAreBounded(t *testing.T) {
	a := newAnswers()
	for i := range 10_000 {
		a.get(context.Background(), query{count: i}, func() ([]byte, error) { return make([]byte, 1<<20), nil })
		bytes := 0
		for _, m := range a.kept {
			bytes += len(m.body)
		}
		if bytes != a.bytes || len(a.kept) > answersMax || a.bytes > answersBytes+1<<20 {
			t.Fatalf("%d answers, %d bytes, said to be %d", len(a.kept), bytes, a.bytes)
		}
	}
	for i := range 10_000 {
		a.get(context.Background(), query{from: int64(i)}, func() ([]byte, error) { return nil, nil })
		if len(a.kept) > answersMax {
			t.Fatalf("%d answers", len(a.kept))
		}
	}
}

// TestRealArchive: from a file to the player.
func TestRealArchive(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "r"), 0o700); err != nil {
		t.Fatal(err)
	}
	text := `{"id":"-------0","uid":"~1","text":"<b>","ts":1767225600000}
{"id":"-------1","uid":"~1","text":"gone","ts":1767225601000}
{"id":"-------1","ts":1767225602000,"kind":"retract"}
{"id":"-------2","uid":"u","name":"n","text":"later","ts":1767225603500,"mode":"top","color":7}
`
	if err := os.WriteFile(filepath.Join(dir, "r", "20260101T000000.000Z.ndjson"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := archive.Open(archive.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	h := serve(a)
	for target, want := range map[string]string{
		"/dplayer/v3/?id=r":                    `{"code":0,"data":[[0,0,16777215,"~1","\u0026lt;b\u0026gt;"],[3.5,1,7,"n","later"]]}`,
		"/dplayer/v3/?id=r&from=1767225601500": `{"code":0,"data":[[2,1,7,"n","later"]]}`,
		"/dplayer/v3/?id=r&to=1767225600001":   `{"code":0,"data":[[0,0,16777215,"~1","\u0026lt;b\u0026gt;"]]}`,
		"/dplayer/v3/?id=nobody":               `{"code":0,"data":[]}`,
		"/dplayer/v3/?id=R":                    `{"code":0,"data":[]}`,
	} {
		if got, _ := readAll(ask(h, "GET", target)); got != want {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
}
