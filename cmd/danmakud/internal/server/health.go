package server

import (
	"io"
	"log"
	"net/http"
)

// discardLog swallows what net/http says about clients that misbehave.
var discardLog = log.New(io.Discard, "", 0)

// Healthz answers whether the process is alive: 503 names the loops that are stuck.
func (s *Server) Healthz(w http.ResponseWriter, _ *http.Request) {
	if stuck := s.watch.verdict.Load(); stuck != nil {
		plain(w, http.StatusServiceUnavailable, *stuck+"\n")
		return
	}
	plain(w, http.StatusOK, "ok\n")
}

// Readyz answers whether new viewers should be sent here.
func (s *Server) Readyz(w http.ResponseWriter, _ *http.Request) {
	if s.draining.Load() {
		plain(w, http.StatusServiceUnavailable, "draining\n")
		return
	}
	if s.behind.refuses(s.now()) {
		plain(w, http.StatusServiceUnavailable, "behind\n")
		return
	}
	if s.alone() { // who is here is served all the same
		plain(w, http.StatusServiceUnavailable, "the bus is lost\n")
		return
	}
	plain(w, http.StatusOK, "ready\n")
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	io.WriteString(w, text)
}
