package room

import "strconv"

// Echo appends to dst, which the caller sends by Reply, what shows a comment to one
// member of a room alone: for who must not notice that nobody else sees it. It has the
// shape of a batch with the sequence that the member has got already, and so counts for
// nothing. Nothing is appended for who is not in that room, where it would not see such
// a comment, or has an encoding without notices. id is the one that the comment would have. Loop
// goroutine only.
func (s *Shard) Echo(dst []byte, slot uint32, in string, c *Comment, wall int64) (out []byte, id uint64) {
	id = s.hub.newID(wall)
	m := s.member(slot)
	if m.room == 0 {
		return dst, id
	}
	rs := s.table[m.room-1]
	if rs.room.name != in {
		return dst, id
	}
	seq := int64(rs.last) + int64(int32(m.seq-uint32(rs.last)))
	p := append(make([]byte, 0, 2*prefixRoom), `{"type":"batch","room":"`...)
	p = append(p, in...)
	p = append(p, `","seq":`...)
	p = strconv.AppendInt(p, seq, 10)
	p = append(p, `,"ts":`...)
	p = strconv.AppendInt(p, wall, 10)
	p = append(p, `,"comments":[`...)
	p = append(appendComment(p, c, id, wall), ']', '}')
	return s.hub.AppendNotice(dst, m.enc, p), id
}
