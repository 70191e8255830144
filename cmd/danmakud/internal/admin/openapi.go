package admin

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// operation is a route in the OpenAPI document.
type operation struct {
	ID          string                   `json:"operationId"`
	Tags        []string                 `json:"tags"`
	Summary     string                   `json:"summary"`
	Description string                   `json:"description,omitempty"`
	Role        string                   `json:"x-role"`
	Security    []map[string][]string    `json:"security"`
	Parameters  []parameter              `json:"parameters,omitempty"`
	Body        *content                 `json:"requestBody,omitempty"`
	Responses   map[string]*responseSpec `json:"responses"`
}

type parameter struct {
	Name        string  `json:"name"`
	In          string  `json:"in"`
	Required    bool    `json:"required,omitempty"`
	Description string  `json:"description"`
	Schema      *schema `json:"schema"`
}

type content struct {
	Required bool             `json:"required"`
	Content  map[string]media `json:"content"`
}

type responseSpec struct {
	Description string           `json:"description"`
	Content     map[string]media `json:"content,omitempty"`
}

type media struct {
	Schema *schema `json:"schema,omitempty"`
}

// document prints the routes as an OpenAPI 3.1 document.
func document(routes []*route, components map[string]*schema, version string) []byte {
	if version == "" {
		version = "unversioned"
	}
	paths := map[string]map[string]operation{}
	for _, rt := range routes {
		if rt.hidden {
			continue
		}
		if paths[rt.path] == nil {
			paths[rt.path] = map[string]operation{}
		}
		paths[rt.path][strings.ToLower(rt.method)] = rt.operation()
	}
	text, err := json.MarshalIndent(map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{
			"title": "danmakud control API", "version": version,
			"description": "Publish, moderate and watch rooms. x-role is the least role of a key; without keys the API answers callers on the same host only.",
		},
		"servers": []map[string]string{{"url": "/"}},
		"paths":   paths,
		"components": map[string]any{
			"schemas":         components,
			"securitySchemes": map[string]any{"key": map[string]string{"type": "http", "scheme": "bearer"}},
		},
	}, "", " ")
	if err != nil {
		panic(err) // it is made of the table alone
	}
	return text
}

func (rt *route) operation() operation {
	op := operation{ID: rt.id(), Tags: []string{rt.tag}, Summary: rt.summary, Description: rt.detail, Role: rt.role.String(),
		Security: []map[string][]string{}, Responses: map[string]*responseSpec{}}
	if rt.role != Anybody {
		op.Security = append(op.Security, map[string][]string{"key": {}})
	}
	for _, p := range rt.params {
		op.Parameters = append(op.Parameters, parameter{p.name, p.in, p.must, p.doc, p.is})
	}
	if rt.once {
		key := matching(`^[ -~]{1,255}$`, "")
		op.Parameters = append(op.Parameters, parameter{idempotency, "header", false,
			"the same key and body get the same answer for ten minutes, without doing it again", key})
	}
	if rt.body != nil {
		op.Body = &content{true, map[string]media{"application/json": {rt.body}}}
	}
	if rt.bytes {
		op.Body = &content{false, map[string]media{"application/octet-stream": {}}}
	}
	for _, status := range rt.statuses() {
		op.Responses[strconv.Itoa(status)] = rt.response(status)
	}
	return op
}

// id is the name of the operation: getRoomsHistory.
func (rt *route) id() string {
	id := strings.ToLower(rt.method)
	for _, segment := range rt.segments {
		word := strings.Trim(segment, "{}.")
		if word == "" || word == "v1" {
			continue
		}
		if strings.HasPrefix(segment, "{") {
			word = "by" + strings.ToUpper(word[:1]) + word[1:]
		}
		word = strings.Map(func(r rune) rune {
			if unicode.IsLetter(r) || unicode.IsDigit(r) {
				return r
			}
			return -1
		}, word)
		id += strings.ToUpper(word[:1]) + word[1:]
	}
	return id
}

// statuses are all that the route can answer: what it says itself, and what follows
// from its caller, parameters and body.
func (rt *route) statuses() []int {
	set := map[int]bool{rt.status: true}
	for _, status := range rt.also {
		set[status] = true
	}
	if rt.role != Anybody {
		for _, status := range []int{401, 403, 500, 503} {
			set[status] = true
		}
		set[400] = rt.raw == nil // which checks nothing before
	}
	if rt.body != nil {
		for _, status := range []int{408, 413, 415} {
			set[status] = true
		}
	}
	if rt.once {
		set[409], set[422] = true, true
	}
	maps.DeleteFunc(set, func(_ int, can bool) bool { return !can })
	return slices.Sorted(maps.Keys(set))
}

func (rt *route) response(status int) *responseSpec {
	r := &responseSpec{Description: http.StatusText(status)}
	switch {
	case status == rt.status && rt.answer != nil:
		r.Content = map[string]media{"application/json": {rt.answer}}
	case status == http.StatusNoContent:
	case status == rt.status || rt.role == Anybody:
		r.Content = map[string]media{}
		for _, kind := range rt.media {
			r.Content[kind] = media{&schema{Type: "string"}}
		}
	default:
		r.Content = map[string]media{"application/problem+json": {&schema{Ref: "#/components/schemas/Problem"}}}
	}
	return r
}
