// Package moderation decides what becomes of a comment before it is published, and
// keeps what was decided about people and rooms.
//
//	comment ─► Desk.Judge ─► Verdict: pass, masked, rejected, held, shadowed, to be reviewed
//	                │
//	                ├─ sanctions (mute, ban, shadow)      ◄─ API, moderators ─► Store (bbolt)
//	                ├─ slow mode, duplicates, buckets     by user, by address
//	                └─ word lists                         folded text, Aho-Corasick
package moderation

import (
	"net/netip"
	"time"

	"github.com/danmakud/danmakud/room"
)

// Speaker is who wants to say something.
type Speaker struct {
	User    string     // public id: a site's user, or a guest's, see room.GuestMark
	Role    room.Role  //
	Address netip.Addr // of the viewer; IPv6 counts by its /64
}

// Action is what becomes of a comment.
type Action uint8

// Actions.
const (
	Pass   Action = iota // publish Verdict.Text
	Reject               // tell the sender Verdict.Code and Message
	Hold                 // keep it for a moderator to release
	Shadow               // show it to its sender alone
	Review               // ask the review webhook
)

// Verdict is what Judge says.
type Verdict struct {
	Action  Action
	Text    string // to publish: as it came, or masked; lives as long as the text judged and the scratch
	Code    string // Reject: error code of protocol section 3
	Message string // Reject: for the sender to read
	RetryMs int64  // Reject: when it may be tried again; 0 = not said
	List    string // name of the word list that decided, or ""
}

// SanctionKind says what a sanction keeps somebody from.
type SanctionKind string

// Kinds of sanctions.
const (
	Mute      SanctionKind = "mute"   // watches, does not speak
	Ban       SanctionKind = "ban"    // neither; connections are closed with 4003
	ShadowBan SanctionKind = "shadow" // speaks, and is alone to see it
)

// Sanction is a measure against a user or an address.
type Sanction struct {
	ID      string       `json:"id"`                // made by the desk
	Kind    SanctionKind `json:"kind"`              //
	Room    string       `json:"room,omitempty"`    // "" = in all rooms
	User    string       `json:"user,omitempty"`    // public id; one of User and Address is set
	Address string       `json:"address,omitempty"` // an address or network (CIDR)
	Until   time.Time    `json:"until,omitzero"`    // zero = until it is lifted
	Reason  string       `json:"reason,omitempty"`
	By      string       `json:"by"`               // name of the API key, or of the moderator
	ByRole  room.Role    `json:"by_role,omitzero"` // of that moderator; zero = an API key, which is above all
	At      time.Time    `json:"at"`
}

// Event is one line of the audit log.
type Event struct {
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Action string    `json:"action"` // mute, ban, shadow, lift, kick, retract, clear, settings, words, release, discard, …
	Room   string    `json:"room,omitempty"`
	User   string    `json:"user,omitempty"`
	Detail string    `json:"detail,omitempty"`
}

// HeldComment waits for a moderator's decision.
type HeldComment struct {
	ID   string    `json:"id"`
	Room string    `json:"room"`
	User string    `json:"user"`
	Name string    `json:"name,omitempty"`
	Text string    `json:"text"`
	List string    `json:"list,omitempty"`
	At   time.Time `json:"at"`

	// Comment is what to publish if it is released. Its strings must be its own.
	Comment room.Comment `json:"-"`
}

// WordList is a named list of words and what becomes of a comment with one of them.
type WordList struct {
	Name   string   `json:"name"`
	Action string   `json:"action"`          // reject, mask, hold or shadow
	Rooms  []string `json:"rooms,omitempty"` // where it counts; none = everywhere
	Words  []string `json:"words,omitempty"`
	Count  int      `json:"count"`
	File   string   `json:"file,omitempty"` // where it was read from; "" = set by the API
}
