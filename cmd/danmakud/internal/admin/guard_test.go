package admin

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

// TestWithoutKeys: callers on this host are let in, pages of other sites that a
// browser on this host shows are not, whatever way they take.
func TestWithoutKeys(t *testing.T) {
	for _, tc := range []struct {
		name, from, host string
		header           http.Header
		want             int
	}{
		{name: "this host", want: 200},
		{name: "IPv6", from: "[::1]:7", host: "[::1]:8081", want: 200},
		{name: "IPv4 in IPv6", from: "[::ffff:127.0.0.1]:7", want: 200},
		{name: "localhost", host: "LocalHost:8081", want: 200},
		{name: "localhost without port", host: "localhost", want: 200},
		{name: "another of 127", host: "127.8.9.10:1", want: 200},
		{name: "far", from: "192.0.2.1:7", want: 403},
		{name: "far IPv6", from: "[2001:db8::1]:7", want: 403},
		{name: "no address", from: "@", want: 403},
		{name: "rebound name", host: "evil.example:8081", want: 403},
		{name: "rebound name like ours", host: "localhost.evil.example", want: 403},
		{name: "rebound name with address", host: "127.0.0.1.nip.example:8081", want: 403},
		{name: "far address as Host", host: "192.0.2.1:8081", want: 403},
		{name: "unspecified address", host: "0.0.0.0:8081", want: 403},
		{name: "own page", header: http.Header{"Origin": {"http://127.0.0.1:8081"}, "Sec-Fetch-Site": {"same-origin"}}, want: 200},
		{name: "typed address", header: http.Header{"Sec-Fetch-Site": {"none"}}, want: 200},
		{name: "foreign page", header: http.Header{"Origin": {"https://evil.example"}}, want: 403},
		{name: "page on another port", header: http.Header{"Origin": {"http://127.0.0.1:9000"}}, want: 403},
		{name: "sandboxed page", header: http.Header{"Origin": {"null"}}, want: 403},
		{name: "two origins", header: http.Header{"Origin": {"http://127.0.0.1:8081", "https://evil.example"}}, want: 403},
		{name: "image of a foreign page", header: http.Header{"Sec-Fetch-Site": {"cross-site"}}, want: 403},
		{name: "sibling site", header: http.Header{"Sec-Fetch-Site": {"same-site"}}, want: 403},
		{name: "proxy on this host", header: http.Header{"X-Forwarded-For": {"203.0.113.9"}}, want: 403},
		{name: "proxy that says it is us", header: http.Header{"X-Forwarded-For": {"127.0.0.1"}}, want: 403},
		{name: "proxy of RFC 7239", header: http.Header{"Forwarded": {"for=203.0.113.9"}}, want: 403},
		{name: "proxy of another kind", header: http.Header{"X-Real-Ip": {"203.0.113.9"}}, want: 403},
		{name: "a key changes nothing", from: "192.0.2.1:7", header: http.Header{"Authorization": {"Bearer admin-key"}}, want: 403},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newFake()
			a := testAPI(b, Options{})
			q := asked{method: "POST", path: "/v1/rooms/r1/clear", from: tc.from, host: tc.host, header: tc.header}
			w := ask(t, a, q)
			want := tc.want
			if want == 200 {
				want = 204
			}
			if w.Code != want || len(b.deeds()) != map[bool]int{true: 1}[want == 204] {
				t.Errorf("%d %s, and %q was done; want %d", w.Code, w.Body, b.deeds(), want)
			}
			if q.method, q.path = "GET", "/metrics"; ask(t, a, q).Code != 200 {
				t.Error("metrics are not open")
			}
			if q.path = "/debug/pprof/"; (ask(t, a, q).Code == 200) != (tc.want == 200) {
				t.Errorf("profiles: %d", ask(t, a, q).Code)
			}
		})
	}
}

// TestUnixSocket: no browser reaches it, whatever the Host.
func TestUnixSocket(t *testing.T) {
	a := testAPI(newFake(), Options{})
	r := httptest.NewRequest("GET", "/v1/rooms", nil)
	r.Host, r.RemoteAddr = "anything", "@"
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.UnixAddr{Name: "/run/x", Net: "unix"}))
	w := httptest.NewRecorder()
	a.Handler().ServeHTTP(w, r)
	if w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestCommandLineIsNoProfile: it may have secrets, which are shown nowhere.
func TestCommandLineIsNoProfile(t *testing.T) {
	a := testAPI(newFake(), Options{})
	if w := ask(t, a, asked{method: "GET", path: "/debug/pprof/cmdline"}); w.Code != 404 {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

// TestWithKeys: a key is enough from anywhere, and nothing else is, from nowhere.
func TestWithKeys(t *testing.T) {
	b := newFake()
	a := testAPI(b, Options{Keys: testKeys()})
	far := asked{method: "POST", path: "/v1/rooms/r1/clear", key: "moderator-key", from: "192.0.2.1:1", host: "control.example",
		header: http.Header{"Origin": {"https://tools.example"}}}
	if w := ask(t, a, far); w.Code != 204 || b.deeds()[0] != "clear r1 by moderator" {
		t.Errorf("%d %s, %q", w.Code, w.Body, b.deeds())
	}
	if w := ask(t, a, asked{method: "GET", path: "/v1/rooms"}); w.Code != 401 {
		t.Errorf("without a key, from this host: %d", w.Code)
	}
	for path, want := range map[string]int{"/metrics": 200, "/healthz": 200, "/readyz": 200, "/debug/pprof/": 401, "/openapi.json": 401} {
		if w := ask(t, a, asked{method: "GET", path: path}); w.Code != want {
			t.Errorf("%s without a key: %d, want %d", path, w.Code, want)
		}
	}
	if w := ask(t, a, asked{method: "GET", path: "/debug/pprof/", key: "moderator-key"}); w.Code != 403 {
		t.Errorf("profiles for a moderator: %d", w.Code)
	}
	// A reload takes a key away and gives another.
	keys := testKeys()
	a.Configure(Options{Keys: keys[:2]})
	if w := ask(t, a, far); w.Code != 401 {
		t.Errorf("with a key that was taken away: %d", w.Code)
	}
}

func TestNotFoundAndMethods(t *testing.T) {
	a := testAPI(newFake(), Options{})
	s := readSpec(t, a, "")
	for _, tc := range []struct {
		method, path string
		want         int
		allow        string
	}{
		{"GET", "/", 404, ""}, {"GET", "/v1", 404, ""}, {"GET", "/v1/rooms/", 404, ""}, {"GET", "/v1/rooms/r1/none", 404, ""}, {"GET", "//v1/rooms", 404, ""},
		{"GET", "/v1/rooms/%zz", 404, ""}, {"GET", "/" + strings.Repeat("a", 5000), 404, ""}, {"PUT", "/index.html", 404, ""},
		{"PUT", "/v1/rooms", 405, "GET"}, {"GET", "/v1/drain", 405, "POST"}, {"OPTIONS", "/v1/rooms/r1/settings", 405, "GET, PATCH"},
		{"DELETE", "/metrics", 405, "GET"}, {"BREW", "/v1/words/a", 405, "GET, PUT, DELETE"}, {"HEAD", "/v1/rooms/r1/stream", 405, "GET"},
		{"HEAD", "/v1/rooms", 200, ""},
	} {
		q := asked{method: tc.method, path: tc.path}
		if tc.path == "/v1/rooms/%zz" {
			if r, err := http.NewRequest(tc.method, "http://h"+tc.path, nil); err == nil {
				t.Errorf("net/http lets %s in", r.URL)
			}
			continue
		}
		w := ask(t, a, q)
		if w.Code != tc.want || w.Header().Get("Allow") != tc.allow {
			t.Errorf("%s %.50s: %d, Allow %q; want %d, %q", tc.method, tc.path, w.Code, w.Header().Get("Allow"), tc.want, tc.allow)
		}
		if w.Code >= 400 {
			s.isProblem(t, w)
		}
		if w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: no nosniff", tc.path)
		}
	}
}

// TestPathsAreTakenLiterally: names that a cleaned path would lose reach their room.
func TestPathsAreTakenLiterally(t *testing.T) {
	b := newFake()
	a := testAPI(b, Options{})
	for path, want := range map[string]string{"/v1/rooms/%2e%2e/clear": "clear .. by local", "/v1/rooms/a:b/clear": "clear a:b by local", "/v1/rooms/a%3Ab/clear": "clear a:b by local"} {
		w := ask(t, a, asked{method: "POST", path: path})
		if deeds := b.deeds(); w.Code != 204 || deeds[len(deeds)-1] != want {
			t.Errorf("%s: %d %q, want %q", path, w.Code, deeds, want)
		}
	}
	if w := ask(t, a, asked{method: "POST", path: "/v1/rooms/a%2Fb/clear"}); w.Code != 400 {
		t.Errorf("a slash in a name: %d", w.Code)
	}
}

func TestDashboard(t *testing.T) {
	files := fstest.MapFS{"index.html": {Data: []byte("<!doctype html><title>d</title>")}, "app.js": {Data: []byte("1")}, "sub/a.css": {Data: []byte("a{}")}}
	a := testAPI(newFake(), Options{Dashboard: files, Keys: testKeys()})
	for path, kind := range map[string]string{"/": "text/html; charset=utf-8", "/app.js": "text/javascript; charset=utf-8", "/sub/a.css": "text/css; charset=utf-8"} {
		w := ask(t, a, asked{method: "GET", path: path})
		policy := w.Header().Get("Content-Security-Policy")
		if w.Code != 200 || w.Header().Get("Content-Type") != kind || !strings.Contains(policy, "default-src 'none'") ||
			!strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
	}
	for _, path := range []string{"/sub", "/sub/", "/none", "/../admin.go", "/v1/none"} {
		if w := ask(t, a, asked{method: "GET", path: path}); w.Code != 404 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if w := ask(t, a, asked{method: "POST", path: "/"}); w.Code != 404 {
		t.Errorf("POST /: %d", w.Code)
	}
}
