//go:build verify

package room

import (
	"strings"
	"testing"
	"time"
)

// TestCheckSeesWhatIsWrong spoils one record after the other of a shard with two
// members, one of them blocked in the middle of a batch.
func TestCheckSeesWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		what  string
		spoil func(s *Shard, rs *roomShard)
	}{
		{"listed at", func(s *Shard, rs *roomShard) { s.member(1).place = 0 }},
		{"columns with a room", func(s *Shard, rs *roomShard) { s.member(9).room = 1 }},
		{"columns with a room", func(s *Shard, rs *roomShard) { s.count.Members++ }},
		{"columns blocked", func(s *Shard, rs *roomShard) { s.count.Blocked-- }},
		{"but nothing waits", func(s *Shard, rs *roomShard) { s.member(0).blocked = true }},
		{"output waits for", func(s *Shard, rs *roomShard) { s.member(1).blocked = false }},
		{"torn at byte", func(s *Shard, rs *roomShard) { s.blocked[1].off = 0 }},
		{"members had a claim", func(s *Shard, rs *roomShard) { s.count.FramesWritten++ }},
		{"members had a claim", func(s *Shard, rs *roomShard) { s.count.BatchesUnsent++ }},
		{"members had a claim", func(s *Shard, rs *roomShard) { s.member(0).seq++ }},
		{"nothing will serve it", func(s *Shard, rs *roomShard) { s.member(0).seq--; s.count.FramesWritten-- }},
		{"free true, used true", func(s *Shard, rs *roomShard) { s.free = append(s.free, rs.index) }},
		{"rooms in the table", func(s *Shard, rs *roomShard) { s.rooms[&Room{}] = rs }},
		{"in the rotation", func(s *Shard, rs *roomShard) { rs.passing = true }},
		{"ring of", func(s *Shard, rs *roomShard) { rs.bytes++ }},
		{"ring of", func(s *Shard, rs *roomShard) { rs.ring[rs.last%uint64(len(rs.ring))] = nil }},
		{"over all shards", func(s *Shard, rs *roomShard) { rs.room.online++ }},
		{"over all shards", func(s *Shard, rs *roomShard) { rs.room.members[0]++; rs.room.online++; rs.room.present.Add(1) }},
		{"by encoding", func(s *Shard, rs *roomShard) { rs.room.encodings[EncodingJSONDeflate]++ }},
		{"took 1 comments", func(s *Shard, rs *roomShard) { rs.room.sampled++ }},
		{"keeps", func(s *Shard, rs *roomShard) { rs.room.kept.bytes++ }},
		{"keeps", func(s *Shard, rs *roomShard) { rs.room.kept.list[0].Batch = &Batch{Room: rs.room, Seq: 9} }},
		{"wanted", func(s *Shard, rs *roomShard) { rs.room.wanted.remove(0) }},
	} {
		t.Run(c.what, func(t *testing.T) {
			m := newModel(t, 4)
			m.join(0, 0, 0, EncodingJSON, -1)
			m.join(0, 1, 0, EncodingJSON, -1)
			m.viewers[0][1].space = 3
			m.publish(0)
			m.seal(0, 0, false)
			m.deliver(0, 1)
			m.now += int64(time.Second)
			for m.shards[0].Broadcast(10, m.now) {
			}
			m.shards[0].Check()
			c.spoil(m.shards[0], m.shards[0].table[0])
			defer func() {
				if v, _ := recover().(string); !strings.Contains(v, c.what) {
					t.Errorf("panic %q, want %q", v, c.what)
				}
			}()
			m.shards[0].Check()
		})
	}
}
