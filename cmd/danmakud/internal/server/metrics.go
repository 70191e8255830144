package server

import (
	"sync"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/token"
	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/room"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// metrics are what the server tells Prometheus. Counts live where the work is
// done, as plain numbers of one loop or as the poller's atomics; a scrape
// collects them, so that counting costs the hot path nothing.
type metrics struct {
	// Fixed after construction.
	registry      *prometheus.Registry
	tickLag       prometheus.Histogram
	pass          prometheus.Histogram
	batchComments prometheus.Histogram
	batchBytes    prometheus.Histogram
	process       *prometheus.Registry // of the process alone: memory, processor time, files
	server        *Server

	mu sync.Mutex
	// Guarded by mu, by which scrapes take turns.
	last []loopCounts // by loop
}

// snapshotTimeout bounds how long a scrape waits for a busy loop.
const snapshotTimeout = 2 * time.Second

func newMetrics(s *Server) *metrics {
	buckets := []float64{.0001, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5}
	m := &metrics{
		server:   s,
		registry: prometheus.NewRegistry(),
		tickLag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "danmakud_tick_lag_seconds", Help: "Time between when a room was due and when it was sealed.", Buckets: buckets}),
		pass: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "danmakud_pass_seconds", Help: "Time a broadcast pass over one loop's members of a room took.", Buckets: buckets}),
		batchComments: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "danmakud_batch_comments", Help: "Comments in a batch.", Buckets: prometheus.ExponentialBuckets(1, 4, 8)}),
		batchBytes: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "danmakud_batch_size_bytes", Help: "Size of a batch framed as plain JSON.", Buckets: prometheus.ExponentialBuckets(256, 4, 8)}),
		process: prometheus.NewRegistry(),
	}
	process := collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})
	m.process.MustRegister(process)
	m.registry.MustRegister(m, m.tickLag, m.pass, m.batchComments, m.batchBytes, collectors.NewGoCollector(), process)
	return m
}

// loopCounts is what one loop's handler has counted.
type loopCounts struct {
	room.Counts
	closes                      [256]uint64
	refused                     [refusals]uint64
	comments, likes, handshakes uint64
	moved, inflated, cut        uint64
	shadowed                    uint64
	persons                     int
	ignored                     uint64
}

// counts copies the counters. Loop goroutine only.
func (h *handler) counts() loopCounts {
	return loopCounts{h.shard.Counts(), h.closes, h.refused, h.comments, h.likes, h.upgraded, h.moved, h.inflated, h.cut, h.shadowed, len(h.persons.bySlot), h.ignored}
}

// collect asks each loop for its counts and adds them up. A loop that does not
// answer in time counts as it last did: a counter must never go back.
func (m *metrics) collect() (sum loopCounts) {
	type answer struct {
		loop   int
		counts loopCounts
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	answers := make(chan answer, len(m.server.handlers))
	asked := 0
	for i, h := range m.server.handlers {
		if h.loop.Post(func() { answers <- answer{i, h.counts()} }) {
			asked++
		}
	}
	if m.last == nil {
		m.last = make([]loopCounts, len(m.server.handlers))
	}
	timeout := time.After(snapshotTimeout)
wait:
	for range asked {
		select {
		case a := <-answers:
			m.last[a.loop] = a.counts
		case <-timeout:
			break wait
		}
	}
	for i := range m.last {
		sum.add(&m.last[i])
	}
	return sum
}

func (s *loopCounts) add(c *loopCounts) {
	s.Members += c.Members
	s.FramesWritten += c.FramesWritten
	s.CommentsDelivered += c.CommentsDelivered
	s.BatchesSkipped += c.BatchesSkipped
	s.CommentsSkipped += c.CommentsSkipped
	s.BatchesUnsent += c.BatchesUnsent
	s.BatchesResumed += c.BatchesResumed
	s.Resumes += c.Resumes
	s.ResumesMissed += c.ResumesMissed
	s.BatchesMissed += c.BatchesMissed
	s.RepliesDropped += c.RepliesDropped
	s.Blocked += c.Blocked
	s.Passes += c.Passes
	for i := range c.closes {
		s.closes[i] += c.closes[i]
	}
	for i := range c.refused {
		s.refused[i] += c.refused[i]
	}
	s.comments += c.comments
	s.likes += c.likes
	s.handshakes += c.handshakes
	s.moved += c.moved
	s.inflated += c.inflated
	s.shadowed += c.shadowed
	s.cut += c.cut
	s.persons += c.persons
	s.ignored += c.ignored
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("danmakud_"+name, help, labels, nil)
}

var (
	descConnections = desc("connections", "Viewer connections, those in their handshake included.")
	descMembers     = desc("members", "Viewers joined to a room.")
	descRooms       = desc("rooms", "Rooms in memory.")
	descBlocked     = desc("blocked_viewers", "Viewers whose socket is full at present.")
	descDraining    = desc("draining", "1 while the server goes down.")
	descStuck       = desc("loops_stuck", "Loops that have not turned for longer than --watchdog.")
	descTickMax     = desc("tick_max_seconds", "Longest present tick of any room; more than configured means overload.")
	descBehind      = desc("behind", "1 while new connections are refused because a loop lags too far.")
	descPartial     = desc("partial_bytes", "Memory held for unfinished request heads and messages.")
	descHTTP        = desc("http_connections", "Plain HTTP connections on the public port.")

	descArchived        = desc("archive_comments_total", "Comments written to the archive.")
	descArchivedBatches = desc("archive_batches_total", "Batches written to the archive.")
	descArchivedBytes   = desc("archive_bytes_total", "Bytes written to the archive.")
	descArchiveDropped  = desc("archive_dropped_total", "Comments not written to the archive: too many waited for the disk.")
	descArchiveErrors   = desc("archive_errors_total", "Operations on files of the archive that failed.")
	descArchiveWaiting  = desc("archive_waiting_bytes", "Comments that wait to be written to the archive.")
	descArchiveRefused  = desc("archive_readers_refused_total", "Exports and replays refused because all places of readers were taken.")
	descReplayRefused   = desc("replay_refused_total", "Requests for a replay refused because too many answers were being made.")

	descWatched   = desc("watched", "Different viewers that each of the present rooms has had, added up; an estimate.")
	descTaps      = desc("watchers", "Readers along of a room's batches, over the control API.")
	descTapMissed = desc("watch_missed_total", "Batches that such a reader was too slow for.")

	descSpoolBytes = desc("spool_bytes", "Memory of large frames that are sent by reference.")

	descSpooled     = desc("spooled_frames_total", "Large frames put where they are sent from without copying.")
	descSpoolFull   = desc("spool_full_total", "Large frames that found no place there and were copied for each viewer.")
	descSealed      = desc("batches_sealed_total", "Batches sealed.")
	descEncodings   = desc("encodings_total", "Times a batch was encoded and framed.", "encoding")
	descDeflateIn   = desc("deflate_bytes_in_total", "Bytes of batch frames before they were compressed.")
	descDeflateOut  = desc("deflate_bytes_out_total", "Bytes of the same frames compressed, or as they were if that did not help.")
	descInflated    = desc("inflated_messages_total", "Compressed messages from viewers that were inflated.")
	descFrames      = desc("frames_written_total", "Batch frames handed to viewers.")
	descReceived    = desc("comments_received_total", "Comments accepted from viewers.")
	descInjected    = desc("comments_published_total", "Comments that the control API published.")
	descDelivered   = desc("comments_delivered_total", "Comments in the frames handed to viewers.")
	descLikes       = desc("likes_received_total", "Likes accepted from viewers.")
	descSkipped     = desc("batches_skipped_total", "Batches that lagging viewers were told they missed.")
	descSkippedC    = desc("comments_skipped_total", "Comments in skipped batches.")
	descUnsent      = desc("batches_unsent_total", "Batches owed to viewers when they left.")
	descResumed     = desc("batches_resumed_total", "Batches from before they joined that viewers who came back had a claim to.")
	descResumes     = desc("resumes_total", "Joins that asked to go on where they were.", "result")
	descKept        = desc("resume_bytes", "Memory of the batches that are kept for viewers who come back.")
	descKeptDropped = desc("resume_dropped_total", "Batches that were not kept for --resume-age because there were too many.")
	descMissed      = desc("batches_missed_total", "Batches that did not fit into a loop's inbox.")
	descOverfull    = desc("comments_refused_total", "Comments refused because a room's tick was full.")
	descSampled     = desc("comments_sampled_total", "Comments left out because a batch was full.")
	descMerged      = desc("comments_merged_total", "Comments that went into the count of an equal one.")
	descWithdrawn   = desc("comments_withdrawn_total", "Comments taken back before they were sent.")
	descForgotten   = desc("superchats_forgotten_total", "Running superchats not kept for who joins because a room had too many.")
	descErrors      = desc("refused_messages_total", "Messages answered with an error.", "code")
	descTokens      = desc("tokens_refused_total", "Viewers' tokens that were not good.", "problem")
	descRevocations = desc("revocations", "Revoked tokens and users that are kept.")
	descConnect     = desc("connect_total", "Questions to --connect-url, by how they ended.", "outcome")
	descConnectGone = desc("connect_gone_total", "Viewers who had left when the answer of --connect-url came.")
	descConnectWait = desc("connect_waiting", "Questions to --connect-url that wait for their turn.")
	descPersons     = desc("token_holders", "Viewers in a room who are no guests.")
	descIgnored     = desc("packets_ignored_total", "Packets of Bilibili and goim clients that mean nothing, or not at that moment.")
	descDropped     = desc("replies_dropped_total", "Replies dropped because too many waited for a viewer.")
	descHandshakes  = desc("handshakes_total", "Completed WebSocket handshakes.")
	descMoved       = desc("moved_total", "Connections moved to the loop of their small room.")
	descPasses      = desc("passes_total", "Finished broadcast passes.")
	descCloses      = desc("closes_total", "Closed connections.", "reason")
	descRejected    = desc("rejected_total", "Connections or joins rejected for a limit.", "reason")
	descForwarded   = desc("forwarded_for_ignored_total", "Heads of trusted proxies whose X-Forwarded-For has no address where one should be.")
	descWriteCalls  = desc("write_calls_total", "System calls that wrote to viewers.")
	descShortWrites = desc("short_writes_total", "Writes that took less than all.")
	descBytesOut    = desc("bytes_written_total", "Bytes written to viewers.")
	descReads       = desc("read_calls_total", "System calls that read from viewers.")
	descBytesIn     = desc("bytes_read_total", "Bytes read from viewers.")
	descWaits       = desc("wakeups_total", "Returns of epoll_wait or kevent.")
	descWakes       = desc("wakes_total", "System calls made to wake a sleeping loop.")
	descAccepted    = desc("accepted_total", "Accepted connections.")
	descPaused      = desc("accept_paused_total", "Times accepting was paused.")
	descAcceptErrs  = desc("accept_errors_total", "Failed accepts.")
	descInboxFull   = desc("inbox_full_total", "Posts refused because a loop's inbox was full.")
	descPanics      = desc("panics_total", "Panics while handling a connection; it was closed.")
	descPollErrors  = desc("poll_errors_total", "Sockets closed because the kernel's poller would not watch them.")
	descLingerCut   = desc("linger_cut_total", "Rejected connections closed before their peer's FIN for lack of places: the answer may be lost.")
	descStale       = desc("stale_events_total", "Kernel events about connections closed before.")
)

// Describe sends nothing: the collector is unchecked, its names are constants.
func (m *metrics) Describe(chan<- *prometheus.Desc) {}

// Collect gathers everything for one scrape.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	s := m.server
	st, sum := s.reactor.Stats(), m.collect()
	gauge(descConnections, float64(s.reactor.Connections()))
	gauge(descMembers, float64(sum.Members))
	gauge(descRooms, float64(s.hub.Rooms()))
	gauge(descWatched, float64(s.watched()))
	gauge(descBlocked, float64(sum.Blocked))
	lagging := 0.0
	if s.behind.refuses(s.now()) {
		lagging = 1
	}
	gauge(descBehind, lagging)
	gauge(descPartial, float64(s.partialBytes.Load()))
	gauge(descHTTP, float64(s.public.open.Load()))
	gauge(descTickMax, s.hub.LongestTick().Seconds())
	draining := 0.0
	if s.draining.Load() {
		draining = 1
	}
	gauge(descDraining, draining)
	gauge(descStuck, float64(s.watch.stuck.Load()))

	m.collectEncodings(counter, gauge)
	counter(descInflated, sum.inflated)
	counter(descFrames, sum.FramesWritten)
	counter(descReceived, sum.comments+s.settled.Load())
	counter(descShadowed, sum.shadowed)
	m.collectModeration(ch, counter)
	counter(descInjected, s.injected.Load())
	counter(descTapMissed, s.taps.missed.Load())
	gauge(descTaps, float64(s.taps.watched.Load()))
	if s.archive != nil {
		m.collectArchive(counter, gauge)
	}
	if s.nodes != nil {
		m.collectCluster(counter, gauge)
	}
	counter(descDelivered, sum.CommentsDelivered)
	counter(descLikes, sum.likes)
	counter(descSkipped, sum.BatchesSkipped)
	counter(descSkippedC, sum.CommentsSkipped)
	counter(descUnsent, sum.BatchesUnsent)
	counter(descMissed, sum.BatchesMissed)
	m.collectRooms(counter, gauge, &sum)
	counter(descDropped, sum.RepliesDropped)
	counter(descIgnored, sum.ignored)
	counter(descHandshakes, sum.handshakes)
	counter(descMoved, sum.moved)
	counter(descPasses, sum.Passes)
	for code, n := range sum.refused {
		counter(descErrors, n, refusalCodes[code])
	}
	m.collectTokens(counter, gauge)
	gauge(descPersons, float64(sum.persons))
	for _, r := range allReasons() {
		counter(descCloses, sum.closes[r], reasonName(r))
	}
	s.eachRejected(&st, func(reason string, n uint64) { counter(descRejected, n, reason) })
	counter(descForwarded, s.misforwarded.Load())
	counter(descLingerCut, st.LingersCut+sum.cut)
	m.collectPoller(counter, &st)
	m.collectLoops(ch)
}

func (m *metrics) collectEncodings(counter func(*prometheus.Desc, uint64, ...string), gauge func(*prometheus.Desc, float64)) {
	s := m.server
	counter(descSealed, s.hub.Sealed())
	for e := range room.Encodings {
		if name := s.hub.EncodingName(e); name != "" {
			counter(descEncodings, s.hub.Encoded(e), name)
		}
	}
	deflateIn, deflateOut := s.hub.Deflated()
	counter(descDeflateIn, deflateIn)
	counter(descDeflateOut, deflateOut)
	spooled, full := s.hub.Spooled()
	counter(descSpooled, spooled)
	counter(descSpoolFull, full)
	if s.spool != nil {
		gauge(descSpoolBytes, float64(s.spool.Held()))
	}
}

// collectRooms has what the rooms left out and what they keep.
func (m *metrics) collectRooms(counter func(*prometheus.Desc, uint64, ...string), gauge func(*prometheus.Desc, float64), sum *loopCounts) {
	h := m.server.hub
	counter(descOverfull, h.Refused())
	counter(descSampled, h.Sampled())
	counter(descMerged, h.Merged())
	counter(descWithdrawn, h.Withdrawn())
	counter(descForgotten, h.Forgotten())
	counter(descResumed, sum.BatchesResumed)
	counter(descResumes, sum.Resumes, "resumed")
	counter(descResumes, sum.ResumesMissed, "missed")
	kept, dropped := h.Kept()
	gauge(descKept, float64(kept))
	counter(descKeptDropped, dropped)
}

func (m *metrics) collectArchive(counter func(*prometheus.Desc, uint64, ...string), gauge func(*prometheus.Desc, float64)) {
	c := m.server.archive.Counts()
	counter(descArchived, c.Comments)
	counter(descArchivedBatches, c.Batches)
	counter(descArchivedBytes, c.Bytes)
	counter(descArchiveDropped, c.Dropped)
	counter(descArchiveErrors, c.Errors)
	counter(descArchiveRefused, c.Refused)
	gauge(descArchiveWaiting, float64(m.server.archive.Waiting()))
	if m.server.replay != nil {
		counter(descReplayRefused, m.server.replay.Refused())
	}
}

func (m *metrics) collectTokens(counter func(*prometheus.Desc, uint64, ...string), gauge func(*prometheus.Desc, float64)) {
	s := m.server
	for i, p := range token.Problems() {
		counter(descTokens, s.tokenProblems[i].Load(), p.Name)
	}
	gauge(descRevocations, float64(s.revocations.Len()))
	for o := range outcomes {
		counter(descConnect, s.callback.count[o].Load(), outcomeNames[o])
	}
	counter(descConnectGone, s.callback.gone.Load())
	gauge(descConnectWait, float64(s.callback.pool.waiting()))
}

func (m *metrics) collectPoller(counter func(*prometheus.Desc, uint64, ...string), st *poller.Stats) {
	counter(descWriteCalls, st.WriteCalls)
	counter(descShortWrites, st.ShortWrites)
	counter(descBytesOut, st.BytesWritten)
	counter(descReads, st.Reads)
	counter(descBytesIn, st.BytesRead)
	counter(descWaits, st.Waits)
	counter(descWakes, st.Wakes)
	counter(descAccepted, st.Accepted)
	counter(descPaused, st.AcceptPaused)
	counter(descAcceptErrs, st.AcceptErrors)
	counter(descInboxFull, st.InboxFull)
	counter(descPanics, st.Panics)
	counter(descPollErrors, st.PollErrors)
	counter(descStale, st.StaleEvents)
}
