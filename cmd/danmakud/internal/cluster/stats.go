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
	CommentsUnsent            uint64 // comments that other nodes do not get
	TicksMissed, CommentsLost uint64 // of other nodes, that never came
	Unprepared                uint64 // rooms whose history could not be fetched in time
	AudienceBytes             uint64 // sent to tell of rooms' viewers
	Queued                    int    // bytes that wait for the bus
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
		AudienceBytes: n.audienceBytes.Load(), Queued: n.outbox.size(), Dropped: n.drops(),
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
