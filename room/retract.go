package room

// Retract takes a comment back: what is pending, shown to who joins or running
// loses it at once, and the next batch tells viewers to remove it. found is false
// when the comment was in none of these; viewers are told all the same, since
// they may show it still. sealNow and the errors are as in Publish.
func (r *Room) Retract(id uint64, now, wall int64) (found, sealNow bool, err error) {
	r.mu.Lock()
	if err := r.takesLocked(0, true); err != nil {
		r.mu.Unlock()
		return false, false, err
	}
	found = r.withdrawLocked(id)
	r.openLocked(now)
	r.pending = appendRetract(r.pending, id, wall)
	r.closeLocked(mark{kind: KindRetract})
	speak := r.speakLocked(&Comment{Kind: KindRetract, Target: id}, r.hub.newID(wall), now, wall)
	return found, r.dirtyLocked(now, speak), nil
}

// Clear forgets the history, what chat is pending and the superchats that run;
// the next batch tells viewers to remove all they show. What else is pending is
// still sent, before that. sealNow and the errors are as in Publish.
func (r *Room) Clear(now, wall int64) (sealNow bool, err error) {
	r.mu.Lock()
	if err := r.takesLocked(0, true); err != nil {
		r.mu.Unlock()
		return false, err
	}
	r.clearLocked(now, wall)
	speak := r.speakLocked(&Comment{Kind: KindRetract}, r.hub.newID(wall), now, wall)
	return r.dirtyLocked(now, speak), nil
}

func (r *Room) clearLocked(now, wall int64) {
	r.dropPendingLocked(func(i int) bool { return r.marks[i].kind == KindChat })
	r.recent, r.running = history{}, nil
	if r.over != nil {
		r.over.cleared = true
	}
	r.openLocked(now)
	r.pending = appendClear(r.pending, wall)
	r.closeLocked(mark{kind: KindRetract, clears: true})
}

// withdrawLocked removes a comment from all that the room still gives out.
func (r *Room) withdrawLocked(id uint64) (found bool) {
	running, shown := r.running.remove(id), r.recent.remove(id)
	if r.over != nil && (comments{r.over.pending[prefixRoom:], r.over.marks}).find(id) >= 0 {
		r.over.late = append(r.over.late, id)
		return true
	}
	if at := r.waitingLocked().find(id); at >= 0 {
		r.dropPendingLocked(func(i int) bool { return i == at })
		return true
	}
	return running || shown
}

// waitingLocked is what is pending.
func (r *Room) waitingLocked() comments {
	if r.pending == nil {
		return comments{}
	}
	return comments{r.pending[prefixRoom:], r.marks}
}

// dropPendingLocked removes pending comments, which then count as withdrawn.
func (r *Room) dropPendingLocked(drop func(i int) bool) {
	all := r.waitingLocked()
	if len(all.marks) == 0 {
		return
	}
	before := uint64(standing(all.marks))
	left := all.appendTo(comments{all.text[:0], all.marks[:0]}, func(i int) bool { return !drop(i) })
	withdrawn := before - uint64(standing(left.marks))
	r.withdrawn += withdrawn
	r.hub.withdrawn.Add(withdrawn)
	r.pending, r.marks = r.pending[:prefixRoom+len(left.text)], left.marks
}
