package room

import "runtime"

// Spool is memory out of which sockets are written without copying. All methods
// may be called by any goroutine.
type Spool interface {
	// Add copies p and returns where it is, or false when there is no place.
	Add(p []byte) (off int64, ok bool)
	// Free gives back what Add put at off.
	Free(off int64, n int)
}

// region is a frame's place in a spool.
type region struct {
	spool Spool
	off   int64
	n     int
}

// spool puts the batch's frames into the hub's spool, if there is one, where they
// are large and go to many: the copy and its pages cost about as much as it saves
// for a few dozen viewers.
func (b *Batch) spool() {
	h := b.Room.hub
	cfg := h.cfg()
	if cfg.Spool == nil {
		return
	}
	for e, frame := range b.frames {
		if len(frame) < cfg.SpoolMin || b.audience(Encoding(e)) < cfg.SpoolMembers {
			continue
		}
		off, ok := cfg.Spool.Add(frame)
		if !ok {
			h.unspooled.Add(1)
			continue
		}
		b.spooled[e] = off + 1
		h.spooled.Add(1)
		// Whoever can still write the frame holds the batch: a ring, a blocked
		// viewer, an inbox.
		runtime.AddCleanup(b, func(r region) { r.spool.Free(r.off, r.n) }, region{cfg.Spool, off, len(frame)})
	}
}

// audience is how many members get the frame in encoding e.
func (b *Batch) audience(e Encoding) (members int) {
	for wanted, n := range b.wanted {
		if Encoding(wanted) == e || e == EncodingJSON && b.frames[wanted] == nil {
			members += int(n)
		}
	}
	return members
}

// Spooled returns how many frames went into the spool, and how many found no
// place there.
func (h *Hub) Spooled() (in, full uint64) { return h.spooled.Load(), h.unspooled.Load() }
