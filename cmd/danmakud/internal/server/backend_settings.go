package server

import (
	"errors"
	"net/http"
	"strings"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/admin"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/moderation"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// onRun has f run by the goroutine of Run, as a reload by SIGHUP is, and waits for
// it: so one change of the settings comes after the other.
func (s *Server) onRun(f func()) error {
	done := make(chan struct{})
	select {
	case s.asks <- func() { defer close(done); f() }:
		<-done
		return nil
	case <-s.leaving:
		return admin.ErrBusy // it has other things to do now
	}
}

// Reload reads the settings again, as SIGHUP does, and returns which have changed
// and which need a restart to.
func (s *Server) Reload(by string) (changed, restart []string, err error) {
	if s.options.Reread == nil {
		return nil, nil, config.ErrNoFile
	}
	busy := s.onRun(func() { changed, restart, err = s.reload() })
	if err = errors.Join(busy, err); err == nil {
		s.record(moderation.Event{By: by, Action: "reload"})
	}
	return changed, restart, err
}

// Drain begins what SIGTERM begins.
func (s *Server) Drain(by string) {
	select {
	case s.drains <- by:
		s.record(moderation.Event{By: by, Action: "drain"})
	default: // it has been asked for and is about to begin
	}
}

// Set changes settings by the names of their flags until the next reload, all of
// them or, after an error, none; and returns which have changed.
func (s *Server) Set(values map[string]string, by string) (changed []string, err error) {
	busy := s.onRun(func() { changed, err = s.set(values, by) })
	if err = errors.Join(busy, err); err == nil {
		s.record(moderation.Event{By: by, Action: "configure", Detail: strings.Join(changed, "; ")})
	}
	return changed, err
}

// set is Set on the goroutine of Run.
func (s *Server) set(values map[string]string, by string) ([]string, error) {
	next, changes, err := s.asked.Apply(values, by)
	if err == nil {
		err = s.takeOver(&next)
	}
	if err != nil {
		return nil, err
	}
	changed := changeTexts(changes)
	s.announce("settings changed", "by", by, "changed", changed)
	return changed, nil
}

// Configuration returns the settings in force.
func (s *Server) Configuration() []admin.Setting {
	list := s.settings().List()
	all := make([]admin.Setting, len(list))
	for i, e := range list {
		all[i] = admin.Setting{Name: e.Name, Value: e.Value, Origin: e.Origin, Reload: e.Reload}
	}
	return all
}

// Metrics serves what Prometheus reads.
func (s *Server) Metrics() http.Handler {
	return promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{})
}
