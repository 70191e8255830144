package cluster

import (
	"errors"
	"math"
	"time"
	"unicode/utf8"

	"github.com/danmakud/danmakud/room"
	"google.golang.org/protobuf/encoding/protowire"
)

// A comment on the bus is a protobuf message, so that nodes of different ages
// understand each other: a field that is not known is passed over.

// Numbers of the fields of a comment. They never change their meaning.
const (
	fieldID       = 1
	fieldWall     = 2
	fieldUID      = 3
	fieldUser     = 4
	fieldName     = 5
	fieldRole     = 6
	fieldText     = 7
	fieldColor    = 8 // less one from white, so that white is left out
	fieldMode     = 9
	fieldSize     = 10
	fieldKind     = 11
	fieldGift     = 13
	fieldNum      = 14
	fieldPrice    = 15
	fieldDuration = 16 // milliseconds
	fieldOp       = 17
	fieldData     = 18
	fieldTarget   = 19
	fieldPriority = 20
)

// Number 12 was a hash by which equal comments were found.

// textMax bounds each text of a comment that comes from the bus, which no setting of
// another node reaches.
const textMax = 64 << 10

// errComment: a comment on the bus is not as it must be.
var errComment = errors.New("cluster: no comment")

// appendComment is room.Config.AppendSaid.
func appendComment(p []byte, c *room.Comment, id uint64, wall int64) []byte {
	p = appendNumber(p, fieldID, id)
	p = appendNumber(p, fieldWall, uint64(max(0, wall)))
	p = appendNumber(p, fieldUID, c.UID)
	p = appendText(p, fieldUser, c.User)
	p = appendText(p, fieldName, c.Name)
	p = appendNumber(p, fieldRole, uint64(c.Role))
	p = appendText(p, fieldText, c.Text)
	p = appendNumber(p, fieldColor, uint64(room.ColorDefault-c.Color))
	p = appendNumber(p, fieldMode, uint64(c.Mode))
	p = appendNumber(p, fieldSize, uint64(c.Size))
	p = appendNumber(p, fieldKind, uint64(c.Kind))
	p = appendNumber(p, fieldPriority, uint64(c.Priority))
	if c.Kind == room.KindChat {
		return p
	}
	p = appendText(p, fieldGift, c.Gift)
	p = appendNumber(p, fieldNum, uint64(max(0, c.Num)))
	p = appendNumber(p, fieldPrice, uint64(max(0, c.Price)))
	p = appendNumber(p, fieldDuration, uint64(max(0, c.Duration.Milliseconds())))
	p = appendNumber(p, fieldOp, uint64(c.Op))
	p = appendText(p, fieldData, c.Data)
	return appendNumber(p, fieldTarget, c.Target)
}

// saidText is room.Config.SaidText.
func saidText(said string) string {
	for p := []byte(said); len(p) > 0; {
		field, kind, n := protowire.ConsumeTag(p)
		size := protowire.ConsumeFieldValue(field, kind, p[max(0, n):])
		if n < 0 || size < 0 {
			return ""
		}
		if field == fieldText {
			text, _ := protowire.ConsumeString(p[n:])
			return text
		}
		p = p[n+size:]
	}
	return ""
}

func appendNumber(p []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return p
	}
	return protowire.AppendVarint(protowire.AppendTag(p, field, protowire.VarintType), v)
}

func appendText(p []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return p
	}
	return protowire.AppendString(protowire.AppendTag(p, field, protowire.BytesType), s)
}

// parseComment reads what appendComment wrote, which may be anything: what comes out is
// a comment that a viewer could have written. Its texts point into p.
func parseComment(p []byte) (h room.Heard, err error) {
	c := &h.Comment
	c.Color = room.ColorDefault
	err = eachField(p, func(field protowire.Number, number uint64, text []byte) bool {
		switch field {
		case fieldUser:
			return take(&c.User, text)
		case fieldName:
			return take(&c.Name, text)
		case fieldText:
			return take(&c.Text, text)
		case fieldGift:
			return take(&c.Gift, text)
		case fieldData:
			c.Data = string(text)
			return len(text) <= textMax
		}
		return takeNumber(&h, field, number)
	})
	if err != nil || h.ID == 0 || room.IDNode(h.ID) == 0 {
		return room.Heard{}, errComment
	}
	return h, nil
}

// takeNumber takes a field that is a number, and reports whether it may be that.
func takeNumber(h *room.Heard, field protowire.Number, v uint64) bool {
	c := &h.Comment
	switch field {
	case fieldID:
		h.ID = v
	case fieldWall:
		h.Wall = int64(v)
		return v < 1<<52
	case fieldUID:
		c.UID = v
	case fieldRole:
		c.Role = room.Role(v)
		return v < uint64(room.Roles)
	case fieldColor:
		c.Color = room.ColorDefault - uint32(v)
		return v <= room.ColorDefault
	case fieldMode:
		c.Mode = room.Mode(v)
		return v <= uint64(room.ModeReverse)
	case fieldSize:
		c.Size = room.Size(v)
		return v <= uint64(room.SizeLarge)
	case fieldKind:
		c.Kind = room.Kind(v)
		return v <= uint64(room.KindData)
	case fieldPriority:
		c.Priority = room.Priority(v)
		return v <= uint64(room.PriorityLow)
	case fieldNum:
		c.Num = int(v)
		return v <= math.MaxInt32
	case fieldPrice:
		c.Price = int64(v)
		return v <= math.MaxInt64
	case fieldDuration:
		c.Duration = time.Duration(v) * time.Millisecond
		return v <= uint64((7 * 24 * time.Hour).Milliseconds())
	case fieldOp:
		c.Op = uint32(v)
		return v <= math.MaxUint32
	case fieldTarget:
		c.Target = v
	}
	return true
}

// take sets a text, and reports whether it may be that.
func take(to *string, text []byte) bool {
	*to = string(text)
	return len(text) <= textMax && utf8.Valid(text)
}

// eachField calls f with every field of a protobuf message: number is of varints and of
// fixed ones, text of the others. errComment if p is no message or f says no.
func eachField(p []byte, f func(field protowire.Number, number uint64, text []byte) bool) error {
	for len(p) > 0 {
		field, kind, n := protowire.ConsumeTag(p)
		if n < 0 {
			return errComment
		}
		p = p[n:]
		var number uint64
		var text []byte
		switch kind {
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(p)
		case protowire.Fixed64Type:
			number, n = protowire.ConsumeFixed64(p)
		case protowire.BytesType:
			text, n = protowire.ConsumeBytes(p)
		default: // of no field that is known
			n = protowire.ConsumeFieldValue(field, kind, p)
			field = 0
		}
		if n < 0 || !f(field, number, text) {
			return errComment
		}
		p = p[n:]
	}
	return nil
}
