package cluster

import (
	"encoding/binary"
	"encoding/json"

	"github.com/danmakud/danmakud/room"
	"github.com/klauspost/compress/s2"
	"google.golang.org/protobuf/encoding/protowire"
)

// How many different viewers a room has had is no sum: who was on two nodes counts once.
// So nodes tell each other who is new, by hashes, with every report, which takes some
// bytes a viewer and nothing while nobody comes. Where that was too many for one report,
// and every eighth report where somebody came since, all that a node knows of a room is
// told, so that what was lost on the way comes after all. Who prepares a room gets it with the
// history. Whoever has the room unites it with what it has; the same may come as often
// as it likes.

const (
	kindAudience = "audience" // told: bytes of appendAudience, several in a row, by S2
	// audienceBytes is about how much one message has before it is compressed,
	// audiencePart what a report may have in all: what is beyond waits for the next.
	audienceBytes = 512 << 10
	audiencePart  = 1 << 20
	// audienceAlong is how much, compressed, goes along with a report, if that tells of no
	// more than alongRooms: in most reports it is no message more.
	audienceAlong = 64 << 10
	alongRooms    = 1000
	// audienceRepeat is how much of it is for what was told before.
	audienceRepeat = 64 << 10
	// audienceRooms is how many rooms one message tells of.
	audienceRooms = 8000
	// audienceMax bounds a message that is taken, before it was compressed.
	audienceMax = audienceBytes + 2*room.AudienceMax
)

// Numbers of the fields of what is told, and of a room in it.
const (
	audiencesRoom = 1 // repeated

	audienceName  = 1
	audienceFresh = 2 // hashes of 8 bytes, little endian
	audienceAll   = 3 // room.Room.Audience
)

// appendAudience appends what is told of one room.
func appendAudience(p []byte, name string, fresh []uint64, all []byte) []byte {
	one := appendText(nil, audienceName, name)
	if len(fresh) > 0 {
		one = protowire.AppendVarint(protowire.AppendTag(one, audienceFresh, protowire.BytesType), uint64(8*len(fresh)))
		for _, who := range fresh {
			one = binary.LittleEndian.AppendUint64(one, who)
		}
	}
	if len(all) > 0 {
		one = protowire.AppendBytes(protowire.AppendTag(one, audienceAll, protowire.BytesType), all)
	}
	return protowire.AppendBytes(protowire.AppendTag(p, audiencesRoom, protowire.BytesType), one)
}

// tellAudiences tells who is new in the rooms, but for what may go along with a report.
func (n *Node) tellAudiences() (along []byte) {
	if len(n.peers.list()) == 0 {
		return nil // who comes later has all told again
	}
	n.audiencesToTell(func(message []byte) {
		small := s2.Encode(nil, message)
		if along == nil && len(small) <= audienceAlong {
			along = small
			return
		}
		n.tellAudience(small)
	})
	return along
}

// audiencesToTell calls f with what one report tells, message by message, in memory that
// is used again. Hub.Each has the rooms in no order, so that over the bounds all get
// their turn.
func (n *Node) audiencesToTell(f func(message []byte)) {
	var message []byte
	var fresh []uint64
	told, repeated, rooms := 0, 0, 0
	again, slice := n.repeat.Swap(false), n.audienceSlice
	n.audienceSlice = (slice + 1) % countsSlices
	n.rooms.Hub().Each(func(r *room.Room) {
		if again {
			r.RepeatAudience()
		}
		if told+len(message) >= audiencePart {
			return
		}
		var all []byte
		turn := n.shardOf(r.Name())%countsSlices == slice && repeated < audienceRepeat
		if fresh, all = r.TakeAudience(fresh, turn); len(fresh) == 0 && len(all) == 0 {
			return
		}
		repeated += len(all)
		message = appendAudience(message, r.Name(), fresh, all)
		if rooms++; len(message) >= audienceBytes || rooms == audienceRooms {
			f(message)
			told, message, rooms = told+len(message), message[:0], 0
		}
	})
	if len(message) > 0 {
		f(message)
	}
}

// tellAudience sends one message. What does not go out is told again.
func (n *Node) tellAudience(small []byte) {
	if n.Tell(kindAudience, small) != nil {
		n.drop(dropUnsent)
		n.repeat.Store(true)
		return
	}
	n.audienceBytes.Add(uint64(len(small)))
}

// heardAudiences takes in what a node tells of its rooms' viewers, which may be anything.
func (n *Node) heardAudiences(node string, body json.RawMessage) {
	if n.rooms == nil || !n.peers.has(node) {
		return // it comes again
	}
	var small []byte
	if json.Unmarshal(body, &small) != nil || !n.takeAudiences(small) {
		n.drop(dropAudience)
	}
}

// takeAudiences reports whether the message was one. Rooms that are good are taken even
// if others are not.
func (n *Node) takeAudiences(small []byte) bool {
	if size, err := s2.DecodedLen(small); err != nil || size > audienceMax {
		return false
	}
	message, err := s2.Decode(nil, small)
	if err != nil {
		return false
	}
	good, rooms := true, 0
	err = eachField(message, func(field protowire.Number, _ uint64, one []byte) bool {
		if field == audiencesRoom {
			rooms++
			good = n.takeAudience(one) && good
		}
		return rooms <= audienceRooms
	})
	return err == nil && good
}

// takeAudience takes in what is told of one room, if the room is here.
func (n *Node) takeAudience(one []byte) bool {
	var name string
	var fresh []uint64
	var all []byte
	err := eachField(one, func(field protowire.Number, _ uint64, text []byte) bool {
		switch field {
		case audienceName:
			name = string(text)
		case audienceFresh:
			for ; len(text) >= 8; text = text[8:] {
				fresh = append(fresh, binary.LittleEndian.Uint64(text))
			}
			return len(text) == 0
		case audienceAll:
			all = text
		}
		return true
	})
	if err != nil || !room.ValidName(name) {
		return false
	}
	r := n.rooms.Hub().Find(name)
	if r == nil {
		return true
	}
	r.SeenElsewhere(fresh)
	return len(all) == 0 || r.MergeAudience(all) == nil
}

// mergeAudience takes in what another node has of a room that was prepared.
func (n *Node) mergeAudience(name string, all []byte) {
	if r := n.rooms.Hub().Find(name); r != nil && len(all) > 0 && r.MergeAudience(all) != nil {
		n.drop(dropAudience)
	}
}
