package admin

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/danmakud/danmakud/room"
)

// schemas makes the schemas of Go types: of a struct's fields by their json tags,
// described by doc:"…" or the table described, bounded by is:"…".
type schemas struct {
	components map[string]*schema
}

// typeNames are the names of types in the document where the Go name says too little.
var typeNames = map[reflect.Type]string{
	reflect.TypeFor[room.Info]():     "Room",
	reflect.TypeFor[room.Settings](): "RoomSettings",
}

// named is a rule that a field's is tag may have by name, or nil.
func named(rule string) *schema {
	switch rule {
	case "room":
		return isRoom()
	case "user":
		return isUser()
	case "line":
		return isLine()
	}
	return nil
}

// of returns the schema of a type; a struct becomes a component and a reference to
// it. request: members that are not named are refused.
func (b *schemas) of(t reflect.Type, request bool) *schema {
	switch t {
	case reflect.TypeFor[time.Time]():
		return &schema{Type: "string", Format: "date-time"}
	case reflect.TypeFor[room.Role]():
		return roleSchema()
	case reflect.TypeFor[json.RawMessage]():
		return &schema{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return b.of(t.Elem(), request)
	case reflect.Bool:
		return &schema{Type: "boolean"}
	case reflect.String:
		return &schema{Type: "string"}
	case reflect.Float64:
		return &schema{Type: "number"}
	case reflect.Int, reflect.Int64, reflect.Uint64, reflect.Uint32, reflect.Int32:
		return &schema{Type: "integer"}
	case reflect.Slice:
		return &schema{Type: "array", Items: b.of(t.Elem(), request)}
	case reflect.Array:
		n := t.Len()
		return &schema{Type: "array", Items: b.of(t.Elem(), request), MinItems: &n, MaxItems: &n}
	case reflect.Interface:
		return &schema{}
	case reflect.Map:
		return &schema{Type: "object", Values: b.of(t.Elem(), request)}
	case reflect.Struct:
		return b.component(t, request)
	}
	panic(fmt.Sprintf("admin: no schema for %v", t))
}

func roleSchema() *schema {
	names := make([]string, room.Roles)
	for r := range room.Roles {
		names[r] = r.String()
	}
	return oneOf(names...)
}

func (b *schemas) component(t reflect.Type, request bool) *schema {
	name := typeNames[t]
	if name == "" {
		name = string(unicode.ToUpper(rune(t.Name()[0]))) + t.Name()[1:]
	}
	if b.components[name] == nil {
		s := &schema{Type: "object", Properties: map[string]*schema{}, Closed: request}
		b.components[name] = s // before its members, which may refer to it
		b.fields(s, t, name, request)
	}
	return &schema{Ref: "#/components/schemas/" + name, target: b.components[name]}
}

func (b *schemas) fields(s *schema, t reflect.Type, owner string, request bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous:
			b.fields(s, f.Type, owner, request)
			continue
		case tag == "-" || !f.IsExported():
			continue
		}
		of := b.of(f.Type, request)
		of.Description = f.Tag.Get("doc")
		if of.Description == "" {
			of.Description = described[owner+"."+tag]
		}
		required := !request && !strings.HasPrefix(options, "omit")
		for rule := range strings.SplitSeq(f.Tag.Get("is"), ",") {
			if rule == "required" {
				required = true
			} else if rule != "" {
				of = of.restrict(rule)
			}
		}
		known := s.Properties[tag] != nil // of an embedded struct
		s.Properties[tag] = of
		if required && !known {
			s.Required = append(s.Required, tag)
		}
	}
}

// restrict applies one rule of an is tag: a name in the table above, min=, max= of a
// number, of a string's length or of an array's, each=RULE for the elements of an
// array, enum=A|B.
func (s *schema) restrict(rule string) *schema {
	if of := named(rule); of != nil {
		of.Description = s.Description
		return of
	}
	name, value, _ := strings.Cut(rule, "=")
	switch name {
	case "enum":
		s.Enum = strings.Split(value, "|")
		return s
	case "each":
		s.Items = s.Items.restrict(value)
		return s
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || name != "min" && name != "max" {
		panic("admin: unknown rule " + rule)
	}
	length := int(n)
	switch {
	case s.Type == "integer" && name == "min":
		s.Minimum = &n
	case s.Type == "integer":
		s.Maximum = &n
	case s.Type == "array" && name == "min":
		s.MinItems = &length
	case s.Type == "array":
		s.MaxItems = &length
	case name == "min":
		s.MinLength = &length
	default:
		s.MaxLength = &length
	}
	return s
}

func isTime(text string) bool {
	_, err := time.Parse(time.RFC3339, text)
	return err == nil
}

// What names and texts may be. The patterns mean the same in ECMAScript and in Go.
func isRoom() *schema {
	return matching(`^[A-Za-z0-9_.:-]{1,64}$`, "a room name is 1 to 64 of A-Z a-z 0-9 _ . : -")
}

func isUser() *schema {
	s := matching(`^[^\x00-\x1f\x7f-\x9f]*$`, "must not contain control characters")
	s.restrict("min=1")
	return s.restrict("max=128")
}

func isLine() *schema {
	s := matching(`^[^\x00-\x1f\x7f-\x9f]*$`, "must not contain control characters")
	return s.restrict("max=1000")
}

func isListName() *schema {
	return matching(`^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}$`, "a list's name is 1 to 64 of A-Z a-z 0-9 _ . -, not beginning with a dot")
}
