package cluster

import (
	"github.com/danmakud/danmakud/room"
	"github.com/klauspost/compress/s2"
	"google.golang.org/protobuf/encoding/protowire"
)

// A tick is what was said in one room on one node between two moments. On the bus it is
// a protobuf message of a header and a body, which is compressed once, by S2, where
// that makes it smaller.

// Numbers of the fields of a tick's header.
const (
	tickVersion  = 1
	tickShards   = 2
	tickNode     = 3 // id of the node, which is another after each start
	tickSeq      = 4 // one more than the node's tick before in this shard
	tickComments = 5 // comments that the node had in this shard so far, these included, in ticks or left out
	tickPlain    = 6 // body
	tickSmall    = 7 // body by S2
	tickPrior    = 8 // 1: it has what is never to be dropped for lack of space
)

// Numbers of the fields of a tick's body.
const (
	bodyRoom    = 1
	bodyLikes   = 2
	bodySampled = 3
	bodyComment = 4 // repeated: a comment
	bodyCount   = 5 // for how many the comment before stands, where that is more than one
)

// bodyMax bounds a body: more than the budget of a batch may be, and what the
// other lanes may have.
const bodyMax = 8 << 20

// smallMin is the size from which on a body is compressed.
const smallMin = 512

// commentsMax bounds the comments of a tick that comes from the bus.
const commentsMax = 100_000

// tick is one as it comes from the bus.
type tick struct {
	node          string
	shards        uint64
	seq, comments uint64

	room           string
	likes, sampled uint64
	heard          []room.Heard
}

// appendBody appends the body of what was said. priorOnly leaves out chat, which then
// counts as sampled. It returns for how many comments the body stands, and how many
// were left out so.
func appendBody(p []byte, s *room.Said, priorOnly bool) (body []byte, comments, left uint64) {
	p = appendText(p, bodyRoom, s.Room)
	p = appendNumber(p, bodyLikes, s.Likes)
	for _, c := range s.Comments {
		if priorOnly && !c.Prior {
			left += uint64(c.Count)
			continue
		}
		p = protowire.AppendBytes(protowire.AppendTag(p, bodyComment, protowire.BytesType), c.Text)
		if c.Count > 1 {
			p = appendNumber(p, bodyCount, uint64(c.Count))
		}
		comments += uint64(c.Count)
	}
	return appendNumber(p, bodySampled, s.Sampled+left), comments, left
}

// appendTick appends a tick with that body.
func appendTick(p []byte, t *tick, body []byte, prior bool) []byte {
	p = appendNumber(p, tickVersion, version)
	p = appendNumber(p, tickShards, t.shards)
	p = appendText(p, tickNode, t.node)
	p = appendNumber(p, tickSeq, t.seq)
	p = appendNumber(p, tickComments, t.comments)
	if prior {
		p = appendNumber(p, tickPrior, 1)
	}
	if len(body) >= smallMin {
		if small := s2.Encode(nil, body); len(small) < len(body) {
			return protowire.AppendBytes(protowire.AppendTag(p, tickSmall, protowire.BytesType), small)
		}
	}
	return protowire.AppendBytes(protowire.AppendTag(p, tickPlain, protowire.BytesType), body)
}

// isPrior reports whether a tick, which may be anything, says that it has what is never
// to be dropped.
func isPrior(p []byte) (prior bool) {
	eachField(p, func(field protowire.Number, number uint64, _ []byte) bool {
		prior = prior || field == tickPrior && number == 1
		return true
	})
	return prior
}

// parseHead reads the header of a tick, which may be anything, and returns its body.
func parseHead(p []byte) (t tick, body []byte, d drop, ok bool) {
	if len(p) > bodyMax {
		return t, nil, dropLarge, false
	}
	var v uint64
	small := false
	err := eachField(p, func(field protowire.Number, number uint64, text []byte) bool {
		switch field {
		case tickVersion:
			v = number
		case tickShards:
			t.shards = number
		case tickNode:
			t.node = string(text)
			return validID(text)
		case tickSeq:
			t.seq = number
		case tickComments:
			t.comments = number
		case tickPlain, tickSmall:
			body, small = text, field == tickSmall
		}
		return true
	})
	switch {
	case err != nil || t.node == "" || t.seq == 0 || body == nil:
		return t, nil, dropForeign, false
	case v != version:
		return t, nil, dropVersion, false
	case !small:
		return t, body, 0, true
	}
	n, err := s2.DecodedLen(body)
	if err != nil || n > bodyMax {
		return t, nil, dropForeign, false
	}
	body, err = s2.Decode(nil, body)
	return t, body, dropForeign, err == nil
}

// parseBody reads the body of a tick, which may be anything. reuse is memory for the
// comments.
func (t *tick) parseBody(body []byte, reuse []room.Heard) error {
	t.heard = reuse[:0]
	err := eachField(body, func(field protowire.Number, number uint64, text []byte) bool {
		switch field {
		case bodyRoom:
			t.room = string(text)
			return room.ValidName(t.room)
		case bodyLikes:
			t.likes = number
			return number < 1<<32
		case bodySampled:
			t.sampled = number
			return number < 1<<32
		case bodyComment:
			h, err := parseComment(text)
			t.heard = append(t.heard, h)
			return err == nil && len(t.heard) <= commentsMax
		case bodyCount:
			if len(t.heard) == 0 || number > 1<<24 {
				return false
			}
			t.heard[len(t.heard)-1].Comment.Count = int(number)
		}
		return true
	})
	if err == nil && t.room == "" {
		err = errComment
	}
	return err
}
