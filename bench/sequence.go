package main

// sequence follows numbers that should rise by one: the batches at one viewer,
// or the comments of one sender. It tells loss, repetition and reordering
// apart: a number that was jumped over is missing until it comes late.
type sequence struct {
	next    uint64              // expected now
	missing map[uint64]struct{} // jumped over and not seen since; nil while all is well
}

// arrival is what a number turned out to be.
type arrival uint8

const (
	arrivedInOrder  arrival = iota
	arrivedAfterGap         // numbers before it are missing now
	arrivedLate             // it was missing: reordered
	arrivedAgain            // it had been here already
	arrivedWild             // so far ahead that the gap is not listed
)

// take judges the next number. No allocation while all is in order.
func (s *sequence) take(n uint64) arrival {
	switch {
	case n == s.next:
		s.next++
		return arrivedInOrder
	case n < s.next:
		if _, ok := s.missing[n]; ok {
			delete(s.missing, n)
			return arrivedLate
		}
		return arrivedAgain
	case n-s.next > maxGap:
		s.next = n + 1
		return arrivedWild
	}
	if s.missing == nil {
		s.missing = map[uint64]struct{}{}
	}
	for ; s.next < n; s.next++ {
		s.missing[s.next] = struct{}{}
	}
	s.next++
	return arrivedAfterGap
}

// excuse takes the numbers from..to out of what is due, because the server
// said that it left them out. False: some of them had been delivered, or the
// range is not next in line.
func (s *sequence) excuse(from, to uint64) bool {
	if from > to || to-from > maxGap || from > s.next {
		return false
	}
	right := true
	for n := from; n <= to; n++ {
		if n == s.next {
			s.next++
		} else if _, ok := s.missing[n]; ok {
			delete(s.missing, n) // the notice came behind a later batch
		} else {
			right = false
		}
	}
	return right
}

// lost is how many numbers are missing up to the last one that came.
func (s *sequence) lost() int64 { return int64(len(s.missing)) }
