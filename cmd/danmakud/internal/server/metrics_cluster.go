package server

import (
	"github.com/danmakud/danmakud/cmd/danmakud/internal/cluster"
	"github.com/prometheus/client_golang/prometheus"
)

var (
	descBusUp          = desc("bus_connected", "1 while the bus is there; 0: what is said on other nodes does not come.")
	descBusLosses      = desc("bus_losses_total", "Times that the bus was lost.")
	descBusPeers       = desc("cluster_nodes", "Other nodes that are there.")
	descBusShards      = desc("bus_shards_heard", "Shards of rooms that are heard.")
	descBusMessages    = desc("bus_messages_total", "Messages on the bus, by direction.", "direction")
	descBusTicks       = desc("bus_ticks_total", "What was said in a room in a tick, by direction.", "direction")
	descBusBytes       = desc("bus_sent_bytes_total", "Bytes of ticks sent.")
	descBusComments    = desc("bus_comments_heard_total", "Comments that came from other nodes.")
	descBusTwice       = desc("bus_comments_duplicate_total", "Comments from other nodes that had come before.")
	descBusUnsent      = desc("bus_comments_unsent_total", "Comments that other nodes did not get: the bus was away or full.")
	descBusMissed      = desc("bus_ticks_missed_total", "Ticks of other nodes that never came.")
	descBusLost        = desc("bus_comments_lost_total", "Comments in them.")
	descBusDropped     = desc("bus_dropped_total", "Messages that went nowhere.", "reason")
	descAudience       = desc("bus_audience_bytes_total", "Bytes sent to tell other nodes of new viewers of rooms.")
	descBusQueued      = desc("bus_queue_bytes", "Bytes that wait for the bus.")
	descHistoryUp      = desc("bus_history_up", "1 while JetStream keeps what is said; 0: it is not there, or has a stream of another kind.")
	descHistoryWritten = desc("bus_history_written_total", "Batches that JetStream has taken.")
	descHistoryRefused = desc("bus_history_refused_total", "Batches that it has not.")
	descHistoryUnkept  = desc("bus_history_comments_unkept_total", "Comments that found no place in the queue, or were refused with their batch.")
	descHistoryQueued  = desc("bus_history_queue_bytes", "Bytes that wait for JetStream.")
	descHistoryRead    = desc("bus_history_rooms_total", "Rooms whose history was asked of JetStream.", "result")
	descUnprepared     = desc("bus_rooms_unprepared_total", "Rooms whose history other nodes did not give in time.")
)

// collectCluster gathers what the bus has counted.
func (m *metrics) collectCluster(counter func(*prometheus.Desc, uint64, ...string), gauge func(*prometheus.Desc, float64)) {
	st := m.server.nodes.Stats()
	up := 0.0
	if st.Up {
		up = 1
	}
	gauge(descBusUp, up)
	m.collectHistory(st.History, counter, gauge)
	gauge(descBusPeers, float64(st.Peers))
	gauge(descBusShards, float64(st.Shards))
	gauge(descBusQueued, float64(st.Queued))
	counter(descBusLosses, st.Losses)
	counter(descBusMessages, st.MessagesIn, "in")
	counter(descBusMessages, st.MessagesOut, "out")
	counter(descBusTicks, st.TicksHeard, "in")
	counter(descBusTicks, st.TicksSent, "out")
	counter(descBusBytes, st.BytesSent)
	counter(descBusComments, st.CommentsHeard)
	counter(descAudience, st.AudienceBytes)
	counter(descBusTwice, m.server.hub.Twice())
	counter(descBusUnsent, st.CommentsUnsent)
	counter(descBusMissed, st.TicksMissed)
	counter(descBusLost, st.CommentsLost)
	counter(descUnprepared, st.Unprepared)
	for reason, n := range st.Dropped {
		counter(descBusDropped, n, reason)
	}
}

// collectHistory gathers what there is of JetStream's history, if there is one.
func (m *metrics) collectHistory(st *cluster.HistoryStats, counter func(*prometheus.Desc, uint64, ...string), gauge func(*prometheus.Desc, float64)) {
	if st == nil {
		return
	}
	up := 0.0
	if st.Up {
		up = 1
	}
	gauge(descHistoryUp, up)
	gauge(descHistoryQueued, float64(st.Queued))
	counter(descHistoryWritten, st.Written)
	counter(descHistoryRefused, st.Refused)
	counter(descHistoryUnkept, st.CommentsUnkept)
	counter(descHistoryRead, st.RoomsRead, "read")
	counter(descHistoryRead, st.RoomsNotRead, "failed")
}
