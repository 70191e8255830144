package server

import (
	"runtime"
	"sync"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/admin"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// statsEvery is the least time between two collections for dashboards: however
// many of them ask, the loops are asked twice a second.
const statsEvery = 500 * time.Millisecond

// statsCache is what was collected last.
type statsCache struct {
	mu sync.Mutex
	// Guarded by mu, which is held while the loops answer.
	at   int64 // on the loops' clock; 0 = never
	last admin.Stats
}

// Stats returns the counts that dashboards draw, at most half a second old.
// Its maps and slices are shared: read only. Any goroutine but a loop's.
func (s *Server) Stats() admin.Stats {
	c := &s.stats
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := s.now(); c.at == 0 || now-c.at >= int64(statsEvery) {
		c.last = s.collectStats()
		c.at = s.now() // a busy loop may have taken long to answer
	}
	return c.last
}

func (s *Server) collectStats() admin.Stats {
	reactor, sum := s.reactor.Stats(), s.metrics.collect()
	stats := admin.Stats{
		At: time.Now(), Started: s.started, Version: s.options.Version, Draining: s.draining.Load(),
		Connections: s.reactor.Connections(), Members: sum.Members, Rooms: s.hub.Rooms(),
		Received: sum.comments + s.settled.Load(), Delivered: sum.CommentsDelivered, Frames: sum.FramesWritten,
		Batches: s.hub.Sealed(), Skipped: sum.BatchesSkipped, Sampled: s.hub.Sampled() + s.hub.Refused(),
		TickLag: sumAndCount(s.metrics.tickLag), Pass: sumAndCount(s.metrics.pass),
		TickMax: s.hub.LongestTick().Seconds(),
		Closes:  make(map[string]uint64), Errors: make(map[string]uint64), Rejected: make(map[string]uint64),
		Behind: s.behind.refuses(s.now()), Blocked: sum.Blocked, BytesOut: reactor.BytesWritten,
		Goroutines: runtime.NumGoroutine(), FilesMax: s.openFiles,
	}
	stats.PlainBytes, stats.SmallBytes = s.hub.Deflated()
	for _, r := range allReasons() {
		note(stats.Closes, reasonName(r), sum.closes[r])
	}
	for code, n := range sum.refused {
		note(stats.Errors, refusalCodes[code], n)
	}
	s.eachRejected(&reactor, func(reason string, n uint64) { note(stats.Rejected, reason, n) })
	for _, h := range s.handlers {
		st := h.loop.Stats()
		stats.Loops = append(stats.Loops, admin.LoopStats{Connections: st.Connections, Inbox: st.Inbox, Busy: st.Busy.Seconds()})
	}
	s.metrics.addProcess(&stats)
	return stats
}

// note leaves out what never happened.
func note(m map[string]uint64, name string, n uint64) {
	if n > 0 {
		m[name] = n
	}
}

// sumAndCount is all that a histogram has seen.
func sumAndCount(h prometheus.Histogram) [2]float64 {
	var m dto.Metric
	if err := h.Write(&m); err != nil {
		return [2]float64{}
	}
	return [2]float64{m.GetHistogram().GetSampleSum(), float64(m.GetHistogram().GetSampleCount())}
}

// addProcess fills in what the system says of the process. Where it does not
// tell, the numbers stay 0.
func (m *metrics) addProcess(s *admin.Stats) {
	families, _ := m.process.Gather() // what could be had is in there besides an error
	for _, f := range families {
		if len(f.GetMetric()) != 1 {
			continue
		}
		one := f.GetMetric()[0]
		switch f.GetName() {
		case "process_resident_memory_bytes":
			s.RSS = int64(one.GetGauge().GetValue())
		case "process_cpu_seconds_total":
			s.CPU = one.GetCounter().GetValue()
		case "process_open_fds":
			s.OpenFiles = int(one.GetGauge().GetValue())
		}
	}
}
