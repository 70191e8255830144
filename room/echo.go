package room

import (
	"strconv"

	"github.com/danmakud/danmakud/wsproto"
)

// Echo shows a comment to one member alone, in the shape of a batch, and returns
// the id that it would have: for who must not notice that nobody else sees it. It has
// the sequence that the member has got already, and so counts for nothing. It is
// dropped like any reply if too much waits for the member. Loop goroutine only.
func (s *Shard) Echo(slot uint32, c *Comment, now, wall int64) (id uint64) {
	id = s.hub.nextID.Add(1)
	m := s.member(slot)
	if m.room == 0 || m.enc.Foreign() {
		return id
	}
	rs := s.table[m.room-1]
	seq := int64(rs.last) + int64(int32(m.seq-uint32(rs.last)))
	p := append(make([]byte, 0, 2*prefixRoom), `{"type":"batch","room":"`...)
	p = append(p, rs.room.name...)
	p = append(p, `","seq":`...)
	p = strconv.AppendInt(p, seq, 10)
	p = append(p, `,"ts":`...)
	p = strconv.AppendInt(p, wall, 10)
	p = append(p, `,"comments":[`...)
	p = append(appendComment(p, c, id, wall), ']', '}')
	s.Reply(slot, wsproto.AppendFrame(nil, wsproto.OpText, p), now)
	return id
}
