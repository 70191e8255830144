package conformance

import (
	"bytes"
	"cmp"
	"compress/flate"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestConformanceMemory runs the table on wsproto alone: as it is sent, byte by
// byte, and in reads of 7 bytes, each with and without looks into frames that
// are not complete. What only the server must pass is run with its upgrader.
func TestConformanceMemory(t *testing.T) {
	echo, serve := new(Memory), &Memory{On: Serve}
	runs, failed := 0, 0
	for i := range Cases() {
		c := &Cases()[i]
		memory := echo
		if c.On&Echo == 0 {
			memory = serve
		}
		size := len(c.request("/"))
		for _, step := range c.Steps {
			size += len(step.Send)
		}
		for _, chop := range []int{0, 7, 1, c.Chop} {
			if chop > 0 && size/chop > 4000 {
				continue // byte by byte, a session walks again what it has
			}
			for _, peek := range []bool{true, false} {
				if !peek && c.wantsPeek() {
					continue
				}
				runs++
				if err := memory.Run(c, chop, peek); err != nil {
					failed++
					t.Errorf("%s %s (RFC %s), reads of %d bytes, peek %v: %v", c.Number, c.Name, c.Rule, chop, peek, err)
				}
			}
		}
	}
	t.Logf("%d runs in memory, %d failed", runs, failed)
	for _, l := range Summary(Cases()) {
		t.Log(l)
	}
}

// wantsPeek reports whether a text must be failed inside a frame.
func (c *Case) wantsPeek() bool {
	return c.Group() == "6" && strings.Contains(c.Name, "half a") || strings.Contains(c.Name, "in writes of 1021")
}

// TestNumbers: each number is one case, and the groups are those that are named.
func TestNumbers(t *testing.T) {
	seen := make(map[string]string)
	for _, c := range Cases() {
		if other, twice := seen[c.Number]; twice {
			t.Errorf("%s is %q and %q", c.Number, other, c.Name)
		}
		seen[c.Number] = c.Name
		if Groups[c.Group()] == "" || c.Name == "" || c.Rule == "" || c.On == 0 {
			t.Errorf("%+v is not complete", c.Number)
		}
	}
	if len(seen) < 500 {
		t.Errorf("only %d cases", len(seen))
	}
}

// TestInflate compares the inflater of this package with the standard library,
// and lets it see a window that is too small.
func TestInflate(t *testing.T) {
	var random []byte
	for i := range 5000 {
		random = strconv.AppendInt(random, int64(i)*7919%1000, 36)
	}
	for _, plain := range [][]byte{nil, []byte("a"), filled(300), bytes.Repeat([]byte{0}, 100_000), random} {
		for _, level := range []int{flate.NoCompression, flate.BestSpeed, flate.BestCompression, flate.HuffmanOnly} {
			var b bytes.Buffer
			w, err := flate.NewWriter(&b, level)
			if err != nil {
				t.Fatal(err)
			}
			w.Write(plain)
			w.Flush()
			got, err := inflate(b.Bytes(), 1<<15)
			if err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%d bytes at level %d: %d bytes, %v", len(plain), level, len(got), err)
			}
		}
	}
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	w.Write(append(slices.Clone(random[:1000]), random[:1000]...))
	w.Flush()
	if _, err := inflate(b.Bytes(), 1<<9); err == nil || !strings.Contains(err.Error(), "distance") {
		t.Errorf("a distance of 1000 in a window of 512: %v", err)
	}
	if _, err := inflate(b.Bytes(), 1<<10); err != nil {
		t.Errorf("a distance of 1000 in a window of 1024: %v", err)
	}
}

// TestNumbersInOrder: the table is in the order of its numbers.
func TestNumbersInOrder(t *testing.T) {
	key := func(c Case) []int {
		var list []int
		for part := range strings.SplitSeq(c.Number, ".") {
			n, err := strconv.Atoi(part)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, n)
		}
		return list
	}
	if !slices.IsSortedFunc(Cases(), func(a, b Case) int { return cmp.Or(slices.Compare(key(a), key(b)), 0) }) {
		t.Error("not in order")
	}
}
