package main

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// measurement follows a fleet and the server through one phase.
type measurement struct {
	party *party
	with  []*party // further fleets in the same rooms, counted in
	phase Phase

	began, last snapshot
}

// snapshot is everything that is counted, at one moment.
type snapshot struct {
	at      time.Time
	fleet   fleetStatus   // all of them together
	fleets  []fleetStatus // each
	load    int64         // CPU of the workers, ns
	loadRSS int64
	server  *ProcSample
	machine MachineSample
	metrics metrics
}

// measure begins a phase. Nothing else may be measured at the same time, since
// the recent latencies are taken by whoever asks.
func (p *party) measure(name string) (*measurement, error) {
	m := &measurement{party: p}
	return m, m.begin(name)
}

// begin is measure for one that has further fleets from the start.
func (m *measurement) begin(name string) (err error) {
	p := m.party
	m.phase = Phase{
		Name: name, Measured: true, StartS: p.session.since(),
		Viewers: int64(p.plan.Viewers), Verified: int64(p.plan.verifiedCount()),
		Rooms: int64(p.plan.Rooms), Senders: int64(p.plan.Senders),
	}
	m.began, err = m.take(true)
	m.last = m.began
	return err
}

// take reads all counters. Metrics cost the server some work, so they are only
// read at both ends.
func (m *measurement) take(withMetrics bool) (snapshot, error) {
	s := m.party.session
	var now snapshot
	if withMetrics {
		var err error
		if now.metrics, err = scrape(s.target.info.Control); err != nil {
			return now, err
		}
	}
	t, err := s.crew.statusWith(true)
	if err != nil {
		return now, err
	}
	now.at = time.Now()
	now.server = s.target.proc()
	now.machine, _ = ReadMachineCPU() // zero where there is none
	for _, p := range append([]*party{m.party}, m.with...) {
		f := t.Fleets[p.plan.Fleet]
		if f == nil {
			f = &fleetStatus{}
		}
		now.fleets = append(now.fleets, *f)
		now.fleet.add(f)
		now.fleet.recents = append(now.fleet.recents, f.recents...)
	}
	now.load, now.loadRSS = t.CPU, t.RSS
	return now, s.target.alive()
}

// until follows the phase second by second up to a moment of nowMicros.
func (m *measurement) until(end int64) error {
	live := m.party.session.live()
	defer live.clear()
	for next := nowMicros(); ; {
		next = min(next+1e6, end)
		sleepUntil(next)
		if next >= end {
			return nil
		}
		now, err := m.take(false)
		if err != nil {
			return err
		}
		point := m.second(&now)
		m.phase.Series = append(m.phase.Series, point)
		p99 := int64(0)
		if point.LatencyP99US != nil {
			p99 = *point.LatencyP99US
		}
		cpu := 0.0
		if point.ServerCPUPercent != nil {
			cpu = *point.ServerCPUPercent
		}
		live.show("%s %.0fs: %d viewers, %.2f M deliveries/s, %.0f frames/s, p99 %v, server %.0f %% CPU, faults %d",
			m.phase.Name, point.AtS, point.Connections, point.DeliveriesPerS/1e6, point.FramesPerS,
			time.Duration(p99)*time.Microsecond, cpu, now.fleet.Faults)
		m.last = now
	}
}

// second is the point of the series that ends now.
func (m *measurement) second(now *snapshot) Second {
	elapsed := now.at.Sub(m.last.at).Seconds()
	got := arrivedAll(&m.last, now)
	p := Second{
		AtS:         now.at.Sub(m.began.at).Seconds(),
		FramesPerS:  got.frames / elapsed,
		BytesPerS:   got.bytes / elapsed,
		Connections: int64(now.fleet.Joined), DeliveriesPerS: got.deliveries / elapsed,
	}
	load := 100 * float64(now.load-m.last.load) / 1e9 / elapsed
	p.LoadCPUPercent = &load
	if now.server != nil && m.last.server != nil {
		cpu := now.server.Since(*m.last.server).CPUPercent
		p.ServerCPUPercent = &cpu
		p.ServerRSSBytes = &now.server.RSS
	}
	h := newRoughDelays()
	for _, encoded := range now.fleet.recents {
		_ = mergeDelays(h, encoded) // a gap in a plot at worst
	}
	if h.TotalCount() > 0 {
		p50, p99 := h.ValueAtQuantile(50), h.ValueAtQuantile(99)
		p.LatencyP50US, p.LatencyP99US = &p50, &p99
	}
	return p
}

// intake is what came between two moments.
type intake struct {
	frames, deliveries, bytes float64
	plain                     float64 // bytes before compression
}

// arrivedAll adds up what came to all fleets. Those that joined the measurement after
// its beginning have nothing before it.
func arrivedAll(a, b *snapshot) (all intake) {
	for i := range b.fleets {
		before := fleetStatus{}
		if i < len(a.fleets) {
			before = a.fleets[i]
		}
		got := arrived(&before, &b.fleets[i])
		all.frames += got.frames
		all.deliveries += got.deliveries
		all.bytes += got.bytes
		all.plain += got.plain
	}
	return all
}

// arrived is what came to all viewers of a fleet. Bytes are counted everywhere; what
// they held is known from the verified viewers.
func arrived(a, b *fleetStatus) intake {
	bytes := float64(b.FrameBytes - a.FrameBytes)
	known := float64(b.VerifiedBytes - a.VerifiedBytes)
	if known <= 0 {
		return intake{bytes: bytes}
	}
	share := bytes / known
	return intake{
		frames:     share * float64(b.VerifiedFrames-a.VerifiedFrames),
		deliveries: share * float64(b.VerifiedComments-a.VerifiedComments),
		bytes:      bytes,
		plain:      bytes * float64(b.VerifiedPlain-a.VerifiedPlain) / known,
	}
}

// finish ends the phase. Its numbers are those between its two ends.
func (m *measurement) finish() (*Phase, error) {
	now, err := m.take(true)
	if err != nil {
		return nil, err
	}
	p := &m.phase
	p.DurationS = now.at.Sub(m.began.at).Seconds()
	got := arrivedAll(&m.began, &now)
	p.Received = Counts{
		Frames: int64(got.frames), Deliveries: int64(got.deliveries), Bytes: int64(got.bytes), PlainBytes: int64(got.plain),
		Comments: now.fleet.Distinct - m.began.fleet.Distinct,
	}
	cpu := now.load - m.began.load
	p.Load = &ProcUse{CPUNS: cpu, CPUPercent: 100 * float64(cpu) / 1e9 / p.DurationS, RSSStart: m.began.loadRSS, RSSEnd: now.loadRSS}
	if now.metrics != nil && m.began.metrics != nil {
		p.Counters = now.metrics.since(m.began.metrics)
	}
	m.fillServer(&now)
	return p, nil
}

// fillServer adds what the server used and what that makes for each delivery.
func (m *measurement) fillServer(now *snapshot) {
	a, b := m.began.server, now.server
	if a == nil || b == nil {
		return
	}
	p := &m.phase
	used, machine := b.Since(*a), now.machine.Since(m.began.machine)
	p.Server = &ProcUse{
		CPUNS: int64(used.CPU), CPUPercent: used.CPUPercent, CPUSource: b.CPUSource,
		RSSStart: a.RSS, RSSEnd: b.RSS, RSSPeak: b.RSSPeak, RSSAnonStart: a.RSSAnon, RSSAnonEnd: b.RSSAnon,
		ThreadsStart: a.Threads, ThreadsEnd: b.Threads, FDsStart: a.FDs, FDsEnd: b.FDs,
		Goroutines: int(now.metrics.sum("go_goroutines")),
		Voluntary:  used.Voluntary, Involuntary: used.Involuntary,
		KsoftirqdNS: int64(machine.Ksoftirqd), StealPercent: machine.StealPercent, MachineBusy: machine.BusyPercent,
	}
	m.noteOthers(machine)
	frames, deliveries := float64(p.Received.Frames), float64(p.Received.Deliveries)
	if frames <= 0 || deliveries <= 0 {
		return
	}
	writes := now.metrics.sum("danmakud_write_calls_total") - m.began.metrics.sum("danmakud_write_calls_total")
	p.Cost = &Cost{
		CPUNSPerFrame:         float64(used.CPU) / frames,
		CPUNSPerDelivery:      float64(used.CPU) / deliveries,
		WriteCalls:            int64(writes),
		WriteCallsPerDelivery: writes / deliveries,
		WriteCallsPerFrame:    writes / frames,
		BytesPerDelivery:      float64(p.Received.Bytes) / deliveries,
		DeliveriesPerFrame:    deliveries / frames,
		BytesPerFrame:         float64(p.Received.Bytes) / frames,
		PlainBytesPerFrame:    float64(p.Received.PlainBytes) / frames,
		Compression:           p.Received.Compression(),
	}
}

// skippedByServer is how many batches the server says that it has skipped
// since the phase began.
func (m *measurement) skippedByServer() int64 {
	now, err := scrape(m.party.session.target.info.Control)
	if err != nil {
		return 0
	}
	return int64(now.sum("danmakud_batches_skipped_total") - m.began.metrics.sum("danmakud_batches_skipped_total"))
}

// disturbedPercent of one core, used by neither server nor load, is worth a note.
const disturbedPercent = 20

// noteOthers warns of a machine that had something else to do.
func (m *measurement) noteOthers(machine MachineDelta) {
	cpus := float64(m.party.session.card.Machine.CPUs)
	others := cpus*machine.BusyPercent - m.phase.Server.CPUPercent - m.phase.Load.CPUPercent
	if others > disturbedPercent || machine.StealPercent > 5 {
		m.party.session.note("%s: other processes used %.0f %% of a core, %.0f %% of the machine was stolen: trust ratios, not times",
			m.phase.Name, others, machine.StealPercent)
	}
}

// addAccount puts a phase of its own on the card: the whole of what a fleet
// was owed and got, warm-up included, and every fault.
func (s *session) addAccount(name string, p *plan, v *judgement, delays map[string]*hdrhistogram.Histogram) *Phase {
	ph := Phase{
		Name: name, Viewers: v.Viewers, Verified: v.Verified, Rooms: int64(p.Rooms), Senders: int64(p.Senders),
		DurationS: s.since(), Expected: v.Expected, Received: v.Received,
		Skips: v.Skips, Drops: v.drops(), Faults: v.Faults.Counts, Examples: v.Faults.Examples,
		Counters: map[string]int64{"comments_sent": v.Sent, "joins": v.Joined, "batches_sealed": v.Batches, "batches_deflated": v.Deflated, "frames_inflated": v.Inflated},
	}
	for _, d := range []string{"connect", "upgrade", "join", "late"} {
		if l := LatencyOf(delays[d]); l != nil {
			ph.Others = append(ph.Others, NamedDelay{Name: d, Latency: *l})
		}
	}
	s.card.Phases = append(s.card.Phases, ph)
	return &s.card.Phases[len(s.card.Phases)-1]
}
