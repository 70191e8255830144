package room

// What is said here goes to other nodes once per room and tick, besides the batch:
//
//	Publish ─┬─► pending ──────────► Seal ─► Batch, here
//	         └─► outgoing ─► SpeakDue ─► Said ─► the bus ─► Merge, there
//
// What comes by Merge gets into pending alone: there is no way from there to another
// node.

// outgoing is what a room has for other nodes. Guarded by the room's mutex.
type outgoing struct {
	comments        // as Config.AppendSaid has them, a byte between two
	likes    uint64 //
	sampled  uint64 // comments that the room refused or had no space for here
	queued   bool   // the room is in Hub.speaking
	ever     bool   // something was taken before
	taken    int64  // when
}

// speech says whether a room has begun to have something for others, and when that
// is due.
type speech struct {
	begun bool
	due   int64
}

// Said is what was said in one room since it was taken before. It may be kept, and must
// not be changed.
type Said struct {
	Room     string
	Comments []Spoken
	Likes    uint64
	Sampled  uint64 // comments that were left out
}

// Spoken is a comment for other nodes.
type Spoken struct {
	Text  []byte // as Config.AppendSaid had it
	Count int    // for how many it stands, at least 1
	Prior bool   // never to be left out for lack of space
}

// speakLocked keeps a comment for other nodes.
func (r *Room) speakLocked(c *Comment, id uint64, now, wall int64) speech {
	appendSaid := r.hub.cfg().AppendSaid
	if appendSaid == nil {
		return speech{}
	}
	if r.heard != nil {
		r.heard[IDNode(id)] = id
	}
	o := &r.said
	if !r.hasSpace(len(o.marks), len(o.text), len(c.Text)+len(c.Data), c.prior()) {
		return r.unspokenLocked(1)
	}
	if len(o.marks) > 0 {
		o.text = append(o.text, 0)
	}
	o.text = appendSaid(o.text, c, id, wall)
	m := markOf(c, id)
	m.count, m.end = 0, uint32(len(o.text)) // each is one of those that are taken in
	o.marks = append(o.marks, m)
	return r.speakingLocked(now)
}

// likedLocked keeps likes for other nodes.
func (r *Room) likedLocked(n uint64, now int64) speech {
	if r.hub.cfg().AppendSaid == nil {
		return speech{}
	}
	r.said.likes += n
	return r.speakingLocked(now)
}

// unspokenLocked counts comments that other nodes do not get. They are told when
// something else is said.
func (r *Room) unspokenLocked(n uint64) speech {
	if r.hub.cfg().AppendSaid != nil {
		r.said.sampled += n
	}
	return speech{}
}

// speakingLocked is when what was said just now is due: at once in a quiet room.
func (r *Room) speakingLocked(now int64) speech {
	o := &r.said
	if o.queued {
		return speech{}
	}
	o.queued = true
	cfg := r.hub.cfg()
	if next := r.boundary(o.taken+int64(cfg.Tick)/2, int64(cfg.Lead)); o.ever && next > now {
		return speech{true, next}
	}
	return speech{true, now}
}

// announce has the room's words taken when they are due. No lock of a room or hub may
// be held.
func (r *Room) announce(s speech) {
	if s.begun {
		r.hub.speaking.push(s.due, r)
	}
}

// SpeakDue calls f with what is for other nodes of every room whose time has come,
// cut down to the budget of a batch. One goroutine at a time.
func (h *Hub) SpeakDue(now int64, f func(s *Said)) {
	for {
		r := h.speaking.pop(now)
		if r == nil {
			return
		}
		r.speak(now, f)
	}
}

// NextSpeaking returns when the next room is due for SpeakDue, or false when none is.
func (h *Hub) NextSpeaking() (int64, bool) { return h.speaking.next() }

// speak gives f what the room has for other nodes.
func (r *Room) speak(now int64, f func(s *Said)) {
	r.mu.Lock()
	o := r.said
	r.said = outgoing{ever: true, taken: now}
	r.mu.Unlock()
	s := Said{Room: r.name, Likes: o.likes, Sampled: o.sampled}
	b := r.budget()
	if len(o.text) <= b.bytes && (b.comments == 0 || len(o.marks) <= b.comments) {
		for i := range o.marks {
			s.Comments = append(s.Comments, o.spoken(i, 1))
		}
		f(&s)
		return
	}
	g := r.hub.governor()
	g.decide(o.comments, b, b.bytes, r.hub.cfg().SaidText)
	stood := 0
	for i, n := range g.counts {
		if n > 0 {
			s.Comments = append(s.Comments, o.spoken(i, n))
			stood += n
		}
	}
	s.Sampled += uint64(len(o.marks) - stood)
	r.hub.governors.pool.Put(g)
	f(&s)
}

func (o *outgoing) spoken(i, count int) Spoken {
	from, to := o.span(i)
	return Spoken{Text: o.text[from:to], Count: count, Prior: o.marks[i].prior()}
}
