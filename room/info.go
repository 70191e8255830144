package room

import "time"

// Info is a room as operators see it. Counts are since the room was made; all
// comments that it took were sent, merged, sampled or withdrawn, or are pending.
type Info struct {
	Name      string        `json:"room"`
	Epoch     string        `json:"epoch"`
	Online    int           `json:"online"`               // on all nodes
	Here      int           `json:"online_here,omitzero"` // on this node, if there are others
	Watched   uint64        `json:"watched"`              // different viewers so far, see Room.Watched
	Seq       uint64        `json:"seq"`
	Total     uint64        `json:"comments"` // sent in batches
	Merged    uint64        `json:"merged"`
	Sampled   uint64        `json:"sampled"`
	Withdrawn uint64        `json:"withdrawn"`
	Likes     uint64        `json:"likes"`
	Pending   int           `json:"pending"`
	Tick      time.Duration `json:"-"`
	TickMs    int64         `json:"tick_ms"`
	Settings  Settings      `json:"settings"`
}

// Info returns the room's present state.
func (r *Room) Info() Info {
	watched := r.Watched()
	r.mu.Lock()
	defer r.mu.Unlock()
	tick, pending := r.Tick(), standing(r.marks)
	if r.over != nil {
		pending += standing(r.over.marks)
	}
	here := 0
	if r.hub.node.Load() != 0 {
		here = r.online
	}
	return Info{
		Here: here, Watched: watched,
		Name: r.name, Epoch: r.epoch, Online: r.online + r.elsewhere, Seq: r.seq,
		Total: r.total, Merged: r.merged, Sampled: r.sampled, Withdrawn: r.withdrawn, Likes: r.liked,
		Pending: pending, Tick: tick, TickMs: tick.Milliseconds(), Settings: *r.Settings(),
	}
}

// HistoryJSON returns the newest n comments as JSON separated by commas, at most
// as many as the hub keeps; read only.
func (r *Room) HistoryJSON(n int) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.recent.last(min(n, r.hub.cfg().History))
}
