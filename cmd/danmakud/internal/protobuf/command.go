package protobuf

import (
	"errors"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Errors of ReadCommand.
var (
	ErrMalformed = errors.New("protobuf: no protobuf message")
	ErrKind      = errors.New("protobuf: none of the commands, or more than one")
	ErrField     = errors.New("protobuf: a field of another type than the schema has")
)

// A Command is a FromViewer message with one command. It points into the message.
type Command struct {
	Kind string // as type of the JSON protocol
	Ref  []byte // not checked to be UTF-8

	schema *field
	body   []byte // fields that are known to be whole
}

// ReadCommand reads a message. Fields that the schema has not are passed over; of one
// that comes twice the last counts, as with any protobuf reader. With ErrKind and
// ErrField there is the ref alone. It allocates nothing.
func ReadCommand(message []byte) (c Command, err error) {
	commands, wrong := 0, false
	for p := message; len(p) > 0; {
		number, kind, value, n := next(p)
		if n < 0 {
			return Command{}, ErrMalformed
		}
		p = p[n:]
		known := fromViewer.numbered(number)
		switch {
		case known == nil && number != refNumber:
		case kind != protowire.BytesType:
			wrong = true
		case number == refNumber:
			c.Ref = value
		default:
			commands++
			c.Kind, c.schema, c.body = known.name, known, value
		}
	}
	for p := c.body; len(p) > 0; {
		_, _, _, n := next(p)
		if n < 0 {
			return Command{}, ErrMalformed
		}
		p = p[n:]
	}
	switch {
	case wrong:
		return Command{Ref: c.Ref}, ErrField
	case commands != 1:
		return Command{Ref: c.Ref}, ErrKind
	}
	return c, nil
}

// next reads the field that p begins with. n is how many bytes it has, below 0 if it is
// none; value is what is in a field of bytes, all of it in any other.
func next(p []byte) (number protowire.Number, kind protowire.Type, value []byte, n int) {
	number, kind, tag := protowire.ConsumeTag(p)
	if tag < 0 {
		return 0, 0, nil, tag
	}
	if number > protowire.MaxValidNumber {
		return 0, 0, nil, -1
	}
	if kind == protowire.BytesType {
		value, n = protowire.ConsumeBytes(p[tag:])
	} else {
		n = protowire.ConsumeFieldValue(number, kind, p[tag:])
		if n >= 0 {
			value = p[tag : tag+n]
		}
	}
	if n < 0 {
		return 0, 0, nil, n
	}
	return number, kind, value, tag + n
}

// find returns the field of that name, and whether it is there. ok is false if it is
// there with another type than the schema has, or if the schema has none of that name.
func (c *Command) find(name string) (f *field, value []byte, there, ok bool) {
	for i := range c.schema.fields {
		if c.schema.fields[i].name == name {
			f = &c.schema.fields[i]
		}
	}
	if f == nil {
		return nil, nil, false, false
	}
	want, ok := protowire.VarintType, true
	if f.form == formText {
		want = protowire.BytesType
	}
	for p := c.body; len(p) > 0; {
		number, kind, v, n := next(p)
		p = p[n:]
		if number == f.number {
			value, there = v, true
			ok = ok && kind == want
		}
	}
	return f, value, there, ok
}

// Bytes returns a text, or the name of an enum's value, which is "?" where it has none;
// nil if it is left out. ok is false if it is of another type, or no UTF-8. Read only.
func (c *Command) Bytes(name string) (text []byte, ok bool) {
	f, value, there, ok := c.find(name)
	switch {
	case !ok || !there:
		return nil, ok
	case f.form == formText:
		return value, utf8.Valid(value)
	case f.form != formName:
		return nil, false
	}
	n, _ := protowire.ConsumeVarint(value)
	if n >= uint64(len(f.names)) {
		return unknown, true
	}
	return f.names[n], true
}

// unknown stands for a value that an enum has not.
var unknown = []byte{'?'}

// Number returns a whole number, otherwise if it is left out.
func (c *Command) Number(name string, otherwise int64) (n int64, ok bool) {
	f, value, there, ok := c.find(name)
	if !ok || !there {
		return otherwise, ok
	}
	u, _ := protowire.ConsumeVarint(value)
	return int64(u), f.form == formNumber || f.form == formPresentNumber
}

// Flag returns a field that is true or false, false if it is left out.
func (c *Command) Flag(name string) (is, ok bool) {
	f, value, there, ok := c.find(name)
	if !ok || !there {
		return false, ok
	}
	u, _ := protowire.ConsumeVarint(value)
	return u != 0, f.form == formFlag || f.form == formPresentFlag
}

// Has reports whether a field is there. One that is not "optional" is not, where it is
// zero.
func (c *Command) Has(name string) bool {
	_, _, there, _ := c.find(name)
	return there
}
