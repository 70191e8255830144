package room

import (
	"math/rand/v2"
	"time"
)

// Limits that are not configured, each with its reason.
const (
	// prefixRoom is free in front of the pending comments: the longest batch
	// prefix is 330 bytes (64 of room name, six numbers of at most 20 digits,
	// the longest role, the field names) and the WebSocket header takes at most 10.
	prefixRoom = 352
	// suffixRoom holds the "]}" that ends a batch.
	suffixRoom = 2
	// repliesBytesMax bounds what a blocked viewer may have waiting besides its
	// torn frame. One bundle of replies of any size is always kept.
	repliesBytesMax = 64 << 10
	// ringBytesMax bounds the batches one loop keeps of a room for laggards,
	// besides their number: rooms that once were busy must not stay large.
	ringBytesMax = 4 << 20
	// looseBytesMax is up to where a batch may keep memory that it does not fill: the
	// first one after a flood has what the flood needed.
	looseBytesMax = 64 << 10
	// stretchBytesMax is the frame size from which on a longer tick saves nothing:
	// up to here a system call costs more than the bytes, beyond it a pass takes
	// as long as it has bytes, however they are divided.
	stretchBytesMax = 64 << 10
	// sliceMembers is how many members of one room are served before the next
	// room's pass gets its turn, so a huge room does not delay a small one.
	sliceMembers = 64
	// homeMembers is the size up to which a room is kept together on one loop:
	// waking another loop costs more than writing to some viewers, and writing to
	// this many takes half a millisecond.
	homeMembers = 64
	// lingerEmpty is how long a room without viewers keeps its history.
	lingerEmpty = 10 * time.Minute
	// chunkMembers is the growth step of the member columns; chunks never move.
	chunkMembers = 4096
	// MaxShards bounds the loops of a process: eight bits in a handle.
	MaxShards = 256
	// encodersMax bounds Config.Encoders: each takes a few bytes of every batch and room.
	encodersMax = 6
	// nodesMax bounds the nodes of which a room remembers what came last.
	nodesMax = 4096
	// overlapMs is by how much who comes from another node goes back: what it had not
	// got there yet may be older than the newest that it had. Longer than the longest
	// ticks of two nodes.
	overlapMs = 2000
	// MaxName is the longest room name in bytes.
	MaxName = 64
)

// Config sets up a Hub. Zero values are replaced by the defaults in brackets.
type Config struct {
	Shards          int            // loops of the process [1]
	Tick            time.Duration  // least time between two batches of a room [100 ms]
	MaxTick         time.Duration  // most a tick stretches to under overload [1 s]
	PendingComments int            // comments a room holds between two seals [20,000]
	PendingBytes    int            // bytes of encoded comments likewise [2 MiB]
	History         int            // newest comments shown to who joins; 0 = none
	Ring            int            // batches kept per room for viewers that lag [16]
	ResumeAge       time.Duration  // how long batches are kept for who was gone; below 0 = not at all [30 s]
	ResumeBytes     int            // memory of those of one room [4 MiB]
	ResumeTotal     int            // memory of those of all rooms [64 MiB]
	MaxRooms        int            // rooms of the process [100,000]
	DeflateLevel    int            // of compression, 1 to 9 [6]
	DeflateMin      int            // bytes of a plain frame below which it is not compressed [1024]
	BudgetBytes     int            // of a batch's plain frame, beyond which chat is merged and sampled [256 KiB]
	BudgetComments  int            // comments of a batch, likewise; 0 = as many as there are
	Weights         [Roles]float64 // chance of a role's chat to be sampled, next to each other [all 1]
	Epoch           string         // names this run of the node; rooms add to it
	FirstID         uint64         // comment ids count up from here
	Spool           Spool          // where large frames are sent from; nil = from memory, by copying
	SpoolMin        int            // frames of so many bytes go there [8 KiB]
	SpoolMembers    int            // of rooms with so many members [64]

	// Encoders make the encodings from EncodingForeign on, in that order. At most 6, of
	// which one can have members that resume, besides who compresses it.
	Encoders []Encoder

	// AppendSaid appends a comment in the form in which it goes to other nodes; nil =
	// there are none. It is called with the room locked and must not keep c. A retract
	// has no text.
	AppendSaid func(dst []byte, c *Comment, id uint64, wall int64) []byte
	// SaidText returns the text of a comment that AppendSaid has written. Any goroutine.
	SaidText func(said string) string

	// Key is equal for texts that say the same, so that their comments may become one
	// when there are too many; 0 = it is like no other, nil = all are. It is called with
	// no lock held, by any goroutine that seals, and by several at one time.
	Key func(text string) uint64

	// KickSpeaking is for NextSpeaking what Kick is for NextDue.
	KickSpeaking func()
	// Lead is by how much what was said goes to other nodes before ticks end there.
	Lead time.Duration

	// Random makes a source of chance for the sampling, which one goroutine uses at a
	// time. Any goroutine; nil = one that nobody can foretell.
	Random func() rand.Source

	// SettingsOf returns the settings of a room that is being made; nil = the zero
	// ones. It must not block and must not call the hub, which is locked.
	SettingsOf func(name string) Settings

	// Kick is called from any goroutine when a room becomes due earlier than all
	// others: the sealer must look at NextDue again. It must not block.
	Kick func()
}

func (c Config) withDefaults() Config {
	if c.Shards <= 0 {
		c.Shards = 1
	}
	if c.Tick <= 0 {
		c.Tick = 100 * time.Millisecond
	}
	if c.MaxTick < c.Tick {
		c.MaxTick = max(c.Tick, time.Second)
	}
	if c.PendingComments <= 0 {
		c.PendingComments = 20_000
	}
	if c.PendingBytes <= 0 {
		c.PendingBytes = 2 << 20
	}
	if c.Ring <= 0 {
		c.Ring = 16
	}
	if c.MaxRooms <= 0 {
		c.MaxRooms = 100_000
	}
	if c.DeflateLevel <= 0 {
		c.DeflateLevel = 6
	}
	if c.DeflateMin <= 0 {
		c.DeflateMin = 1024
	}
	if c.BudgetBytes <= 0 {
		c.BudgetBytes = 256 << 10
	}
	if c.ResumeAge == 0 {
		c.ResumeAge = 30 * time.Second
	}
	if c.ResumeBytes <= 0 {
		c.ResumeBytes = 4 << 20
	}
	if c.ResumeTotal <= 0 {
		c.ResumeTotal = 64 << 20
	}
	for role, w := range c.Weights {
		if w <= 0 {
			c.Weights[role] = 1
		}
	}
	if c.SpoolMin <= 0 {
		c.SpoolMin = 8 << 10
	}
	if c.SpoolMembers <= 0 {
		c.SpoolMembers = 64
	}
	if c.Random == nil {
		c.Random = func() rand.Source { return rand.NewPCG(rand.Uint64(), rand.Uint64()) }
	}
	if c.SettingsOf == nil {
		c.SettingsOf = func(string) Settings { return Settings{} }
	}
	if c.Kick == nil {
		c.Kick = func() {}
	}
	if c.KickSpeaking == nil {
		c.KickSpeaking = func() {}
	}
	return c
}
