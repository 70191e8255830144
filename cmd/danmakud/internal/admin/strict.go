package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"
)

// depthMax is how deep a body may be nested; ours have four levels.
const depthMax = 16

// parseStrict reads one JSON value as maps, slices, strings, bools, nil and
// json.Number. Unlike the package below it refuses what a reader could understand in
// two ways: members that stand twice, data after the value, bad UTF-8.
func parseStrict(data []byte) (any, *problem) {
	if !utf8.Valid(data) {
		return nil, invalid("", "the body is not UTF-8")
	}
	var whole json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) && len(bytes.TrimSpace(data)) > 0 {
			return nil, invalid("", "the body is not JSON, at byte %d: %v", syntax.Offset, syntax)
		}
		return nil, invalid("", "the body is not JSON: it is empty or cut off")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return parseValue(d, "", 0)
}

// parseValue reads the next value of a valid text.
func parseValue(d *json.Decoder, path string, depth int) (any, *problem) {
	token, err := d.Token()
	if err != nil {
		return nil, invalid(path, "the body is not JSON: %v", err)
	}
	open, nested := token.(json.Delim)
	if !nested {
		return token, nil
	}
	if depth == depthMax {
		return nil, invalid(path, "is nested too deep")
	}
	if open == '[' {
		return parseArray(d, path, depth+1)
	}
	return parseObject(d, path, depth+1)
}

func parseArray(d *json.Decoder, path string, depth int) (any, *problem) {
	list := []any{}
	for d.More() {
		v, p := parseValue(d, indexed(path, len(list)), depth)
		if p != nil {
			return nil, p
		}
		list = append(list, v)
	}
	return list, closing(d)
}

func parseObject(d *json.Decoder, path string, depth int) (any, *problem) {
	object := map[string]any{}
	for d.More() {
		token, err := d.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return nil, invalid(path, "the body is not JSON")
		}
		if _, twice := object[name]; twice {
			return nil, invalid(member(path, name), "stands twice")
		}
		v, p := parseValue(d, member(path, name), depth)
		if p != nil {
			return nil, p
		}
		object[name] = v
	}
	return object, closing(d)
}

// closing takes the bracket at the end.
func closing(d *json.Decoder) *problem {
	if _, err := d.Token(); err != nil && err != io.EOF {
		return invalid("", "the body is not JSON: %v", err)
	}
	return nil
}

// member is the path of a member, shortened so that answers stay readable.
func member(path, name string) string {
	const nameMax = 64
	if len(name) > nameMax {
		name = name[:nameMax] + "…"
		name = string(bytes.ToValidUTF8([]byte(name), nil))
	}
	if path == "" {
		return name
	}
	return path + "." + name
}
