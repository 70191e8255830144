package main

import (
	"slices"
	"testing"
)

func TestSequence(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		in   []uint64
		want []arrival
		lost int64
	}{
		{"in order", []uint64{5, 6, 7}, []arrival{0, 0, 0}, 0},
		{"gap", []uint64{5, 8}, []arrival{arrivedInOrder, arrivedAfterGap}, 2},
		{"swap", []uint64{6, 5, 7}, []arrival{arrivedAfterGap, arrivedLate, arrivedInOrder}, 0},
		{"again", []uint64{5, 5}, []arrival{arrivedInOrder, arrivedAgain}, 0},
		{"late and again", []uint64{7, 6, 6}, []arrival{arrivedAfterGap, arrivedLate, arrivedAgain}, 1},
		{"older than the start", []uint64{4}, []arrival{arrivedAgain}, 0},
		{"wild", []uint64{1 << 40, 1<<40 + 1}, []arrival{arrivedWild, arrivedInOrder}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := sequence{next: 5}
			var got []arrival
			for _, n := range c.in {
				got = append(got, s.take(n))
			}
			if !slices.Equal(got, c.want) || s.lost() != c.lost {
				t.Errorf("%v with %d lost, want %v with %d", got, s.lost(), c.want, c.lost)
			}
		})
	}
}

func TestSequenceExcuse(t *testing.T) {
	t.Parallel()
	s := sequence{next: 5}
	if !s.excuse(5, 7) || s.next != 8 {
		t.Errorf("a skip that is next in line: next %d", s.next)
	}
	if s.take(10); !s.excuse(8, 9) || s.lost() != 0 {
		t.Error("a notice behind the batch that follows it")
	}
	for _, r := range [][2]uint64{{5, 7}, {9, 12}, {13, 14}, {4, 3}, {11, 1 << 40}} {
		s := sequence{next: 11}
		if s.excuse(r[0], r[1]) {
			t.Errorf("%d to %d was accepted where 11 is next and nothing is missing", r[0], r[1])
		}
	}
}

func TestSequenceCostsNothingInOrder(t *testing.T) {
	s := sequence{}
	n := uint64(0)
	if a := testing.AllocsPerRun(1000, func() { s.take(n); n++ }); a != 0 {
		t.Errorf("%v allocations", a)
	}
}
