package admin

import (
	"regexp"
	"strings"
	"testing"
)

// TestDocument: what a table alone cannot promise.
func TestDocument(t *testing.T) {
	a := testAPI(newFake(), Options{Version: "v1.2.3"})
	s := readSpec(t, a, "")
	ids := map[string]string{}
	for path, methods := range s.Paths {
		for method, op := range methods {
			where := method + " " + path
			if other := ids[op.ID]; other != "" || !regexp.MustCompile(`^[a-z]+[A-Za-z]+$`).MatchString(op.ID) {
				t.Errorf("%s: the operation is called %q, like %q", where, op.ID, other)
			}
			ids[op.ID] = where
			var inPath []string
			for _, p := range op.Parameters {
				if p.In == "path" {
					inPath = append(inPath, "{"+p.Name+"}")
				}
			}
			if got := regexp.MustCompile(`\{[^}]*\}`).FindAllString(path, -1); strings.Join(got, "") != strings.Join(inPath, "") {
				t.Errorf("%s: the path has %q, the parameters %q", where, got, inPath)
			}
			if _, err := ParseRole(op.Role); err != nil && op.Role != "anybody" {
				t.Errorf("%s: %v", where, err)
			}
		}
	}
	if len(ids) < 35 {
		t.Errorf("only %d operations", len(ids))
	}
}

// TestDescriptions: every field that a caller gives is described, and no description
// is left of one that has gone.
func TestDescriptions(t *testing.T) {
	routes, components := buildRoutes()
	for name, s := range components {
		for field, of := range s.Properties {
			if s.Closed && of.Description == "" {
				t.Errorf("%s.%s is not described", name, field)
			}
		}
	}
	for key := range described {
		name, field, _ := strings.Cut(key, ".")
		if s := components[name]; s == nil || s.Properties[field] == nil {
			t.Errorf("%s is described and is not there", key)
		}
	}
	for _, rt := range routes {
		if rt.summary == "" && !rt.hidden {
			t.Errorf("%s %s has no summary", rt.method, rt.path)
		}
		for _, p := range rt.params {
			if p.doc == "" {
				t.Errorf("%s %s: %s is not described", rt.method, rt.path, p.name)
			}
		}
	}
}

// TestSettingsPatch: whatever can be set of a room can be set over the API.
func TestSettingsPatch(t *testing.T) {
	_, components := buildRoutes()
	for field := range components["RoomSettings"].Properties {
		if components["SettingsPatch"].Properties[field] == nil {
			t.Errorf("%s cannot be changed", field)
		}
	}
}
