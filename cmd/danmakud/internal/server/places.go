package server

import (
	"hash/maphash"
	"net/netip"
	"sync"
)

// addressKey is an address as 16 bytes, IPv4 mapped into IPv6: no pointer, so that
// a million of them cost the collector nothing.
type addressKey [16]byte

// ipv6Counted is how much of an IPv6 address is counted as one: what a provider
// gives to one customer at least, who can make any address of it.
const ipv6Counted = 8

// counted returns what connections of this address are counted under.
func (k addressKey) counted() addressKey {
	if !k.address().Is4() {
		clear(k[ipv6Counted:])
	}
	return k
}

// address returns the address, IPv4 as IPv4.
func (k addressKey) address() netip.Addr { return netip.AddrFrom16(k).Unmap() }

const placeShards = 64

// addressTable counts the connections of each address while there is a limit on
// them. It is empty, and costs nothing, without one. Any goroutine.
type addressTable struct {
	seed   maphash.Seed // fixed after construction; nobody outside can aim at a shard
	shards [placeShards]placeShard
}

type placeShard struct {
	mu sync.Mutex
	// Guarded by mu.
	counts map[addressKey]uint32
	peak   int // largest size of counts since it was made
}

func (t *addressTable) shard(k addressKey) *placeShard {
	return &t.shards[maphash.Bytes(t.seed, k[:])%placeShards]
}

// take counts one more connection under k, unless there are limit already.
func (t *addressTable) take(k addressKey, limit int) bool {
	s := t.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.counts[k]
	if int(n) >= limit {
		return false
	}
	if s.counts == nil {
		s.counts = make(map[addressKey]uint32)
	}
	s.counts[k] = n + 1
	s.peak = max(s.peak, len(s.counts))
	return true
}

// shrinkFrom is the size from which an empty map is dropped for its memory, which
// maps keep.
const shrinkFrom = 1024

func (t *addressTable) release(k addressKey) {
	s := t.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch n := s.counts[k]; n {
	case 0:
		panic("server: place of an address given back twice")
	case 1:
		delete(s.counts, k)
	default:
		s.counts[k] = n - 1
	}
	if len(s.counts) == 0 && s.peak >= shrinkFrom {
		s.counts, s.peak = nil, 0
	}
}

// place is one of the connections an address may have. The zero value is none.
type place struct {
	table *addressTable
	key   addressKey // as counted
}

// giveBack ends the place. Once only; it does nothing for the zero value.
func (p place) giveBack() {
	if p.table != nil {
		p.table.release(p.key)
	}
}
