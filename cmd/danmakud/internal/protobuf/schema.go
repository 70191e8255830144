package protobuf

import (
	"bytes"

	"google.golang.org/protobuf/encoding/protowire"
)

// The schema as this package uses it: fields by their names, which are those of the
// JSON protocol. A test holds it against what is generated of the schema file.

// form is how a field's value is written.
type form uint8

const (
	formText          form = iota
	formBase64             // bytes; a text with base64 in JSON
	formNumber             // zero is left out
	formPresentNumber      // zero is not left out: "optional"
	formFlag               // false is left out
	formPresentFlag        // false is not left out: "optional"
	formName               // an enum; one of names in JSON, the first is zero
	formMessage            //
	formMessages           // repeated
)

// field is one of a message.
type field struct {
	name    string
	number  protowire.Number
	form    form
	names   [][]byte // of formName; read only
	present bool     // of formName: "optional"
	fields  []field  // of a message
}

// member returns the field of that name, or nil. Messages have few, and those that come
// often are in front.
func (f *field) member(name []byte) *field {
	for i := range f.fields {
		if f.fields[i].name == string(name) { // which copies nothing
			return &f.fields[i]
		}
	}
	return nil
}

// numbered returns the field with that number, or nil.
func (f *field) numbered(n protowire.Number) *field {
	for i := range f.fields {
		if f.fields[i].number == n {
			return &f.fields[i]
		}
	}
	return nil
}

func indexOf(names [][]byte, name []byte) int {
	for i, n := range names {
		if bytes.Equal(n, name) {
			return i
		}
	}
	return -1
}

var (
	modeNames = names("scroll", "top", "bottom", "reverse")
	sizeNames = names("medium", "small", "large")
	roleNames = names("guest", "viewer", "vip", "moderator", "anchor", "admin")
	kindNames = names("chat", "system", "gift", "superchat", "retract", "announcement", "data")
)

func names(list ...string) (out [][]byte) {
	for _, name := range list {
		out = append(out, []byte(name))
	}
	return out
}

// commentFields are in the order in which JSON has them.
var commentFields = []field{
	{name: "id", number: 1},
	{name: "uid", number: 2},
	{name: "name", number: 9},
	{name: "role", number: 10, form: formName, names: roleNames},
	{name: "text", number: 3},
	{name: "ts", number: 4, form: formNumber},
	{name: "color", number: 5, form: formPresentNumber},
	{name: "mode", number: 6, form: formName, names: modeNames},
	{name: "size", number: 7, form: formName, names: sizeNames},
	{name: "kind", number: 8, form: formName, names: kindNames},
	{name: "op", number: 16, form: formNumber},
	{name: "data", number: 17, form: formBase64},
	{name: "gift", number: 12},
	{name: "num", number: 13, form: formNumber},
	{name: "price", number: 14, form: formNumber},
	{name: "duration_s", number: 15, form: formNumber},
	{name: "count", number: 11, form: formPresentNumber},
	{name: "left_s", number: 32, form: formNumber},
}

var settingsFields = []field{
	{name: "closed", number: 1, form: formFlag},
	{name: "slow_mode_ms", number: 2, form: formNumber},
	{name: "min_role", number: 3, form: formName, names: roleNames},
}

// toViewer is the message ToViewer.
var toViewer = field{fields: []field{
	{name: "batch", number: 1, form: formMessage, fields: []field{
		{name: "room", number: 1},
		{name: "seq", number: 2, form: formNumber},
		{name: "ts", number: 3, form: formNumber},
		{name: "online", number: 4, form: formPresentNumber},
		{name: "likes", number: 5, form: formNumber},
		{name: "sampled", number: 6, form: formNumber},
		{name: "comments", number: 7, form: formMessages, fields: commentFields},
		{name: "settings", number: 8, form: formMessage, fields: settingsFields},
	}},
	{name: "welcome", number: 2, form: formMessage, fields: []field{
		{name: "room", number: 1},
		{name: "epoch", number: 2},
		{name: "seq", number: 3, form: formNumber},
		{name: "tick_ms", number: 4, form: formNumber},
		{name: "online", number: 5, form: formNumber},
		{name: "uid", number: 6},
		{name: "name", number: 7},
		{name: "role", number: 8, form: formName, names: roleNames},
		{name: "resumed", number: 9, form: formPresentFlag},
		{name: "degraded", number: 10, form: formFlag},
		{name: "settings", number: 11, form: formMessage, fields: settingsFields},
		{name: "superchats", number: 12, form: formMessages, fields: commentFields},
		{name: "history", number: 13, form: formMessages, fields: commentFields},
	}},
	{name: "ack", number: 3, form: formMessage, fields: []field{
		{name: "ref", number: 1},
		{name: "id", number: 2},
	}},
	{name: "error", number: 4, form: formMessage, fields: []field{
		{name: "ref", number: 1},
		{name: "code", number: 2},
		{name: "message", number: 3},
		{name: "retry_after_ms", number: 4, form: formNumber},
	}},
	{name: "skipped", number: 5, form: formMessage, fields: []field{
		{name: "from", number: 1, form: formNumber},
		{name: "to", number: 2, form: formNumber},
		{name: "batches", number: 3, form: formNumber},
		{name: "comments", number: 4, form: formNumber},
		{name: "settings", number: 5, form: formMessage, fields: settingsFields},
	}},
	{name: "pong", number: 6, form: formMessage, fields: []field{
		{name: "ref", number: 1},
	}},
	{name: "goodbye", number: 7, form: formMessage, fields: []field{
		{name: "reason", number: 1},
		{name: "retry_after_ms", number: 2, form: formNumber},
		{name: "host", number: 3},
	}},
}}

// sanctionFields are of mute, ban and shadow.
var sanctionFields = []field{
	{name: "user", number: 1},
	{name: "reason", number: 2},
	{name: "seconds", number: 3, form: formNumber},
}

// fromViewer is the message FromViewer, but for its ref.
var fromViewer = field{fields: []field{
	{name: "comment", number: 1, form: formMessage, fields: []field{
		{name: "text", number: 1},
		{name: "color", number: 2, form: formPresentNumber},
		{name: "mode", number: 3, form: formName, names: modeNames},
		{name: "size", number: 4, form: formName, names: sizeNames},
	}},
	{name: "like", number: 2, form: formMessage, fields: []field{{name: "count", number: 1, form: formPresentNumber}}},
	{name: "switch", number: 3, form: formMessage, fields: []field{{name: "room", number: 1}}},
	{name: "token", number: 4, form: formMessage, fields: []field{{name: "token", number: 1}}},
	{name: "ping", number: 5, form: formMessage},
	{name: "mute", number: 16, form: formMessage, fields: sanctionFields},
	{name: "ban", number: 17, form: formMessage, fields: sanctionFields},
	{name: "shadow", number: 18, form: formMessage, fields: sanctionFields},
	{name: "lift", number: 19, form: formMessage, fields: []field{{name: "user", number: 1}}},
	{name: "kick", number: 20, form: formMessage, fields: []field{{name: "user", number: 1}, {name: "reason", number: 2}}},
	{name: "retract", number: 21, form: formMessage, fields: []field{{name: "id", number: 1}}},
	{name: "clear", number: 22, form: formMessage},
	{name: "settings", number: 23, form: formMessage, fields: []field{
		{name: "closed", number: 1, form: formPresentFlag},
		{name: "slow_mode_ms", number: 2, form: formPresentNumber},
		{name: "min_role", number: 3, form: formName, names: roleNames, present: true},
	}},
}}

const refNumber = 15 // FromViewer.ref
