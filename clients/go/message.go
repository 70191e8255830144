package danmaku

import (
	"fmt"
	"time"
)

// Event is what a Viewer tells: *Welcome, *Batch, *Skipped, *Goodbye, *Gap or
// *Lost. An event belongs to who received it.
type Event interface{ event() }

// Kinds of comments. Others may come; pass over those you do not know.
const (
	Chat         = "" // left out on the wire
	System       = "system"
	Announcement = "announcement"
	Gift         = "gift"      // Gift, Num, Price
	Superchat    = "superchat" // Price, Duration
	Retract      = "retract"   // remove the comment of that ID; "*" is all of them
)

// Comment is one comment, gift or the like. What is left out has its default.
type Comment struct {
	ID       string `json:"id"`
	UID      string `json:"uid"` // of guests it begins with "~"
	Name     string `json:"name"`
	Role     string `json:"role"`
	Kind     string `json:"kind"`
	Text     string `json:"text"`
	TS       int64  `json:"ts"`    // Unix milliseconds
	Color    *int   `json:"color"` // 24-bit RGB; nil is white
	Mode     string `json:"mode"`  // top, bottom, reverse; "" scrolls
	Size     string `json:"size"`  // small, large; "" is medium
	Count    int    `json:"count"` // how many said it; 0 is one
	Gift     string `json:"gift"`
	Num      int    `json:"num"`
	Price    int64  `json:"price"`
	Duration int    `json:"duration_s"` // of a superchat
}

// Welcome comes with each connection. History is without what was told before.
type Welcome struct {
	Room    string    `json:"room"`
	Epoch   string    `json:"epoch"`
	Seq     uint64    `json:"seq"`
	UID     string    `json:"uid"` // what the server calls us
	Name    string    `json:"name"`
	Role    string    `json:"role"`
	Online  int       `json:"online"`
	Resumed bool      `json:"resumed"` // every batch since the last one follows
	History []Comment `json:"history"`
}

// Batch is what was said in a room within a tick, in order.
type Batch struct {
	Room     string    `json:"room"`
	Seq      uint64    `json:"seq"`
	TS       int64     `json:"ts"`      // Unix milliseconds
	Online   *int      `json:"online"`  // nil if it did not change
	Likes    int       `json:"likes"`   // in this tick
	Sampled  int       `json:"sampled"` // comments that were left out
	Comments []Comment `json:"comments"`
}

// Skipped tells of batches that were not sent to us, since we were too slow.
type Skipped struct {
	From     uint64 `json:"from"`
	To       uint64 `json:"to"`
	Batches  int    `json:"batches"`
	Comments int    `json:"comments"`
}

// Goodbye comes before the server closes. The Viewer comes back by itself, not
// before RetryAfterMS.
type Goodbye struct {
	Reason       string `json:"reason"`
	RetryAfterMS int64  `json:"retry_after_ms"`
	Host         string `json:"host"` // another server to come back to; "" if there is none
}

// longID is the length of ids of servers that share rooms: longer than those of one by
// itself, and sorting by age as they stand.
const longID = 11

// Gap says that batches after a lost connection cannot be had any more.
type Gap struct {
	From, To uint64 // sequence numbers; 0 if NewEpoch
	NewEpoch bool   // the room began anew, as after a restart of the server
}

// Lost says that the connection is gone, or could not be made, and when it is
// tried again.
type Lost struct {
	Err  error
	Wait time.Duration
}

func (*Welcome) event() {}
func (*Batch) event()   {}
func (*Skipped) event() {}
func (*Goodbye) event() {}
func (*Gap) event()     {}
func (*Lost) event()    {}

// Error is an answer of the server (docs/protocol.md lists its codes), or one of
// ours: disconnected, busy, stopped.
type Error struct {
	Code       string
	Message    string
	RetryAfter time.Duration // try again after that; 0 if it does not say
	Sent       bool          // it went out, and may have taken effect
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Message) }

// answer is an ack or an error, for who waits for it.
type answer struct {
	Ref          string `json:"ref"`
	ID           string `json:"id"`
	Code         string `json:"code"`
	Message      string `json:"message"`
	RetryAfterMS int64  `json:"retry_after_ms"`
}

// command is what a viewer sends.
type command struct {
	Type  string `json:"type"`
	Text  string `json:"text,omitempty"`
	Color int    `json:"color,omitempty"`
	Mode  string `json:"mode,omitempty"`
	Size  string `json:"size,omitempty"`
	Count int    `json:"count,omitempty"`
	Ref   string `json:"ref,omitempty"`
}
