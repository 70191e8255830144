package cluster

// Stats are what the bus has counted since the start, and how it is.
type Stats struct {
	Up                        bool
	Losses                    uint64 // times that the connection was lost
	Peers, Shards             int
	MessagesIn, MessagesOut   uint64
	TicksSent, TicksHeard     uint64
	BytesSent                 uint64 // of ticks
	CommentsHeard             uint64
	CommentsUnsent            uint64        // comments that other nodes do not get
	TicksMissed, CommentsLost uint64        // of other nodes, that never came
	Unprepared                uint64        // rooms whose history could not be fetched in time
	AudienceBytes             uint64        // sent to tell of rooms' viewers
	Queued                    int           // bytes that wait for the bus
	History                   *HistoryStats // nil = none is kept
	Dropped                   map[string]uint64
}

// Stats may be called by any goroutine.
func (n *Node) Stats() Stats {
	return Stats{
		Up: n.link.up(), Losses: n.link.losses.Load(), Peers: len(n.peers.list()), Shards: n.Shards(),
		MessagesIn: n.link.received.Load(), MessagesOut: n.link.sent.Load(),
		TicksSent: n.ticksSent.Load(), TicksHeard: n.ticksHeard.Load(), BytesSent: n.bytesSent.Load(),
		CommentsHeard: n.commentsHeard.Load(), CommentsUnsent: n.unsent.Load(),
		TicksMissed: n.gaps.Load(), CommentsLost: n.commentsLost.Load(), Unprepared: n.unprepared.Load(),
		AudienceBytes: n.audienceBytes.Load(), Queued: n.outbox.size(), Dropped: n.drops(), History: n.history.stats(),
	}
}

func (n *Node) drops() map[string]uint64 {
	all := make(map[string]uint64, drops)
	for i, name := range dropNames {
		all[name] = n.dropped[i].Load()
	}
	all["library"] = n.link.drops.Load()
	return all
}

// HistoryStats are those of what JetStream keeps.
type HistoryStats struct {
	Up                      bool
	Written, Refused        uint64 // batches
	CommentsUnkept          uint64
	RoomsRead, RoomsNotRead uint64
	Queued                  int // bytes that wait for it
}

// stats returns nil where there is none.
func (h *history) stats() *HistoryStats {
	if h == nil {
		return nil
	}
	return &HistoryStats{
		Up: h.stream.Load() != nil, Written: h.written.Load(), Refused: h.refused.Load(), CommentsUnkept: h.unkept.Load(),
		RoomsRead: h.read.Load(), RoomsNotRead: h.unread.Load(), Queued: h.queue.size(),
	}
}
