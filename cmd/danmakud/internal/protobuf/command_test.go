package protobuf

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	danmakuv1 "github.com/danmakud/danmakud/clients/proto/danmaku/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// commands are one of each kind.
var commands = []*danmakuv1.FromViewer{
	{Ref: "c1", Command: &danmakuv1.FromViewer_Comment{Comment: &danmakuv1.Say{Text: "前方高能", Color: proto.Uint32(0), Mode: danmakuv1.Mode_MODE_TOP, Size: danmakuv1.Size_SIZE_LARGE}}},
	{Command: &danmakuv1.FromViewer_Comment{Comment: &danmakuv1.Say{}}},
	{Command: &danmakuv1.FromViewer_Comment{Comment: &danmakuv1.Say{Mode: 77, Text: strings.Repeat("x", 300)}}},
	{Command: &danmakuv1.FromViewer_Like{Like: &danmakuv1.Like{Count: proto.Uint32(3)}}},
	{Command: &danmakuv1.FromViewer_Switch{Switch: &danmakuv1.Switch{Room: "other"}}},
	{Ref: "t", Command: &danmakuv1.FromViewer_Token{Token: &danmakuv1.Token{Token: "a.b.c"}}},
	{Ref: "p", Command: &danmakuv1.FromViewer_Ping{Ping: &danmakuv1.Ping{}}},
	{Command: &danmakuv1.FromViewer_Mute{Mute: &danmakuv1.Sanction{User: "a", Seconds: -1, Reason: "r"}}},
	{Command: &danmakuv1.FromViewer_Ban{Ban: &danmakuv1.Sanction{User: "~7"}}},
	{Command: &danmakuv1.FromViewer_Shadow{Shadow: &danmakuv1.Sanction{User: "b", Seconds: 60}}},
	{Command: &danmakuv1.FromViewer_Lift{Lift: &danmakuv1.Lift{User: "a"}}},
	{Command: &danmakuv1.FromViewer_Kick{Kick: &danmakuv1.Kick{User: "a", Reason: "r"}}},
	{Command: &danmakuv1.FromViewer_Retract{Retract: &danmakuv1.Retract{Id: "0fJu7--0"}}},
	{Command: &danmakuv1.FromViewer_Clear{Clear: &danmakuv1.Clear{}}},
	{Command: &danmakuv1.FromViewer_Settings{Settings: &danmakuv1.ChangeSettings{Closed: proto.Bool(false), SlowModeMs: proto.Int64(0), MinRole: danmakuv1.Role_ROLE_GUEST.Enum()}}},
	{Command: &danmakuv1.FromViewer_Settings{Settings: &danmakuv1.ChangeSettings{}}},
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	p, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// sameAsGenerated fails unless c says what the generated code has read.
func sameAsGenerated(t *testing.T, c *Command, m *danmakuv1.FromViewer) {
	t.Helper()
	set := m.ProtoReflect().WhichOneof(m.ProtoReflect().Descriptor().Oneofs().ByName("command"))
	if set == nil || string(set.Name()) != c.Kind || string(c.Ref) != m.Ref {
		t.Fatalf("command %q with ref %q, want %v", c.Kind, c.Ref, m)
	}
	body := m.ProtoReflect().Get(set).Message()
	for i := range body.Descriptor().Fields().Len() {
		d := body.Descriptor().Fields().Get(i)
		sameValue(t, c, d, body.Get(d))
		if d.HasOptionalKeyword() && c.Has(string(d.Name())) != body.Has(d) {
			t.Errorf("%s.%s is there: %v, want %v", c.Kind, d.Name(), c.Has(string(d.Name())), body.Has(d))
		}
	}
}

func sameValue(t *testing.T, c *Command, d protoreflect.FieldDescriptor, want protoreflect.Value) {
	t.Helper()
	name := string(d.Name())
	var got any
	same, ok := false, false
	switch d.Kind() {
	case protoreflect.StringKind:
		var text []byte
		text, ok = c.Bytes(name)
		got, same = string(text), string(text) == want.String()
	case protoreflect.EnumKind:
		var text []byte
		text, ok = c.Bytes(name)
		value := d.Enum().Values().ByNumber(want.Enum())
		switch {
		case value == nil:
			same = bytes.Equal(text, unknown)
		case text == nil:
			same = want.Enum() == 0
		default:
			same = strings.ToUpper(string(d.Enum().Name())+"_"+string(text)) == string(value.Name())
		}
		got = string(text)
	case protoreflect.BoolKind:
		got, ok = c.Flag(name)
		same = got == want.Bool()
	case protoreflect.Uint32Kind:
		var n int64
		n, ok = c.Number(name, 0)
		got, same = n, uint32(n) == uint32(want.Uint()) // which cuts off what is too much, and we do not
	default:
		var n int64
		n, ok = c.Number(name, 0)
		got, same = n, n == want.Int()
	}
	if !ok || !same {
		t.Errorf("%s.%s is %v, %v, want %v", c.Kind, name, got, ok, want)
	}
}

func TestReadsEveryCommand(t *testing.T) {
	kinds := map[string]bool{}
	for _, m := range commands {
		c, err := ReadCommand(marshal(t, m))
		if err != nil {
			t.Fatalf("%v: %v", m, err)
		}
		sameAsGenerated(t, &c, m)
		kinds[c.Kind] = true
	}
	if len(kinds) != len(fromViewer.fields) {
		t.Errorf("%d kinds, want %d", len(kinds), len(fromViewer.fields))
	}
}

// raw puts fields together by hand.
func raw(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func textField(n protowire.Number, text string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, n, protowire.BytesType), text)
}

func numberField(n protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), v)
}

func TestBadMessages(t *testing.T) {
	ref := textField(refNumber, "r")
	comment := func(fields ...[]byte) []byte { return textField(1, string(raw(fields...))) }
	for _, tc := range []struct {
		what    string
		message []byte
		want    error
		ref     string
	}{
		{"nothing", nil, ErrKind, ""},
		{"a ref alone", ref, ErrKind, "r"},
		{"two commands", raw(ref, comment(), textField(5, "")), ErrKind, "r"},
		{"one command twice", raw(comment(), comment(), ref), ErrKind, "r"},
		{"a command of the future", raw(textField(900, "x"), ref), ErrKind, "r"},
		{"a number for a command", raw(numberField(1, 1), ref), ErrField, "r"},
		{"a number for a ref", raw(comment(), numberField(refNumber, 1)), ErrField, ""},
		{"JSON", []byte(`{"type":"ping"}`), ErrMalformed, ""},
		{"cut", comment(textField(1, "hello"))[:5], ErrMalformed, ""},
		{"cut inside", textField(1, "\x0a\x05hi"), ErrMalformed, ""},
		{"field number 0", []byte{0, 0}, ErrMalformed, ""},
		{"a group without an end", raw(comment(), []byte{0xA3, 0x06}), ErrMalformed, ""},
		{"groups in groups", bytes.Repeat([]byte{0xA3, 0x06}, 4000), ErrMalformed, ""},
		{"a length of 2^63", []byte{0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F}, ErrMalformed, ""},
	} {
		if c, err := ReadCommand(tc.message); !errors.Is(err, tc.want) || string(c.Ref) != tc.ref || c.Kind != "" {
			t.Errorf("%s: %+v, %v, want %v", tc.what, c, err, tc.want)
		}
	}
}

func TestBadFields(t *testing.T) {
	for _, tc := range []struct {
		what, field string
		body        []byte
		ok          bool
	}{
		{"the last of two", "text", raw(textField(1, "a"), textField(1, "text")), true},
		{"among unknown fields", "text", raw(numberField(999, 1), textField(1, "text"), textField(998, "?")), true},
		{"a number", "text", numberField(1, 5), false},
		{"a number, then a text", "text", raw(numberField(1, 5), textField(1, "text")), false},
		{"bad UTF-8", "text", textField(1, "\xff"), false},
		{"a text", "color", textField(2, "red"), false},
		{"four bytes", "color", protowire.AppendFixed32(protowire.AppendTag(nil, 2, protowire.Fixed32Type), 7), false},
		{"a text", "mode", textField(3, "top"), false},
		{"no such field", "nothing", nil, false},
	} {
		c, err := ReadCommand(textField(1, string(tc.body)))
		if err != nil {
			t.Fatalf("%s: %v", tc.what, err)
		}
		ok := false
		if tc.field == "color" {
			_, ok = c.Number(tc.field, 0)
		} else {
			var text []byte
			if text, ok = c.Bytes(tc.field); ok && string(text) != "text" {
				t.Errorf("%s: %q", tc.what, text)
			}
		}
		if ok != tc.ok {
			t.Errorf("%s as %s: ok %v", tc.what, tc.field, ok)
		}
	}
}

func TestReadAllocations(t *testing.T) {
	p := marshal(t, commands[0])
	n := testing.AllocsPerRun(100, func() {
		c, err := ReadCommand(p)
		if err != nil {
			t.Fatal(err)
		}
		c.Bytes("text")
		c.Bytes("mode")
		c.Number("color", 0)
	})
	if n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// FuzzCommand: whatever comes, what is read is what the generated code reads, and what
// that refuses is refused.
func FuzzCommand(f *testing.F) {
	for _, m := range commands {
		f.Add(marshal(f, m))
	}
	f.Add(raw(textField(900, "x"), textField(1, string(raw(numberField(999, 1), textField(1, "text"))))))
	f.Add(textField(1, "\x0a\x01\xff"))
	f.Add(textField(1, "\x0a\x01x\xb0\xb1\xb1\xb1\x30\x00")) // a field whose number is none
	f.Add([]byte(`{"type":"ping"}`))
	f.Fuzz(func(t *testing.T, message []byte) {
		var m danmakuv1.FromViewer
		theirs := proto.Unmarshal(message, &m)
		c, err := ReadCommand(message)
		if errors.Is(err, ErrMalformed) && theirs == nil {
			t.Fatalf("refused, and read as %v", &m)
		}
		if err != nil {
			return
		}
		good := true
		for _, inner := range c.schema.fields {
			ok := false
			switch inner.form {
			case formText, formName:
				_, ok = c.Bytes(inner.name)
			case formFlag, formPresentFlag:
				_, ok = c.Flag(inner.name)
			default:
				_, ok = c.Number(inner.name, 0)
			}
			good = good && ok
		}
		switch {
		case !good: // a type that the generated code passes over, or bad UTF-8
		case theirs == nil:
			sameAsGenerated(t, &c, &m)
		case !strings.Contains(theirs.Error(), "UTF-8"):
			t.Fatalf("read as %+v, refused with %v", c, theirs)
		}
	})
}
