package strictjson

import (
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"testing"
)

func nested(open, end string, n int) string {
	return strings.Repeat(open, n) + strings.Repeat(end, n)
}

func TestCheck(t *testing.T) {
	for _, tc := range []struct {
		text string
		deep bool
		ok   bool
	}{
		{`{"type":"ping"}`, false, true},
		{`{"type":"ping"`, false, false},
		{`{"a":01}`, false, false},
		{nested("[", "]", DepthMax), false, true},
		{nested("[", "]", DepthMax+1), true, false},
		{nested(`{"a":[`, `]}`, DepthMax/2), false, true},
		{nested(`{"a":[`, `]}`, DepthMax/2+1), true, false},
		{strings.Repeat("[", 4000), true, false},
		{strings.Repeat(`{"a":`, 800), true, false},
		{`["` + strings.Repeat(`[`, 1000) + `"]`, false, true},     // in a text they are no brackets
		{`["\"` + strings.Repeat(`{`, 1000) + `\\"]`, false, true}, // wherever it ends
		{`["\\"` + strings.Repeat(`,[`, 1000), true, false},        // and behind it they are
		{"[" + strings.Repeat("[],", 1000) + "{}]", false, true},   // many, none in another
		{"\"\b\"", false, false},
		{"[\"\\b\b\"]", false, false},
		{"{\"\n\\n\":1}", false, false}, // which the validator takes
		{"{\n\"\\n\":1}", false, true},
		{strings.Repeat(`]`, 1000) + strings.Repeat("[", 100), false, false}, // below nothing
	} {
		err := Check([]byte(tc.text))
		if errors.Is(err, ErrDeep) != tc.deep || (err == nil) != tc.ok {
			t.Errorf("%.40s… (%d bytes): %v", tc.text, len(tc.text), err)
		}
	}
}

// TestNestingCostsNothing: what fails deep inside makes no error of errors.
func TestNestingCostsNothing(t *testing.T) {
	for _, open := range []string{"[", `{"a":`, `[{"a":`, `[[],`} {
		text := []byte(strings.Repeat(open, 1<<16/len(open)))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if Check(text) == nil {
			t.Errorf("%q, not closed, is taken", open)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%q takes %d bytes of memory to refuse", open, n)
		}
	}
}

func TestCheckAllocatesNothing(t *testing.T) {
	text := []byte(`{"type":"comment","text":"[前方高能]{666}","color":255}`)
	if n := testing.AllocsPerRun(100, func() {
		if err := Check(text); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzCheck: what is taken is JSON to the standard library, too, and not deep.
func FuzzCheck(f *testing.F) {
	for _, seed := range []string{`{"a":[1,"\\\"[",null]}`, "\"\b\\b\"", nested("[", "]", 70), `["\u12`, `{"":-0.1e5}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if Check(text) == nil && !json.Valid(text) {
			t.Fatalf("%q is taken", text)
		}
	})
}
