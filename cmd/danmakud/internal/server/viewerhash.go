package server

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/room"
)

// viewerHash returns by which hash a room knows p, who has that number among guests, from
// other viewers: a user is the same on all connections and nodes, a guest is known by
// its connection alone, and then fleeting. It allocates nothing; any goroutine.
func (s *Server) viewerHash(p *person, uid uint64) (who uint64, fleeting bool) {
	if p.user != "" {
		return max(1, xxhash.Sum64String(p.user)), false
	}
	// Numbers of two nodes may be the same, see cluster.Node.Number.
	var guest [16]byte
	binary.LittleEndian.PutUint64(guest[:], s.guestSeed)
	binary.LittleEndian.PutUint64(guest[8:], uid)
	return max(1, xxhash.Sum64(guest[:])), true
}

// viewerHash is that of the viewer at s. Loop goroutine only.
func (h *handler) viewerHash(s poller.Slot) (who uint64, fleeting bool) {
	return h.server.viewerHash(h.person(s), h.session(s).uid)
}

// watched returns how many different viewers the rooms have had, added up. Any goroutine
// but those of the loops.
func (s *Server) watched() (sum uint64) {
	s.hub.Each(func(r *room.Room) { sum += r.Watched() })
	return sum
}
