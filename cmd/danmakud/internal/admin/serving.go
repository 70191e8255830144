package admin

import (
	"io/fs"
	"net/http"
	"net/http/pprof"
	"path"
	"strings"
)

// routesServing are those that are no API: for probes, scrapes and profilers, and
// the document itself.
func routesServing() []route {
	routes := []route{
		{method: "GET", path: "/healthz", tag: "probes", summary: "Whether the process is alive", media: []string{"text/plain"}, also: []int{503},
			raw: func(a *API, w http.ResponseWriter, r *http.Request) { a.backend.Healthz(w, r) }},
		{method: "GET", path: "/readyz", tag: "probes", summary: "Whether new viewers should be sent here", media: []string{"text/plain"}, also: []int{503},
			raw: func(a *API, w http.ResponseWriter, r *http.Request) { a.backend.Readyz(w, r) }},
		{method: "GET", path: "/metrics", tag: "probes", summary: "Metrics for Prometheus", media: []string{"text/plain"},
			raw: func(a *API, w http.ResponseWriter, r *http.Request) { a.backend.Metrics().ServeHTTP(w, r) }},
		{method: "GET", path: "/openapi.json", role: Reader, tag: "server", summary: "This document", answers: map[string]any{},
			do: func(a *API, q *request) (any, error) { return rawJSON(a.document), nil }},
	}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		routes = append(routes, route{method: method, path: "/debug/pprof/{profile...}", role: Admin, hidden: true, raw: profile})
	}
	return append(routes, route{method: "GET", path: "/debug/pprof", role: Admin, hidden: true,
		raw: func(_ *API, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/debug/pprof/", http.StatusMovedPermanently)
		}})
}

// profile serves the profiles of net/http/pprof, but not the command line, which may
// have secrets.
func profile(_ *API, w http.ResponseWriter, r *http.Request) {
	w.Header().Del("Content-Security-Policy") // its index is a page
	switch strings.TrimPrefix(r.URL.Path, "/debug/pprof/") {
	case "cmdline":
		http.NotFound(w, r)
	case "profile":
		pprof.Profile(w, r)
	case "symbol":
		pprof.Symbol(w, r)
	case "trace":
		pprof.Trace(w, r)
	default:
		pprof.Index(w, r)
	}
}

// dashboard serves the files of a page that needs nothing from elsewhere. They hold
// no secret; what the page shows it has to ask the API for.
func dashboard(files fs.FS) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
		if name == "" {
			name = "index.html"
		}
		info, err := fs.Stat(files, name)
		if err != nil || !info.Mode().IsRegular() {
			problemf(http.StatusNotFound, "nothing is at %s; /openapi.json tells what there is", cut(r.URL.Path)).reply().write(w)
			return
		}
		header := w.Header()
		header.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "+
			"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "+
			"require-trusted-types-for 'script'; trusted-types 'none'")
		header.Set("X-Frame-Options", "DENY")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		http.ServeFileFS(w, r, files, name)
	})
}
