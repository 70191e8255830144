package main

import (
	"math"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestCorpusSeedRepeats(t *testing.T) {
	a, b, other := NewCorpus(7), NewCorpus(7), NewCorpus(8)
	differs := 0
	for i := range 5000 {
		x := a.Next()
		if y := b.Next(); x != y {
			t.Fatalf("draw %d: %q and %q from the same seed", i, x, y)
		}
		if x != other.Next() {
			differs++
		}
	}
	if differs < 2500 {
		t.Errorf("another seed differs in %d of 5000 draws only", differs)
	}
}

// The shape that is asked for: median 6, mean 9, p95 24, p99 40, at most 100 code points.
func TestCorpusLengths(t *testing.T) {
	c := NewCorpus(1)
	lengths := make([]int, 100_000)
	sum, bytes := 0, 0
	for i := range lengths {
		s := c.Next()
		lengths[i] = utf8.RuneCountInString(s)
		sum += lengths[i]
		bytes += len(s)
	}
	slices.Sort(lengths)
	at := func(q float64) int { return lengths[int(q*float64(len(lengths)))] }
	mean := float64(sum) / float64(len(lengths))
	t.Logf("median %d mean %.2f p95 %d p99 %d max %d, %.1f bytes on average",
		at(0.5), mean, at(0.95), at(0.99), lengths[len(lengths)-1], float64(bytes)/float64(len(lengths)))
	for _, c := range []struct {
		name           string
		got, want, off float64
	}{
		{name: "median", got: float64(at(0.5)), want: 6, off: 0},
		{name: "mean", got: mean, want: 9, off: 1},
		{name: "p95", got: float64(at(0.95)), want: 24, off: 3},
		{name: "p99", got: float64(at(0.99)), want: 40, off: 5},
	} {
		if math.Abs(c.got-c.want) > c.off {
			t.Errorf("%s is %.2f, want %.0f ± %.0f", c.name, c.got, c.want, c.off)
		}
	}
	if lengths[0] < 1 || lengths[len(lengths)-1] > maxCommentRunes {
		t.Errorf("lengths from %d to %d", lengths[0], lengths[len(lengths)-1])
	}
}

func TestCorpusTextIsClean(t *testing.T) {
	c := NewCorpus(2)
	for range 50_000 {
		s := c.Next()
		if !utf8.ValidString(s) || s != strings.TrimSpace(s) || strings.ContainsAny(s, "\"\\\u00a0\u2028\u2029<>&") ||
			strings.ContainsFunc(s, unicode.IsControl) {
			t.Fatalf("%q", s)
		}
	}
}

// Kinds are mixed as asked for, and a quarter to a half repeats something said
// in the last thousand comments, as in a busy room.
func TestCorpusMixAndRepeats(t *testing.T) {
	c := NewCorpus(3)
	const n = 50_000
	var digits, latin, repeats int
	last := make([]string, 1000)
	recent := map[string]int{}
	for i := range n {
		s := c.Next()
		switch {
		case !strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune("0123456789. ", r) }):
			digits++
		case !strings.ContainsFunc(s, func(r rune) bool { return r > 127 }):
			latin++
		}
		if recent[s] > 0 {
			repeats++
		}
		slot := &last[i%len(last)]
		if recent[*slot]--; recent[*slot] <= 0 {
			delete(recent, *slot)
		}
		*slot = s
		recent[s]++
	}
	t.Logf("digits %.1f %%, Latin %.1f %%, repeats %.1f %%", 100.0*float64(digits)/n, 100.0*float64(latin)/n, 100.0*float64(repeats)/n)
	if digits < n*5/100 || digits > n*9/100 {
		t.Errorf("%d of %d are digits", digits, n)
	}
	if latin < n*4/100 || latin > n*8/100 {
		t.Errorf("%d of %d are Latin", latin, n)
	}
	if repeats < n*25/100 || repeats > n*50/100 {
		t.Errorf("%d of %d repeat one of the last thousand", repeats, n)
	}
}

func TestCorpusPhrases(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range NewCorpus(0).kinds {
		for _, p := range k.phrases {
			if seen[p.text] {
				t.Errorf("%q stands there twice", p.text)
			}
			seen[p.text] = true
			if p.runes != utf8.RuneCountInString(p.text) || p.runes > maxCommentRunes {
				t.Errorf("%q: %d runes", p.text, p.runes)
			}
		}
	}
	if len(seen) < 300 {
		t.Errorf("%d phrases, want 300 or more", len(seen))
	}
	t.Logf("%d phrases", len(seen))
}

func BenchmarkCorpusNext(b *testing.B) {
	c := NewCorpus(1)
	b.ReportAllocs()
	for b.Loop() {
		c.Next()
	}
}
