package admin

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// serveHTTP is the API on a real listener, since streams need one.
func serveHTTP(t *testing.T, a *API) string {
	t.Helper()
	s := httptest.NewServer(a.Handler())
	t.Cleanup(func() { a.Close(); s.Close() })
	return s.URL
}

// open begins a GET and returns its answer, which the test closes.
func open(t *testing.T, url, key string) *http.Response {
	t.Helper()
	r, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	return answer
}

// next reads one event: its lines, joined by |.
func next(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	var lines []string
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("after %q: %v", lines, err)
		}
		if line == "\n" {
			return strings.Join(lines, "|")
		}
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
}

func TestStream(t *testing.T) {
	b := newFake()
	a := testAPI(b, Options{Keys: testKeys(), Streams: 1})
	url := serveHTTP(t, a)
	answer := open(t, url+"/v1/rooms/r1/stream", "reader-key")
	if answer.StatusCode != 200 || answer.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s %v", answer.Status, answer.Header)
	}
	events := bufio.NewReader(answer.Body)
	if e := next(t, events); e != ": live" {
		t.Errorf("begins with %q", e)
	}
	for _, payload := range []string{`{"type":"batch","seq":1}`, `{"type":"batch","seq":2}`} {
		b.payloads <- []byte(payload)
		if e := next(t, events); e != "event: batch|data: "+payload {
			t.Errorf("got %q", e)
		}
	}
	if second := open(t, url+"/v1/rooms/r1/stream", "reader-key"); second.StatusCode != 503 || second.Header.Get("Retry-After") == "" {
		t.Errorf("beyond the bound: %s", second.Status)
	}
	if other := open(t, url+"/v1/rooms", "reader-key"); other.StatusCode != 200 {
		t.Errorf("streams take places of other requests: %s", other.Status)
	}
	a.Close()
	if rest, err := io.ReadAll(events); err != nil || len(rest) > 0 {
		t.Errorf("at the end %q, %v", rest, err)
	}
}

// TestStreamTellsWhatItDropped: the reader stands still, the room does not.
func TestStreamTellsWhatItDropped(t *testing.T) {
	s := &stream{w: httptest.NewRecorder(), batches: make(chan []byte, 2)}
	for i := range 5 {
		if s.offer([]byte("x")) != (i < 2) {
			t.Errorf("batch %d", i)
		}
	}
	s.write(eventOf(<-s.batches))
	s.write(eventOf(<-s.batches))
	if got := s.w.(*httptest.ResponseRecorder).Body.String(); got != "event: dropped\ndata: {\"batches\":3}\n\nevent: batch\ndata: x\n\nevent: batch\ndata: x\n\n" {
		t.Errorf("%q", got)
	}
}

// TestStreamEndsWithItsKey: who is no longer let in does not read on.
func TestStreamEndsWithItsKey(t *testing.T) {
	ring := &keyring{testKeys()}
	reader, _ := ring.find("reader-key")
	moderator, _ := ring.find("moderator-key")
	less := &keyring{ring.keys[:1]}
	for _, tc := range []struct {
		ring *keyring
		who  caller
		role Role
		want bool
	}{
		{ring, reader, Reader, true}, {ring, reader, Publisher, false}, {ring, moderator, Reader, true}, {less, moderator, Reader, false}, {less, reader, Reader, true},
		{&keyring{}, local, Admin, true}, {&keyring{}, reader, Reader, false}, {ring, local, Reader, false},
	} {
		if got := tc.ring.holds(tc.who, tc.role); got != tc.want {
			t.Errorf("%s as %s: %v", tc.who.name, tc.role, got)
		}
	}
}

// TestExport: the name of the file, and that what is cut off is seen to be.
func TestExport(t *testing.T) {
	b := newFake()
	a := testAPI(b, Options{Keys: testKeys()})
	url := serveHTTP(t, a)
	answer := open(t, url+"/v1/rooms/a:b/export?format=ndjson&from=2001-09-09T01:46:40Z&to=2001-09-09T01:46:41Z", "reader-key")
	body, err := io.ReadAll(answer.Body)
	if err != nil || string(body) != "said" || answer.Header.Get("Content-Disposition") != `attachment; filename="a_b.ndjson"` || b.exported != "a:b ndjson 1000000000 1000000001" {
		t.Errorf("%s %v %q %v, exported %q", answer.Status, answer.Header, body, err, b.exported)
	}
	b.err = ErrNoRoom
	if answer := open(t, url+"/v1/rooms/r1/export?format=xml", "reader-key"); answer.StatusCode != 404 || answer.Header.Get("Content-Disposition") != "" ||
		answer.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s %v", answer.Status, answer.Header)
	}
	b.err, b.cut = errors.New("disk"), true
	r, _ := http.NewRequest("GET", url+"/v1/rooms/r1/export?format=xml", nil)
	r.Header.Set("Authorization", "Bearer reader-key")
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	if answer, err := client.Do(r); err == nil {
		_, err = io.ReadAll(answer.Body)
		answer.Body.Close()
		if err == nil {
			t.Error("an archive that was cut off looks whole")
		}
	}
}

// TestSlowBody: a body that does not come is not waited for without end.
func TestSlowBody(t *testing.T) {
	a := testAPI(newFake(), Options{Timeout: 50 * time.Millisecond})
	url := serveHTTP(t, a)
	body, never := io.Pipe()
	defer never.Close()
	r, _ := http.NewRequest("POST", url+"/v1/rooms/r1/comments", body)
	r.Header.Set("Content-Type", "application/json")
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != 408 {
		t.Errorf("%s", answer.Status)
	}
}
