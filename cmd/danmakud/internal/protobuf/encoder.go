package protobuf

import (
	"encoding/base64"
	"fmt"

	"github.com/valyala/fastjson"
	"google.golang.org/protobuf/encoding/protowire"
)

// An Encoder makes ToViewer messages. It keeps its memory for the next one. One
// goroutine at a time.
type Encoder struct {
	parser fastjson.Parser
	bytes  []byte // data of a comment
}

// Append appends what a JSON message of the server says. The message must be one that
// the server has written itself.
func (e *Encoder) Append(dst, message []byte) []byte {
	v, err := e.parser.ParseBytes(message)
	if err != nil {
		panic(fmt.Sprintf("protobuf: a message that is no JSON: %v", err))
	}
	kind := v.GetStringBytes("type")
	event := toViewer.member(kind)
	if event == nil {
		panic(fmt.Sprintf("protobuf: no event for a message of type %q", kind))
	}
	return e.appendMessage(dst, event, v)
}

// appendMessage appends v, an object, as a field.
func (e *Encoder) appendMessage(dst []byte, f *field, v *fastjson.Value) []byte {
	dst, start := open(dst, f.number)
	v.GetObject().Visit(func(name []byte, v *fastjson.Value) {
		if inner := f.member(name); inner != nil {
			dst = e.appendField(dst, inner, v)
		}
	})
	return closeField(dst, start)
}

// appendField appends v as a field. What is zero is left out, where that means the same.
func (e *Encoder) appendField(dst []byte, f *field, v *fastjson.Value) []byte {
	switch f.form {
	case formText:
		if p := v.GetStringBytes(); len(p) > 0 {
			dst = protowire.AppendBytes(protowire.AppendTag(dst, f.number, protowire.BytesType), p)
		}
	case formBase64:
		p, err := base64.StdEncoding.AppendDecode(e.bytes[:0], v.GetStringBytes())
		if err != nil {
			panic("protobuf: data that is no base64: " + err.Error())
		}
		e.bytes = p
		dst = protowire.AppendBytes(protowire.AppendTag(dst, f.number, protowire.BytesType), p)
	case formNumber, formPresentNumber:
		if n := v.GetInt64(); n != 0 || f.form == formPresentNumber {
			dst = protowire.AppendVarint(protowire.AppendTag(dst, f.number, protowire.VarintType), uint64(n))
		}
	case formFlag, formPresentFlag:
		if is := v.GetBool(); is || f.form == formPresentFlag {
			dst = protowire.AppendVarint(protowire.AppendTag(dst, f.number, protowire.VarintType), protowire.EncodeBool(is))
		}
	case formName:
		if n := indexOf(f.names, v.GetStringBytes()); n > 0 {
			dst = protowire.AppendVarint(protowire.AppendTag(dst, f.number, protowire.VarintType), uint64(n))
		}
	case formMessage:
		dst = e.appendMessage(dst, f, v)
	case formMessages:
		for _, v := range v.GetArray() {
			dst = e.appendMessage(dst, f, v)
		}
	}
	return dst
}

// open begins a field whose length is not known yet.
func open(dst []byte, n protowire.Number) (out []byte, start int) {
	dst = append(protowire.AppendTag(dst, n, protowire.BytesType), 0)
	return dst, len(dst)
}

// closeField writes the length of the field that open began, in as many bytes as it
// takes: mostly the one that there is space for.
func closeField(dst []byte, start int) []byte {
	n := len(dst) - start
	if more := protowire.SizeVarint(uint64(n)) - 1; more > 0 {
		var space [10]byte
		dst = append(dst, space[:more]...)
		copy(dst[start+more:], dst[start:start+n])
	}
	protowire.AppendVarint(dst[:start-1], uint64(n))
	return dst
}
