package admin

import (
	"context"
	"encoding/json"
	"io/fs"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options are what the API is run with. The zero value answers on this host only.
type Options struct {
	Keys     []Key // who may use it; none = callers on this host, as admin
	Body     int   // longest body in bytes; 0 = 4 MiB
	Requests int   // requests under way at one time, streams apart; 0 = 64
	Streams  int   // live streams, exports and profiles under way; 0 = 16
	Timeout  time.Duration
	// Dashboard is served on /; nil = nothing is.
	Dashboard fs.FS
	// Registry gets the API's metrics; nil = none does.
	Registry prometheus.Registerer
	Log      *slog.Logger // nil = the default one
	Version  string       // of the server, for the document
	// Now is the time for tests; nil = time.Now.
	Now func() time.Time
}

// Bounds that no option has.
const (
	timeoutDefault  = 30 * time.Second // for a request to be read, done and answered
	bodyDefault     = 4 << 20
	requestsDefault = 64
	streamsDefault  = 16
)

// limits are what of the options can change while it runs. Never changed in place.
type limits struct {
	body, requests, streams int
	timeout                 time.Duration
}

// API is the control plane over HTTP. Any goroutine may call any method.
type API struct {
	// Fixed after construction.
	backend   Backend
	log       *slog.Logger
	now       func() time.Time
	dashboard http.Handler // nil = none
	routes    []*route
	document  []byte // OpenAPI
	counts    counts
	replies   *replies
	closed    chan struct{} // by Close

	// Atomic; any goroutine.
	keys     atomic.Pointer[keyring]
	limits   atomic.Pointer[limits]
	requests gate
	streams  gate

	settling  sync.Mutex // between reading and setting a room's settings
	closeOnce sync.Once
}

// New makes the API over a server.
func New(b Backend, o Options) *API {
	a := &API{backend: b, log: o.Log, now: o.Now, closed: make(chan struct{})}
	if a.log == nil {
		a.log = slog.Default()
	}
	if a.now == nil {
		a.now = time.Now
	}
	if o.Dashboard != nil {
		a.dashboard = dashboard(o.Dashboard)
	}
	a.replies = newReplies(a.now)
	var components map[string]*schema
	a.routes, components = buildRoutes()
	a.document = document(a.routes, components, o.Version)
	a.counts.register(a, o.Registry)
	a.Configure(o)
	return a
}

// Configure puts other keys and limits in force, of what New was given.
func (a *API) Configure(o Options) {
	l := limits{o.Body, o.Requests, o.Streams, o.Timeout}
	if l.body == 0 {
		l.body = bodyDefault
	}
	if l.requests == 0 {
		l.requests = requestsDefault
	}
	if l.streams == 0 {
		l.streams = streamsDefault
	}
	if l.timeout == 0 {
		l.timeout = timeoutDefault
	}
	a.limits.Store(&l)
	a.keys.Store(&keyring{slices.Clone(o.Keys)})
}

// Close ends the streams that are under way, so that a server can shut down. What
// is asked later is answered.
func (a *API) Close() { a.closeOnce.Do(func() { close(a.closed) }) }

// Handler serves the API, the metrics, health, profiles and the dashboard.
func (a *API) Handler() http.Handler { return http.HandlerFunc(a.serve) }

// serve finds the route of a request. What has none may be a file of the dashboard.
func (a *API) serve(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	// net/http keeps a deadline from one request of a connection to the next.
	http.NewResponseController(w).SetWriteDeadline(time.Time{})
	rt, path, allowed := a.find(r)
	out := &answering{ResponseWriter: w}
	defer func() { a.counts.answer(out.status) }()
	switch {
	case rt != nil && rt.raw != nil && rt.role == Anybody:
		rt.raw(a, out, r)
	case rt != nil:
		a.serveRoute(rt, out, &request{Request: r, path: path})
	case allowed != nil:
		p := problemf(http.StatusMethodNotAllowed, "%s takes %s", cut(r.URL.Path), strings.Join(allowed, ", "))
		p.header = http.Header{"Allow": {strings.Join(allowed, ", ")}}
		p.reply().write(out)
	case a.dashboard != nil && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		a.dashboard.ServeHTTP(out, r)
	default:
		a.notFound(out, r)
	}
}

func (a *API) notFound(w http.ResponseWriter, r *http.Request) {
	problemf(http.StatusNotFound, "nothing is at %s; /openapi.json tells what there is", cut(r.URL.Path)).reply().write(w)
}

// cut keeps what a caller sent short enough to be told back.
func cut(text string) string {
	const most = 100
	if len(text) > most {
		text = text[:most] + "…"
	}
	return strings.ToValidUTF8(text, "")
}

// serveRoute lets the caller in, takes a place, and has the route do its work.
func (a *API) serveRoute(rt *route, w *answering, q *request) {
	defer a.recoverFrom(w, q)
	w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	var p *problem
	if q.by, p = a.admit(q.Request, rt.role); p != nil {
		p.reply().write(w)
		return
	}
	l := a.limits.Load()
	places, most := &a.requests, l.requests
	if rt.long() {
		places, most = &a.streams, l.streams
	}
	if !places.enter(most) {
		a.counts.refuse(refusedBusy)
		busy(1, "%d such requests are under way already", most).reply().write(w)
		return
	}
	defer places.leave()
	if rt.raw == nil {
		if p = rt.checkParams(q); p == nil {
			p = a.readBody(rt, w, q)
		}
	}
	if p != nil {
		p.reply().write(w)
		return
	}
	// With a deadline for reading, net/http would take the silence of the caller for
	// its end.
	http.NewResponseController(w).SetReadDeadline(time.Time{})
	a.perform(rt, w, q, l.timeout)
}

func (a *API) perform(rt *route, w *answering, q *request, timeout time.Duration) {
	if rt.raw != nil {
		rt.raw(a, w, q.Request)
		return
	}
	if rt.stream != nil {
		if err := rt.stream(a, w, q); err != nil {
			a.endStream(w, err)
		}
		return
	}
	ctx, cancel := context.WithTimeout(q.Context(), timeout)
	defer cancel()
	q.Request = q.WithContext(ctx)
	answer := a.once(rt, q)
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(timeout))
	answer.write(w)
}

// endStream tells of an error: by a problem if nothing was written yet, else by
// cutting the connection off, so that what was written is not taken for the whole.
func (a *API) endStream(w *answering, err error) {
	if w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	w.Header().Del("Content-Disposition")
	a.asProblem(err).reply().write(w)
}

// recoverFrom makes a fault of ours an answer, and a line in the log.
func (a *API) recoverFrom(w *answering, q *request) {
	fault := recover()
	if fault == nil {
		return
	}
	if fault == http.ErrAbortHandler || w.status != 0 {
		panic(fault)
	}
	a.log.Error("control API: fault", "route", q.Method+" "+cut(q.URL.Path), "fault", fault)
	problemf(http.StatusInternalServerError, "a fault of the server; its log says more").reply().write(w)
}

// do has the route do its work and makes an answer of what came of it.
func (a *API) do(rt *route, q *request) reply {
	answer, _ := a.doOnce(rt, q)
	return answer
}

// encode makes an answer of what a route returned.
func (a *API) encode(rt *route, v any) reply {
	if rt.status == http.StatusNoContent {
		return reply{status: rt.status, header: http.Header{}}
	}
	body, err := json.Marshal(v)
	if err != nil {
		a.log.Error("control API: answer cannot be written", "route", rt.path, "error", err)
		return problemf(http.StatusInternalServerError, "a fault of the server; its log says more").reply()
	}
	header := http.Header{"Content-Type": {"application/json"}}
	if at, ok := v.(interface{ location() string }); ok {
		header.Set("Location", at.location())
	}
	return reply{rt.status, header, append(body, '\n')}
}

// rawJSON is a text that is JSON already.
func rawJSON(text []byte) json.RawMessage { return json.RawMessage(text) }

// answering remembers the status of an answer.
type answering struct {
	http.ResponseWriter
	status int // 0 = nothing was written
}

func (w *answering) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *answering) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController find what is below.
func (w *answering) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// gate counts what is under way.
type gate struct{ inside atomic.Int64 }

func (g *gate) enter(most int) bool {
	if g.inside.Add(1) > int64(most) {
		g.inside.Add(-1)
		return false
	}
	return true
}

func (g *gate) leave() { g.inside.Add(-1) }
