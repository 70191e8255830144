package admin

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"testing"
)

// good has for every route a request that succeeds.
var good = map[string]asked{
	"GET /healthz":                          {},
	"GET /readyz":                           {},
	"GET /metrics":                          {},
	"GET /openapi.json":                     {},
	"GET /v1/rooms":                         {path: "/v1/rooms?limit=1&after=a"},
	"GET /v1/rooms/{room}":                  {path: "/v1/rooms/r1"},
	"GET /v1/rooms/{room}/history":          {path: "/v1/rooms/r1/history?limit=2"},
	"GET /v1/rooms/{room}/settings":         {path: "/v1/rooms/r2/settings"},
	"PATCH /v1/rooms/{room}/settings":       {path: "/v1/rooms/r1/settings", body: `{"closed":true,"min_role":"vip","slow_mode_ms":1000}`},
	"POST /v1/rooms/{room}/clear":           {path: "/v1/rooms/r1/clear"},
	"GET /v1/online":                        {path: "/v1/online?room=r1&room=none"},
	"POST /v1/rooms/{room}/comments":        {path: "/v1/rooms/r1/comments", body: `{"type":"comment","text":"666","color":16711680,"mode":"top","size":"large","ref":"c1","user":"u","name":"N","role":"vip"}`},
	"POST /v1/comments":                     {body: `{"rooms":["r1","r2"],"comments":[{"text":"a"},{"text":"b","kind":"system"}]}`},
	"POST /v1/rooms/{room}/announcement":    {path: "/v1/rooms/r1/announcement", body: `{"text":"soon"}`},
	"POST /v1/rooms/{room}/gift":            {path: "/v1/rooms/r1/gift", body: `{"user":"u","gift":"rocket","num":2,"price":100}`},
	"POST /v1/rooms/{room}/superchat":       {path: "/v1/rooms/r1/superchat", body: `{"user":"u","text":"hi","price":30,"duration_s":60}`},
	"DELETE /v1/rooms/{room}/comments/{id}": {path: "/v1/rooms/r1/comments/00000001"},
	"GET /v1/viewers":                       {path: "/v1/viewers?user=~1a&room=r1"},
	"POST /v1/kick":                         {body: `{"user":"u","room":"r1","reason":"off"}`},
	"POST /v1/sanctions":                    {body: `{"kind":"ban","address":"192.0.2.7/24","seconds":60,"reason":"spam"}`},
	"GET /v1/sanctions":                     {path: "/v1/sanctions?room=r1&user=u1"},
	"DELETE /v1/sanctions/{id}":             {path: "/v1/sanctions/s1"},
	"POST /v1/tokens/revoke":                {body: `{"token_id":"j1"}`},
	"GET /v1/audit":                         {path: "/v1/audit?limit=5"},
	"GET /v1/held":                          {path: "/v1/held?room=r1"},
	"POST /v1/held/{id}":                    {path: "/v1/held/h1", body: `{"publish":true}`},
	"GET /v1/words":                         {},
	"GET /v1/words/{list}":                  {path: "/v1/words/bad"},
	"PUT /v1/words/{list}":                  {path: "/v1/words/bad", body: `{"action":"reject","words":["x","y z"],"rooms":["r1"]}`},
	"DELETE /v1/words/{list}":               {path: "/v1/words/bad"},
	"GET /v1/stats":                         {},
	"GET /v1/configuration":                 {},
	"PATCH /v1/configuration":               {body: `{"values":{"tick":"200ms"}}`},
	"POST /v1/configuration/reload":         {},
	"POST /v1/drain":                        {},
	"GET /v1/rooms/{room}/stream":           {path: "/v1/rooms/r1/stream"},
	"GET /v1/rooms/{room}/export":           {path: "/v1/rooms/r1/export?format=ass&from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00%2B08:00"},
	"POST /goim/push/keys":                  {path: "/goim/push/keys?operation=1000&keys=a,b"},
	"POST /goim/push/mids":                  {path: "/goim/push/mids?operation=1000&mids=1&mids=2"},
	"POST /goim/push/room":                  {path: "/goim/push/room?operation=1000&type=live&room=1000"},
	"POST /goim/push/all":                   {path: "/goim/push/all?operation=1000"},
	"GET /goim/online/top":                  {path: "/goim/online/top?type=live&limit=3"},
	"GET /goim/online/room":                 {path: "/goim/online/room?type=live&rooms=1,2"},
	"GET /goim/online/total":                {},
	"GET /debug/pprof":                      {},
	"GET /debug/pprof/{profile...}":         {path: "/debug/pprof/goroutine?debug=1"},
	"POST /debug/pprof/{profile...}":        {path: "/debug/pprof/symbol"},
}

// goodFor returns a request that the route answers with success, with a key that may.
func goodFor(t testing.TB, rt *route) asked {
	t.Helper()
	q, ok := good[rt.method+" "+rt.path]
	if !ok {
		t.Fatalf("no good request for %s %s: add one", rt.method, rt.path)
	}
	q.method = rt.method
	if q.path == "" {
		q.path = rt.path
	}
	if rt.role != Anybody {
		q.key = rt.role.String() + "-key"
	}
	return q
}

// eachRoute runs f for every route in the document, with a fake and an API of its own.
func eachRoute(t *testing.T, f func(t *testing.T, a *API, b *fake, s *spec, rt *route)) {
	reference := testAPI(newFake(), Options{})
	for i, rt := range reference.routes {
		t.Run(rt.method+" "+strings.ReplaceAll(rt.path, "/", "_"), func(t *testing.T) {
			b := newFake()
			a := testAPI(b, Options{Keys: testKeys(), Requests: 2, Streams: 2, Body: 64 << 10})
			f(t, a, b, readSpec(t, a, "admin-key"), a.routes[i])
		})
	}
}

// askRoute is ask for any route: a live stream is ended after its first words.
func askRoute(t testing.TB, a *API, rt *route, q asked) *recorded {
	t.Helper()
	if strings.HasSuffix(rt.path, "/stream") {
		a.Close()
	}
	return &recorded{ask(t, a, q)}
}

// TestEveryStatus: every route answers every status that the document says it can,
// none that it does not say, and all of it in the form that the document says.
func TestEveryStatus(t *testing.T) {
	eachRoute(t, func(t *testing.T, a *API, b *fake, s *spec, rt *route) {
		q := goodFor(t, rt)
		if rt.hidden {
			if w := ask(t, a, q); w.Code >= 400 {
				t.Errorf("answers %d %s", w.Code, w.Body)
			}
			return
		}
		seen := map[int]bool{}
		try := func(want int, q asked) {
			t.Helper()
			w := askRoute(t, a, rt, q)
			if w.Code != want {
				t.Errorf("answers %d, want %d: %.300s", w.Code, want, w.Body)
			}
			s.conforms(t, rt, w.ResponseRecorder)
			seen[w.Code] = true
		}
		try(rt.status, q)
		for _, status := range rt.also {
			b.err, b.unready = map[int]error{404: ErrNotFound, 501: fmt.Errorf("archive: %w", ErrOff), 400: errors.New("line 3: no")}[status], status == 503
			try(status, q)
		}
		b.err, b.unready = nil, false
		if rt.role != Anybody {
			tryGuarded(t, a, b, rt, q, try)
		}
		if rt.body != nil {
			tryBodies(a, rt, q, try)
		}
		if rt.once {
			tryOnce(t, a, b, q, try)
		}
		for _, status := range rt.statuses() {
			if !seen[status] {
				t.Errorf("the document has %d, which no request got", status)
			}
		}
	})
}

// tryGuarded tries what holds for every route that needs a key.
func tryGuarded(t *testing.T, a *API, b *fake, rt *route, q asked, try func(int, asked)) {
	before := len(b.deeds())
	without := q
	without.key = ""
	try(401, without)
	for _, wrong := range []string{"wrong", "reader-ke", "reader-key2", " ", "admin-key admin-key", strings.Repeat("x", 10_000)} {
		without.key = wrong
		try(401, without)
	}
	without.key, without.header = "", http.Header{"Authorization": {"Basic YWRtaW46YWRtaW4="}}
	try(401, without)
	for role := Reader; role < rt.role; role++ {
		lower := q
		lower.key = role.String() + "-key"
		try(403, lower)
	}
	if rt.role == Reader {
		keys := a.keys.Load()
		a.keys.Store(&keyring{})
		far := q
		far.from = "192.0.2.1:1"
		try(403, far)
		a.keys.Store(keys)
	}
	if rt.raw == nil {
		unknown := q
		unknown.path += map[bool]string{true: "&", false: "?"}[strings.Contains(q.path, "?")] + "colour=red"
		try(400, unknown)
		unknown.path = q.path + "?%zz"
		try(400, unknown)
	}
	places := &a.requests
	if rt.long() {
		places = &a.streams
	}
	places.inside.Store(2)
	try(503, q)
	places.inside.Store(0)
	if n := len(b.deeds()); n != before {
		t.Errorf("refused requests did something: %q", b.deeds()[before:])
	}
	if rt.path == "/openapi.json" { // asks nobody
		rt.do = func(*API, *request) (any, error) { panic("the test says so") }
	}
	b.fault = true
	if strings.HasSuffix(rt.path, "/stream") { // its work is on a goroutine of its own
		b.fault, b.err = false, &fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission}
	}
	try(500, q)
	b.fault, b.err = false, nil
}

// tryBodies tries what no body may be.
func tryBodies(a *API, rt *route, q asked, try func(int, asked)) {
	for _, body := range []string{"", "{", `[]`, `null`, `"text"`, `{"":1}`, q.body + "{}", q.body + "x", `{"colour":1,` + q.body[1:],
		strings.Replace(q.body, ":", ":[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]],\"z\":", 1), "\xff", `{"text":"` + "\xff" + `"}`, q.body[:len(q.body)-1] + "," + q.body[1:]} {
		bad := q
		if bad.body = body; body == "" {
			bad.reader = strings.NewReader("")
		}
		try(400, bad)
	}
	large := q
	large.body = q.body + strings.Repeat(" ", 64<<10)
	try(413, large)
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/jsonx", "application/json; charset", ";"} {
		other := q
		other.header = http.Header{"Content-Type": {kind}}
		try(415, other)
	}
	packed := q
	packed.header = http.Header{"Content-Encoding": {"gzip"}}
	try(415, packed)
	cut := q
	cut.reader = io.MultiReader(strings.NewReader(q.body[:5]), brokenReader{})
	try(408, cut)
}

// brokenReader is a body that does not come whole.
type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("timeout") }

// tryOnce tries what an Idempotency-Key can do wrong.
func tryOnce(t *testing.T, a *API, b *fake, q asked, try func(int, asked)) {
	q.header = http.Header{"Idempotency-Key": {"k1"}}
	try(200, q)
	other := q
	other.body += " "
	try(422, other)
	b.wait, b.entered = make(chan struct{}), make(chan struct{})
	q.header = http.Header{"Idempotency-Key": {"k2"}}
	first := make(chan int)
	go func() { first <- ask(t, a, q).Code }()
	<-b.entered
	try(409, q)
	close(b.wait)
	if code := <-first; code != 200 {
		t.Errorf("the first of two answers %d", code)
	}
	b.wait = nil
}
