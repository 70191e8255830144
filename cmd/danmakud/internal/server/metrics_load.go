package server

import (
	"runtime"
	"strconv"

	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/room"
	"github.com/prometheus/client_golang/prometheus"
)

// What tells how much of the machine and of the limits is in use.
var (
	descBuild          = desc("build_info", "What the binary was built from; always 1.", "version", "revision", "goversion")
	descLoopBusy       = desc("loop_busy_seconds_total", "Time a loop has spent otherwise than asleep.", "loop")
	descLoopConns      = desc("loop_connections", "Connections of a loop.", "loop")
	descLoopInbox      = desc("loop_inbox_length", "Calls that wait for a loop.", "loop")
	descLoopLag        = desc("loop_lag_seconds", "How long the oldest thing that a loop has to do has waited.", "loop")
	descMaxConnections = desc("connections_limit", "Most connections there may be.")
	descMaxRooms       = desc("rooms_limit", "Most rooms there may be.")
	descMaxFiles       = desc("open_files_limit", "RLIMIT_NOFILE as the server found or made it.")
)

// sealed takes note of a batch: some additions for each batch, none for each
// delivery. Any goroutine.
func (m *metrics) sealed(b *room.Batch) {
	m.tickLag.Observe(float64(b.Lag) / 1e9)
	m.batchComments.Observe(float64(b.Comments))
	m.batchBytes.Observe(float64(len(b.Frame(room.EncodingJSON))))
}

// collectLoops is the part of a scrape that tells loops apart, and the limits.
func (m *metrics) collectLoops(ch chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, t, v, labels...)
	}
	s := m.server
	now := s.now()
	for i, h := range s.handlers {
		name, st := strconv.Itoa(i), h.loop.Stats()
		send(descLoopBusy, prometheus.CounterValue, st.Busy.Seconds(), name)
		send(descLoopConns, prometheus.GaugeValue, float64(st.Connections), name)
		send(descLoopInbox, prometheus.GaugeValue, float64(st.Inbox), name)
		send(descLoopLag, prometheus.GaugeValue, float64(max(h.loop.Lag(now), h.passAge.Load()))/1e9, name)
	}
	c := s.settings()
	send(descMaxConnections, prometheus.GaugeValue, float64(c.MaxConnections))
	send(descMaxRooms, prometheus.GaugeValue, float64(c.MaxRooms))
	send(descMaxFiles, prometheus.GaugeValue, float64(s.openFiles))
	send(descBuild, prometheus.GaugeValue, 1, s.options.Version, s.options.Commit, runtime.Version())
}

// eachRejected calls f for every reason a connection or join is rejected for.
func (s *Server) eachRejected(st *poller.Stats, f func(reason string, n uint64)) {
	f("rooms", s.rejected.rooms.Load())
	f("room", s.rejected.room.Load())
	f("behind", s.rejected.behind.Load())
	f("address", s.rejected.addresses.Load())
	f("banned", s.rejected.banned.Load())
	f("http_connections", s.rejected.http.Load())
	f("connections", st.RefusedLimit)
	f("open_files", st.RefusedFiles)
}
