package moderation

import (
	"sync"
	"sync/atomic"
)

// recent remembers until when something counts, for what was lately: by 64-bit keys
// that nobody outside can aim at. It has a fixed number of places; when all that a
// key may have are taken, the one that would end first is forgotten, and counted.
// Times are nanoseconds, any clock that does not go back. Any goroutine.
type recent struct {
	sets      []recentSet
	locks     [recentLocks]sync.Mutex
	forgotten atomic.Uint64 // that still counted
}

// recentSet is the eight places of a key. No pointer: a million cost the collector
// nothing.
type recentSet [8]struct {
	key   uint64
	until int64
}

const (
	recentLocks = 64
	// recentSets makes 131,072 places in 2 MiB.
	recentSets = 1 << 14
)

func newRecent() *recent { return &recent{sets: make([]recentSet, recentSets)} }

// lock returns the set of a key, locked.
func (t *recent) lock(key uint64) (*recentSet, *sync.Mutex) {
	i := key % uint64(len(t.sets))
	mu := &t.locks[i%recentLocks]
	mu.Lock()
	return &t.sets[i], mu
}

// find returns the place of a key; a new one begins with until 0.
func (t *recent) find(set *recentSet, key uint64, now int64) *int64 {
	oldest := 0
	for i := range set {
		if set[i].key == key {
			return &set[i].until
		}
		if set[i].until < set[oldest].until {
			oldest = i
		}
	}
	place := &set[oldest]
	if place.until > now {
		t.forgotten.Add(1)
	}
	place.key, place.until = key, 0
	return &place.until
}

// left returns how long a key still counts, 0 if it does not.
func (t *recent) left(key uint64, now int64) int64 {
	set, mu := t.lock(key)
	defer mu.Unlock()
	for i := range set {
		if set[i].key == key {
			return max(0, set[i].until-now)
		}
	}
	return 0
}

// remember has a key count until then.
func (t *recent) remember(key uint64, now, until int64) {
	set, mu := t.lock(key)
	defer mu.Unlock()
	*t.find(set, key, now) = until
}

// limit is a bucket: one a interval, and burst at once. The zero value is no limit.
type limit struct {
	interval int64 // nanoseconds between two
	burst    int64
}

func newLimit(rate float64, burst int) limit {
	if rate <= 0 {
		return limit{}
	}
	return limit{interval: max(1, int64(1e9/rate)), burst: int64(max(1, burst))}
}

// spend takes one token of a key's bucket, or returns how many nanoseconds it takes
// for one to come. It is the generic cell rate algorithm: until is when the bucket
// will be full again, and a full bucket need not be remembered.
func (t *recent) spend(key uint64, l limit, now int64) (wait int64) {
	set, mu := t.lock(key)
	defer mu.Unlock()
	full := t.find(set, key, now)
	next := max(*full, now) + l.interval
	if wait = next - now - l.burst*l.interval; wait > 0 {
		return wait
	}
	*full = next
	return 0
}
