package room

// Broadcast visits up to budget members in the passes under way, rooms in
// rotation, and reports whether there is more to do. Loop goroutine only.
func (s *Shard) Broadcast(budget int, now int64) (more bool) {
	for budget > 0 && len(s.active) > 0 {
		if s.turn >= len(s.active) {
			s.turn = 0
		}
		rs := s.active[s.turn]
		n, done := s.pass(rs, min(budget, sliceMembers), now)
		budget -= n
		if !done {
			s.turn++
			continue
		}
		last := len(s.active) - 1
		s.active[s.turn] = s.active[last]
		s.active[last] = nil
		s.active = s.active[:last]
	}
	return len(s.active) > 0
}

// pass visits up to n members of rs from the end of the list to its start, and
// reports how many it visited (at least one, so that the budget shrinks) and
// whether the pass is over. Members may leave meanwhile, see Leave.
func (s *Shard) pass(rs *roomShard, n int, now int64) (visited int, done bool) {
	for visited < n {
		rs.cursor = min(rs.cursor, len(rs.members)-1)
		if rs.cursor >= 0 {
			slot := rs.members[rs.cursor]
			rs.cursor--
			visited++
			s.visit(slot, rs, now)
			continue
		}
		if rs.target != rs.last && len(rs.members) > 0 {
			s.passDone(rs, now)
			rs.begin(now) // batches came meanwhile: once more
			continue
		}
		rs.passing = false
		s.passDone(rs, now)
		return max(visited, 1), true
	}
	return visited, false
}

func (s *Shard) passDone(rs *roomShard, now int64) {
	s.letGo(rs, rs.target)
	took := now - rs.began
	rs.room.passTook(took)
	s.count.Passes++
	if s.PassDone != nil {
		s.PassDone(took)
	}
}

// visit brings one member up to date unless its socket is full.
func (s *Shard) visit(slot uint32, rs *roomShard, now int64) {
	m := s.member(slot)
	if m.blocked || !rs.owes(m) {
		return
	}
	s.sendBatches(slot, m, rs, now)
}

// OldestPass returns how long the oldest pass under way has taken up to now, in
// nanoseconds; 0 when none is. Loop goroutine only.
func (s *Shard) OldestPass(now int64) (age int64) {
	for _, rs := range s.active {
		age = max(age, now-rs.began)
	}
	return age
}
