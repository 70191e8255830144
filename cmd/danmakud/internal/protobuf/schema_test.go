package protobuf

import (
	"strings"
	"testing"

	danmakuv1 "github.com/danmakud/danmakud/clients/proto/danmaku/v1"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// TestSchema: the tables are what the schema file says, with nothing left out.
func TestSchema(t *testing.T) {
	sameFields(t, "ToViewer", &toViewer, (&danmakuv1.ToViewer{}).ProtoReflect().Descriptor())
	from := (&danmakuv1.FromViewer{}).ProtoReflect().Descriptor()
	whole := fromViewer
	whole.fields = append([]field{{name: "ref", number: refNumber}}, whole.fields...)
	sameFields(t, "FromViewer", &whole, from)
	if c, r := from.Oneofs().ByName("command"), from.Fields().ByName("ref"); c.Fields().Len() != from.Fields().Len()-1 || r.ContainingOneof() != nil {
		t.Error("FromViewer is one command and a ref")
	}
}

func sameFields(t *testing.T, path string, f *field, d protoreflect.MessageDescriptor) {
	t.Helper()
	if d.Fields().Len() != len(f.fields) {
		t.Errorf("%s has %d fields, the schema %d", path, len(f.fields), d.Fields().Len())
	}
	for i := range f.fields {
		inner := &f.fields[i]
		sameField(t, path+"."+inner.name, inner, d.Fields().ByName(protoreflect.Name(inner.name)))
	}
	for _, n := range []protoreflect.FieldNumber{1000, 1999} {
		if strings.Count(path, ".") == 0 && !d.ReservedRanges().Has(n) {
			t.Errorf("%s: %d is not reserved", path, n)
		}
	}
	if growth := d.ReservedRanges(); growth.Len() == 0 {
		t.Errorf("%s has nothing reserved for growth", path)
	}
}

func sameField(t *testing.T, path string, f *field, d protoreflect.FieldDescriptor) {
	t.Helper()
	if d == nil || d.Number() != f.number {
		t.Errorf("%s, number %d: the schema has %v", path, f.number, d)
		return
	}
	optional := d.HasOptionalKeyword()
	ok := false
	switch f.form {
	case formText:
		ok = d.Kind() == protoreflect.StringKind && !optional && !d.IsList()
	case formBase64:
		ok = d.Kind() == protoreflect.BytesKind && !optional && !d.IsList()
	case formNumber, formPresentNumber:
		switch d.Kind() {
		case protoreflect.Uint32Kind, protoreflect.Uint64Kind, protoreflect.Int64Kind: // all by varint
			ok = optional == (f.form == formPresentNumber) && !d.IsList()
		}
	case formFlag, formPresentFlag:
		ok = d.Kind() == protoreflect.BoolKind && optional == (f.form == formPresentFlag) && !d.IsList()
	case formName:
		ok = d.Kind() == protoreflect.EnumKind && optional == f.present && !d.IsList()
		if ok {
			sameNames(t, path, f.names, d.Enum())
		}
	case formMessage, formMessages:
		ok = d.Kind() == protoreflect.MessageKind && d.IsList() == (f.form == formMessages)
		if ok {
			sameFields(t, path, f, d.Message())
		}
	}
	if !ok {
		t.Errorf("%s has form %d, the schema says %v", path, f.form, d)
	}
}

func sameNames(t *testing.T, path string, names [][]byte, d protoreflect.EnumDescriptor) {
	t.Helper()
	if d.Values().Len() != len(names) {
		t.Errorf("%s: %q, the schema has %d", path, names, d.Values().Len())
		return
	}
	for i := range names {
		v := d.Values().Get(i)
		if want := strings.ToUpper(string(d.Name()) + "_" + string(names[i])); int(v.Number()) != i || string(v.Name()) != want {
			t.Errorf("%s: %s = %d, want %s = %d", path, v.Name(), v.Number(), want, i)
		}
	}
}
