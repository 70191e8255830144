package server

import (
	"net/http"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/admin"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/dashboard"
)

// The control listener is for operators: the API of package admin, to which a Server
// is the backend, metrics, health, profiles and the dashboard. It is plain net/http
// and touches viewers only through posted calls.

var _ admin.Backend = (*Server)(nil)

// controlServer makes what serves the control listener.
func (s *Server) controlServer() *http.Server {
	o := s.rules.Load().control
	o.Registry, o.Log, o.Version = s.metrics.registry, s.log, s.options.Version
	o.Dashboard = dashboard.Files
	s.api = admin.New(s, o)
	control := &http.Server{
		Handler:           s.api.Handler(),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          discardLog,
	}
	control.RegisterOnShutdown(s.api.Close)
	return control
}
