package room

import (
	"slices"
	"strconv"
	"time"
)

// superchatsMax bounds the superchats that run in a room at one time. Beyond it
// the one that would end first is forgotten, and counted: it was shown to all who
// were there, only who joins later does not see it.
const superchatsMax = 100

// superchat is one that runs: who joins is shown it.
type superchat struct {
	id    uint64
	until int64  // now, in nanoseconds, when it ends
	seq   uint64 // of the batch that has it: before, nobody has seen it
	open  []byte // its JSON without the last brace
}

// superchats are those of one room. Guarded by the room's mutex.
type superchats []superchat

// add takes one in and reports whether another was forgotten for it.
func (s *superchats) add(c superchat, now int64) (forgotten bool) {
	s.expire(now)
	if len(*s) >= superchatsMax {
		first := 0
		for i := range *s {
			if (*s)[i].until < (*s)[first].until {
				first = i
			}
		}
		*s = slices.Delete(*s, first, first+1)
		forgotten = true
	}
	*s = append(*s, c)
	return forgotten
}

// expire forgets those that are over.
func (s *superchats) expire(now int64) {
	*s = slices.DeleteFunc(*s, func(c superchat) bool { return c.until <= now })
	if len(*s) == 0 {
		*s = nil
	}
}

// remove forgets the one with that id and reports whether it was there.
func (s *superchats) remove(id uint64) bool {
	at := slices.IndexFunc(*s, func(c superchat) bool { return c.id == id })
	if at < 0 {
		return false
	}
	*s = slices.Delete(*s, at, at+1)
	return true
}

// running returns those that run at now and were in a batch up to seq, as JSON
// separated by commas, each with the seconds it has left.
func (s superchats) running(now int64, seq uint64) (out []byte) {
	for _, c := range s {
		if c.until <= now || c.seq > seq {
			continue
		}
		if len(out) > 0 {
			out = append(out, ',')
		}
		out = append(append(out, c.open...), `,"left_s":`...)
		out = strconv.AppendInt(out, (c.until-now+int64(time.Second)-1)/int64(time.Second), 10)
		out = append(out, '}')
	}
	return out
}
