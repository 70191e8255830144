package room

import (
	"errors"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Errors of entering a room.
var (
	ErrName      = errors.New("room: a name is 1 to 64 of A-Z a-z 0-9 _ . : -")
	ErrRoomsFull = errors.New("room: as many rooms as allowed")
	ErrRoomFull  = errors.New("room: as many viewers as its settings allow")
)

// Hub is all rooms of the process. All methods may be called by any goroutine.
type Hub struct {
	// Fixed after construction.
	seed maphash.Seed

	// Atomic; any goroutine.
	settings  atomic.Pointer[Config] // replaced by Configure, never changed
	nextID    atomic.Uint64
	node      atomic.Uint32 // number of the node among those that share its rooms; 0 = there are none
	phase     atomic.Int64  // what the clock of all nodes has more than ours; phaseOff = ticks are nobody's but ours
	sealed    atomic.Uint64
	refused   atomic.Uint64
	merged    atomic.Uint64
	sampled   atomic.Uint64
	withdrawn atomic.Uint64
	forgotten atomic.Uint64
	spooled   atomic.Uint64
	unspooled atomic.Uint64
	twice     atomic.Uint64 // comments of other nodes that came again
	count     atomic.Int64

	deflating deflating
	encoding  sync.Pool // of *[]byte: what encoders append to
	encoded   [Encodings]atomic.Uint64
	governors governors
	keeping   keeping
	due       dueList
	speaking  dueList // rooms with something for other nodes

	mu sync.Mutex
	// Guarded by mu.
	rooms     map[string]*Room
	made      uint64 // rooms so far: a room that comes back has another epoch
	evictedAt int64  // last time empty rooms were evicted for lack of places
}

// NewHub makes a hub without rooms.
func NewHub(c Config) *Hub {
	c = c.withDefaults()
	checkEncoders(c.Encoders)
	h := &Hub{seed: maphash.MakeSeed(), rooms: make(map[string]*Room)}
	h.settings.Store(&c)
	h.nextID.Store(c.FirstID)
	h.due.kick, h.speaking.kick = c.Kick, c.KickSpeaking
	h.phase.Store(phaseOff)
	return h
}

// cfg returns the settings in force.
func (h *Hub) cfg() *Config { return h.settings.Load() }

// Configure takes over what of c can change while the hub is in use: the ticks,
// the bounds of what is pending and of a batch, the depth of the history, what is
// kept for who resumes, the number of rooms and how batches are compressed.
// Batches sealed from now on follow it. Any goroutine.
func (h *Hub) Configure(c Config) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.cfg()
	after := *before
	after.Tick, after.MaxTick = c.Tick, c.MaxTick
	after.PendingComments, after.PendingBytes = c.PendingComments, c.PendingBytes
	after.BudgetBytes, after.BudgetComments, after.Weights = c.BudgetBytes, c.BudgetComments, c.Weights
	after.History, after.MaxRooms = c.History, c.MaxRooms
	after.ResumeAge, after.ResumeBytes, after.ResumeTotal = c.ResumeAge, c.ResumeBytes, c.ResumeTotal
	after.DeflateLevel, after.DeflateMin = c.DeflateLevel, c.DeflateMin
	after = after.withDefaults()
	h.settings.Store(&after)
	for _, r := range h.rooms { // those at rest follow at once; a stretched tick finds its way by itself
		r.tick.CompareAndSwap(int64(before.Tick), int64(after.Tick))
	}
}

// ValidName reports whether s may name a room: 1 to 64 of A-Z a-z 0-9 _ . : -
func ValidName(s string) bool {
	if len(s) == 0 || len(s) > MaxName {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '.', c == ':', c == '-':
		default:
			return false
		}
	}
	return true
}

// Room returns the room of that name, which is made if need be. Errors: ErrName,
// ErrRoomsFull.
func (h *Hub) Room(name string, now int64) (*Room, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.roomLocked(name, now)
}

// enter counts a member of a loop into a room, which is made if need be.
func (h *Hub) enter(req *JoinRequest, shard int, now int64) (Entry, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, err := h.roomLocked(req.Name, now)
	if err != nil {
		return Entry{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.enterLocked(req, shard, now)
}

func (h *Hub) roomLocked(name string, now int64) (*Room, error) {
	if r := h.rooms[name]; r != nil {
		return r, nil
	}
	if !ValidName(name) {
		return nil, ErrName
	}
	if len(h.rooms) >= h.cfg().MaxRooms && !h.evictLocked(now) {
		return nil, ErrRoomsFull
	}
	name = strings.Clone(name) // it may point into a receive buffer
	h.made++
	epoch := h.cfg().Epoch + "-" + strconv.FormatUint(h.made, 36)
	r := &Room{name: name, epoch: epoch, hub: h, members: make([]uint32, h.cfg().Shards), emptied: now, place: placeOf(name)}
	r.tick.Store(int64(h.cfg().Tick))
	r.settings.Store(settingsOf(h.cfg().SettingsOf(name)))
	h.rooms[name] = r
	h.count.Store(int64(len(h.rooms)))
	return r, nil
}

// evictLocked makes places by forgetting empty rooms before their time, at most
// once a second since it walks the whole table, and reports whether there is one.
func (h *Hub) evictLocked(now int64) bool {
	if h.evictedAt != 0 && now-h.evictedAt < 1e9 {
		return false
	}
	h.evictedAt = now
	h.sweepLocked(now, 0)
	return len(h.rooms) < h.cfg().MaxRooms
}

// Sweep forgets rooms in which nobody has been for ten minutes, or since they were
// made, and those left empty in which nothing was ever said; and of quiet rooms what was kept for who
// resumes. Call it every few seconds.
func (h *Hub) Sweep(now int64) {
	h.forgetOld(now)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sweepLocked(now, int64(lingerEmpty))
}

func (h *Hub) sweepLocked(now, linger int64) {
	for name, r := range h.rooms {
		r.mu.Lock()
		if r.online == 0 && !r.queued && (r.seq == 0 || now-r.emptied >= linger) {
			r.gone = true
			delete(h.rooms, name)
			r.forgetLocked(len(r.kept.list))
		}
		r.running.expire(now)
		r.spare = nil
		r.mu.Unlock()
	}
	h.count.Store(int64(len(h.rooms)))
}

// Find returns the room of that name, or nil.
func (h *Hub) Find(name string) *Room {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rooms[name]
}

// List returns up to limit rooms whose name is greater than after, in order of
// their names, for paging.
func (h *Hub) List(after string, limit int) []Info {
	h.mu.Lock()
	rooms := make([]*Room, 0, len(h.rooms))
	for name, r := range h.rooms {
		if name > after {
			rooms = append(rooms, r)
		}
	}
	h.mu.Unlock()
	slices.SortFunc(rooms, func(a, b *Room) int { return strings.Compare(a.name, b.name) })
	rooms = rooms[:min(limit, len(rooms))]
	infos := make([]Info, len(rooms))
	for i, r := range rooms {
		infos[i] = r.Info()
	}
	return infos
}

// Each calls f with every room there is, in no order and with no lock held.
func (h *Hub) Each(f func(r *Room)) {
	h.mu.Lock()
	all := make([]*Room, 0, len(h.rooms))
	for _, r := range h.rooms {
		all = append(all, r)
	}
	h.mu.Unlock()
	for _, r := range all {
		f(r)
	}
}

// History returns how many comments who joins is shown at most.
func (h *Hub) History() int { return h.cfg().History }

// Rooms returns how many rooms there are.
func (h *Hub) Rooms() int { return int(h.count.Load()) }

// Sealed returns how many batches were sealed. Each is framed once as plain JSON
// and at most once in every other encoding.
func (h *Hub) Sealed() uint64 { return h.sealed.Load() }

// Refused returns how many comments were refused because a tick was full.
func (h *Hub) Refused() uint64 { return h.refused.Load() }

// Merged returns how many comments went into an equal one's count, Sampled how
// many were left out because a batch was full, Withdrawn how many were taken back
// before they were sent.
func (h *Hub) Merged() uint64    { return h.merged.Load() }
func (h *Hub) Sampled() uint64   { return h.sampled.Load() }
func (h *Hub) Withdrawn() uint64 { return h.withdrawn.Load() }

// Forgotten returns how many running superchats were not kept for who joins
// because a room had too many.
func (h *Hub) Forgotten() uint64 { return h.forgotten.Load() }

// SealDue seals every room whose time has come and appends the batches to dst,
// not yet encoded.
func (h *Hub) SealDue(dst []*Batch, now, wall int64) []*Batch {
	for {
		r := h.due.pop(now)
		if r == nil {
			return dst
		}
		if b := r.Seal(now, wall); b != nil {
			dst = append(dst, b)
		}
	}
}

// NextDue returns the time of the next seal, or false when nothing is pending.
func (h *Hub) NextDue() (int64, bool) { return h.due.next() }

// Home returns the shard that who joins the room of that name should belong to,
// or -1 if any will do. A small room is best kept on one loop: a comment in it
// then wakes no other. A large one is spread over all.
func (h *Hub) Home(name string) int {
	h.mu.Lock()
	r := h.rooms[name]
	h.mu.Unlock()
	if r != nil && int(r.present.Load()) >= homeMembers {
		return -1
	}
	return int(maphash.String(h.seed, name) % uint64(h.cfg().Shards))
}

// LongestTick returns the longest present tick of any room, at least the
// configured one.
func (h *Hub) LongestTick() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	longest := h.cfg().Tick
	for _, r := range h.rooms {
		longest = max(longest, r.Tick())
	}
	return longest
}
