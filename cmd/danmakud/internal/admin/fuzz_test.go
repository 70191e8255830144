package admin

import (
	"strings"
	"testing"

	"github.com/danmakud/danmakud/room"
)

// FuzzRoutes sends any body and query to any route, as who may use it. Whatever comes:
// the answer is one that the document has, in its form, never a fault of ours, and
// what is refused has done nothing.
func FuzzRoutes(f *testing.F) {
	reference := testAPI(newFake(), Options{})
	for i, rt := range reference.routes {
		q := goodFor(f, rt)
		path, query, _ := strings.Cut(q.path, "?")
		f.Add(uint8(i), path, query, q.body, "k1")
		f.Add(uint8(i), path, query+"&limit=1", `{"text":"a","comments":[{"text":1e9}],"rooms":null}`, "")
		f.Add(uint8(i), strings.Replace(path, "r1", "%2e%2e", 1), "user=~%00", `[[[[`+q.body, "\x7f")
	}
	s := readSpec(f, reference, "")
	reference.Close() // streams end at once
	f.Fuzz(func(t *testing.T, index uint8, path, query, body, once string) {
		b := newFake()
		a := &API{backend: b, log: reference.log, now: reference.now, closed: reference.closed,
			routes: reference.routes, document: reference.document, replies: newReplies(reference.now)}
		a.Configure(Options{Keys: testKeys(), Body: 64 << 10})
		rt := a.routes[int(index)%len(a.routes)]
		if rt.hidden || len(path) > 2000 || len(query) > 2000 || !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "?#") {
			t.Skip()
		}
		q := goodFor(t, rt)
		q.path, q.body = path, body
		if query != "" {
			q.path += "?" + query
		}
		if once != "" {
			q.header = map[string][]string{"Idempotency-Key": {once}}
		}
		w := ask(t, a, q)
		if w.Code >= 500 {
			t.Fatalf("%s %s: %d %.300s", rt.method, q.path, w.Code, w.Body)
		}
		if w.Code >= 400 && len(b.deeds()) > 0 {
			t.Errorf("%s %s: answered %d, and yet did %q", rt.method, q.path, w.Code, b.deeds())
		}
		if found := routeOf(a, rt.method, path); found != nil && !found.hidden {
			s.conforms(t, found, w)
		}
		if w.Code < 400 && len(b.comments) > 0 {
			checkPublished(t, b)
		}
	})
}

// routeOf finds the route that a request went to.
func routeOf(a *API, method, path string) *route {
	for _, rt := range a.routes {
		if _, ok := rt.match(strings.Split(path, "/")); ok && rt.method == method {
			return rt
		}
	}
	return nil
}

// checkPublished: what the API lets through keeps the promises of room.Comment.
func checkPublished(t *testing.T, b *fake) {
	for name, comments := range b.comments {
		for _, c := range comments {
			if c.User == "" || c.User[0] == room.GuestMark || c.Text != strings.ToValidUTF8(c.Text, "") || c.Color > 0xFFFFFF || c.Price < 0 || c.Duration < 0 {
				t.Errorf("room %q got %+v", name, c)
			}
		}
	}
}

// FuzzStrict: what is read strictly is what encoding/json reads, or refused.
func FuzzStrict(f *testing.F) {
	for _, text := range []string{`{"a":[1,2.5,"x",null,true],"b":{}}`, `{"a":1,"a":2}`, `[`, `1 2`, "\"\\ud800\"", `{"a" 1}`, `[1,]`, strings.Repeat("[", 100), "\xff", ``} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, p := parseStrict([]byte(text))
		if (v == nil) && p == nil && strings.TrimSpace(text) != "null" {
			t.Errorf("%q is read as nothing", text)
		}
		if p != nil && (p.Status != 400 || p.Detail == "") {
			t.Errorf("%q: %+v", text, p)
		}
	})
}
