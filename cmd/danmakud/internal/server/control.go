package server

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strconv"
	"time"

	"github.com/danmakud/danmakud/room"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// The control listener is for operators: metrics, health, profiles and the state
// of rooms. It is plain net/http and touches viewers only through posted calls.

const (
	listDefault, listMax = 100, 1000 // rooms in one answer of GET /v1/rooms
)

func (s *Server) controlServer() *http.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", s.Healthz)
	mux.HandleFunc("GET /readyz", s.Readyz)
	mux.HandleFunc("GET /v1/rooms", loopbackOnly(s.listRooms))
	mux.HandleFunc("GET /v1/rooms/{room}", loopbackOnly(s.showRoom))
	mux.HandleFunc("/debug/pprof/", loopbackOnly(pprof.Index))
	mux.HandleFunc("/debug/pprof/cmdline", loopbackOnly(pprof.Cmdline))
	mux.HandleFunc("/debug/pprof/profile", loopbackOnly(pprof.Profile))
	mux.HandleFunc("/debug/pprof/symbol", loopbackOnly(pprof.Symbol))
	mux.HandleFunc("/debug/pprof/trace", loopbackOnly(pprof.Trace))
	return &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          discardLog,
	}
}

// loopbackOnly keeps what is not for everybody to callers on this host, until
// there are keys: the listener itself may be bound to any address, for scrapes.
// Who may open a unix socket is for the permissions of its file.
func loopbackOnly(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, local := r.Context().Value(http.LocalAddrContextKey).(*net.UnixAddr); local {
			next(w, r)
			return
		}
		caller, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !caller.Addr().Unmap().IsLoopback() {
			problem(w, http.StatusForbidden, "only from this host")
			return
		}
		next(w, r)
	}
}

// listRooms answers GET /v1/rooms?after=NAME&limit=N: rooms in order of their
// names, next being the name to go on after.
func (s *Server) listRooms(w http.ResponseWriter, r *http.Request) {
	limit := listDefault
	if text := r.FormValue("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > listMax {
			problem(w, http.StatusBadRequest, "limit is a number from 1 to "+strconv.Itoa(listMax))
			return
		}
		limit = n
	}
	rooms := s.hub.List(r.FormValue("after"), limit)
	answer := struct {
		Rooms []room.Info `json:"rooms"`
		Total int         `json:"total"`
		Next  string      `json:"next,omitempty"`
	}{rooms, s.hub.Rooms(), ""}
	if len(rooms) == limit {
		answer.Next = rooms[limit-1].Name
	}
	writeJSON(w, http.StatusOK, "application/json", answer)
}

// showRoom answers GET /v1/rooms/{room}.
func (s *Server) showRoom(w http.ResponseWriter, r *http.Request) {
	found := s.hub.Find(r.PathValue("room"))
	if found == nil {
		problem(w, http.StatusNotFound, "no such room at present")
		return
	}
	writeJSON(w, http.StatusOK, "application/json", found.Info())
}

// problem answers with an RFC 9457 problem document.
func problem(w http.ResponseWriter, status int, detail string) {
	writeJSON(w, status, "application/problem+json", struct {
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{http.StatusText(status), status, detail})
}

func writeJSON(w http.ResponseWriter, status int, contentType string, v any) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // an error here is the client's, who has gone
}
