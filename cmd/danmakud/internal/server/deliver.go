package server

import (
	"github.com/danmakud/danmakud/room"
)

// sealRooms seals the rooms whose first comment came in this turn, so that a
// quiet room is served without waking another goroutine.
func (h *handler) sealRooms() {
	rooms := h.sealNow
	h.sealNow = h.sealNow[:0]
	now := h.loop.Now()
	for i, r := range rooms {
		if b := r.Seal(now, h.loop.Wall()); b != nil {
			h.sealed = append(h.sealed, b)
		}
		rooms[i] = nil
	}
	h.server.post(h.sealed, h, now)
	clear(h.sealed)
	h.sealed = h.sealed[:0]
}

// post encodes sealed batches and brings them to every loop that has members of
// their rooms: by hand to the loop of own, if given, through the inbox to the
// others, each woken at most once.
func (s *Server) post(batches []*room.Batch, own *handler, now int64) {
	for _, b := range batches {
		b.Encode()
	}
	if len(batches) == 0 {
		return
	}
	for _, h := range s.handlers {
		if h == own {
			h.shard.Deliver(batches, now)
			continue
		}
		if wanted := wantedBy(h.loop.Index(), batches); len(wanted) > 0 {
			// A full inbox refuses: the loop counts it, and its viewers are told
			// of the gap by the next batch that arrives.
			if !h.loop.Post(func() { h.shard.Deliver(wanted, h.loop.Now()) }) {
				for _, b := range wanted {
					b.LetGo(h.loop.Index())
				}
			}
		}
	}
	for _, b := range batches {
		s.metrics.sealed(b)
		s.taps.offer(b)
		if s.archive != nil {
			s.archive.Append(b)
		}
		b.Room.Posted()
	}
}

// wantedBy returns the batches of rooms in which loop has members. The result is
// kept by the inbox, so it is a slice of its own.
func wantedBy(loop int, batches []*room.Batch) []*room.Batch {
	n := 0
	for _, b := range batches {
		if b.Wanted(loop) {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	wanted := make([]*room.Batch, 0, n)
	for _, b := range batches {
		if b.Wanted(loop) {
			wanted = append(wanted, b)
		}
	}
	return wanted
}
