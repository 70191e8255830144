package admin

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// schema is what of JSON Schema (2020-12) the API needs. The same value is printed
// into the OpenAPI document and checks what comes in, so that the two cannot differ.
type schema struct {
	Ref         string             `json:"$ref,omitempty"`
	Description string             `json:"description,omitempty"`
	Type        string             `json:"type,omitempty"`
	Format      string             `json:"format,omitempty"`
	Pattern     string             `json:"pattern,omitempty"`
	Enum        []string           `json:"enum,omitempty"`
	Default     any                `json:"default,omitempty"`
	Minimum     *int64             `json:"minimum,omitempty"`
	Maximum     *int64             `json:"maximum,omitempty"`
	MinLength   *int               `json:"minLength,omitempty"`
	MaxLength   *int               `json:"maxLength,omitempty"`
	MinItems    *int               `json:"minItems,omitempty"`
	MaxItems    *int               `json:"maxItems,omitempty"`
	Items       *schema            `json:"items,omitempty"`
	Properties  map[string]*schema `json:"properties,omitempty"`
	Required    []string           `json:"required,omitempty"`
	// Values are the values of an object with any members; Closed one with only
	// those named. Both become additionalProperties.
	Values *schema   `json:"-"`
	Closed bool      `json:"-"`
	OneOf  []*schema `json:"oneOf,omitempty"`

	target *schema // of Ref
	regexp *regexp.Regexp
	rule   string // Pattern in words
}

// MarshalJSON adds what Values and Closed mean.
func (s *schema) MarshalJSON() ([]byte, error) {
	type plain schema
	out := struct {
		*plain
		Additional any `json:"additionalProperties,omitempty"`
	}{plain: (*plain)(s)}
	if s.Values != nil {
		out.Additional = s.Values
	} else if s.Closed {
		out.Additional = json.RawMessage("false")
	}
	return json.Marshal(out)
}

// matching is a string with a pattern, which rule says in words.
func matching(pattern, rule string) *schema {
	return &schema{Type: "string", Pattern: pattern, regexp: regexp.MustCompile(pattern), rule: rule}
}

func integer(lo, hi int64) *schema {
	return &schema{Type: "integer", Minimum: &lo, Maximum: &hi}
}

func oneOf(names ...string) *schema { return &schema{Type: "string", Enum: names} }

// or has otherwise be what counts when the value is left out.
func (s *schema) or(otherwise any) *schema {
	s.Default = otherwise
	return s
}

// check says what is wrong with a value that parseStrict has read, or nil. strict
// refuses members that are not named even where the schema lets them be.
func (s *schema) check(path string, v any, strict bool) *problem {
	switch {
	case s.target != nil:
		return s.target.check(path, v, strict)
	case s.OneOf != nil:
		return s.likeliest(v).check(path, v, strict)
	case s.Type == "":
		return nil
	}
	switch v := v.(type) {
	case map[string]any:
		if s.Type == "object" {
			return s.checkObject(path, v, strict)
		}
	case []any:
		if s.Type == "array" {
			return s.checkArray(path, v, strict)
		}
	case string:
		if s.Type == "string" {
			return s.checkText(path, v)
		}
	case json.Number:
		if s.Type == "integer" || s.Type == "number" {
			return s.checkNumber(path, v)
		}
	case bool:
		if s.Type == "boolean" {
			return nil
		}
	}
	return invalid(path, "want %s, got %s", article(s.Type), article(typeOf(v)))
}

// likeliest is the alternative that v was most probably meant to be: the one that
// knows most of its members, those it must have counted first.
func (s *schema) likeliest(v any) *schema {
	object, _ := v.(map[string]any)
	best, most := s.OneOf[0], -1
	for _, alternative := range s.OneOf {
		known := 0
		of := alternative
		if of.target != nil {
			of = of.target
		}
		for name := range object {
			if of.Properties[name] != nil {
				known++
			}
			if slices.Contains(of.Required, name) {
				known += len(object)
			}
		}
		if known > most {
			best, most = alternative, known
		}
	}
	return best
}

func (s *schema) checkObject(path string, object map[string]any, strict bool) *problem {
	names := make([]string, 0, len(object))
	for name := range object {
		names = append(names, name)
	}
	slices.Sort(names) // so that the same body gets the same answer
	for _, name := range names {
		of := s.Properties[name]
		if of == nil {
			of = s.Values
		}
		if of == nil {
			if s.Closed || strict {
				return invalid(member(path, name), "is no field here")
			}
			continue
		}
		if p := of.check(member(path, name), object[name], strict); p != nil {
			return p
		}
	}
	for _, name := range s.Required {
		if _, ok := object[name]; !ok {
			return invalid(member(path, name), "is missing")
		}
	}
	return nil
}

func (s *schema) checkArray(path string, list []any, strict bool) *problem {
	if s.MinItems != nil && len(list) < *s.MinItems || s.MaxItems != nil && len(list) > *s.MaxItems {
		return invalid(path, "want %s elements, got %d", span(s.MinItems, s.MaxItems), len(list))
	}
	for i, v := range list {
		if p := s.Items.check(indexed(path, i), v, strict); p != nil {
			return p
		}
	}
	return nil
}

func (s *schema) checkText(path, text string) *problem {
	n := utf8.RuneCountInString(text)
	switch {
	case s.Enum != nil && !slices.Contains(s.Enum, text):
		return invalid(path, "want one of %s", strings.Join(s.Enum, ", "))
	case s.MinLength != nil && n < *s.MinLength, s.MaxLength != nil && n > *s.MaxLength:
		return invalid(path, "want %s characters, got %d", span(s.MinLength, s.MaxLength), n)
	case s.regexp != nil && !s.regexp.MatchString(text):
		return invalid(path, "%s", s.rule)
	case s.Format == "date-time" && !isTime(text):
		return invalid(path, "want a time such as 2026-01-31T20:15:00Z")
	}
	return nil
}

func (s *schema) checkNumber(path string, text json.Number) *problem {
	if s.Type == "number" {
		if f, err := text.Float64(); err != nil || math.IsInf(f, 0) {
			return invalid(path, "is too large a number")
		}
		return nil
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if u, uerr := strconv.ParseUint(string(text), 10, 64); err != nil && uerr == nil && s.Maximum == nil {
		n, err = int64(min(u, math.MaxInt64)), nil
	}
	if err != nil || s.Minimum != nil && n < *s.Minimum || s.Maximum != nil && n > *s.Maximum {
		return invalid(path, "want a whole number%s", span(s.Minimum, s.Maximum, " "))
	}
	return nil
}

// span says between what a number must be.
func span[T int | int64](lo, hi *T, before ...string) string {
	text := strings.Join(before, "")
	switch {
	case lo != nil && hi != nil:
		return fmt.Sprintf("%s%d to %d", text, *lo, *hi)
	case lo != nil:
		return fmt.Sprintf("%sof at least %d", text, *lo)
	case hi != nil:
		return fmt.Sprintf("%sof at most %d", text, *hi)
	}
	return ""
}

func indexed(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func typeOf(v any) string {
	switch v := v.(type) {
	case map[string]any:
		return "object"
	case []any:
		return "array"
	case string:
		return "string"
	case bool:
		return "boolean"
	case json.Number:
		if strings.ContainsAny(string(v), ".eE") {
			return "number"
		}
		return "integer"
	}
	return "null"
}

// article is the type in words.
func article(kind string) string {
	switch kind {
	case "null":
		return "null"
	case "boolean":
		return "true or false"
	case "integer":
		return "a whole number"
	case "object", "array":
		return "an " + kind
	}
	return "a " + kind
}
