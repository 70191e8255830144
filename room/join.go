package room

// JoinRequest is what who joins a room asks for.
type JoinRequest struct {
	Name     string
	Encoding Encoding
	History  int // at most so many comments of history

	// Resume asks for the batches after Since of the life of the room that Epoch
	// names, if the room still has all of them; there is no history then.
	Resume bool
	Since  uint64
	Epoch  string
	// After is the greatest id of a comment that who resumes has seen, 0 = it does
	// not say. By it the room finds its place also where Epoch was on another node.
	After uint64

	// Who is a hash by which the room knows one viewer from another, the same on all
	// nodes; 0 = it is not counted. Fleeting says that it is this connection's alone:
	// who then goes on where it was was counted under another.
	Who      uint64
	Fleeting bool
}

// Entry is what a viewer learns when it joins.
type Entry struct {
	Room       *Room
	Seq        uint64 // batches after this one will come
	Online     int
	History    []byte    // newest comments as JSON separated by commas; read only
	Superchats []byte    // those that run, likewise, each with the seconds it has left
	Settings   *Settings // in force; read only
	Resume     bool      // it was asked for
	Degraded   bool      // what is said on other nodes does not come at present; the caller sets it
	Resumed    bool      // and all batches after the one asked for will come

	total       uint64 // comments up to and including Seq
	sealed      uint64 // the room's newest batch
	sealedTotal uint64 // comments up to and including it
}

// enterLocked counts a member of a loop in. Error: ErrRoomFull.
func (r *Room) enterLocked(req *JoinRequest, shard int, now int64) (Entry, error) {
	s := r.Settings()
	if s.MaxViewers > 0 && r.online+r.elsewhere >= s.MaxViewers {
		return Entry{}, ErrRoomFull
	}
	r.online++
	r.encodings[req.Encoding]++
	r.shown = -1 // who has just joined must hear the next change, whichever it is
	r.present.Store(int64(r.online))
	if r.members[shard]++; r.members[shard] == 1 {
		r.wanted.add(shard)
	}
	e := Entry{
		Room: r, Seq: r.seq, total: r.total, sealed: r.seq, sealedTotal: r.total,
		Online: r.online + r.elsewhere, Settings: s, Resume: req.Resume,
	}
	if req.Resume {
		r.resumeLocked(req, &e)
	}
	shown := r.seq
	if e.Resumed && req.Epoch == r.epoch {
		shown = e.Seq // the others are in the batches that will come, and have not been seen
	}
	e.Superchats = r.running.running(now, shown)
	if !e.Resumed {
		e.History = r.recent.last(min(req.History, r.hub.cfg().History))
	}
	return e, nil
}
