package main

import (
	"testing"
)

func TestPlanSharesViewersOut(t *testing.T) {
	t.Parallel()
	for _, p := range []plan{
		{Rooms: 1, Viewers: 5000, Senders: 100, Verified: 100},
		{Rooms: 1000, Viewers: 10000, Senders: 1000, Verified: 200},
		{Rooms: 7, Viewers: 50, Senders: 14, Verified: 50, Stallers: 10},
		{Rooms: 3, Viewers: 10, Verified: 0},
	} {
		if err := p.validate(); err == nil {
			t.Errorf("%+v: accepted without sources", p)
		}
		p.Sources = 1
		if err := p.validate(); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
		verifiedIn := make([]int, p.Rooms)
		longest, since := 0, 0
		for i := range p.Viewers {
			if p.levelOf(i) == verified {
				verifiedIn[p.roomOf(i)]++
				since = 0
			} else if since++; since > longest {
				longest = since
			}
			if p.sends(i) && p.levelOf(i) == counted {
				t.Errorf("%+v: sender %d would not see errors", p, i)
			}
			if p.stalls(i) && p.levelOf(i) != verified {
				t.Errorf("%+v: staller %d is not verified", p, i)
			}
		}
		for room, n := range verifiedIn {
			if n == 0 {
				t.Errorf("%+v: nobody verifies room %d", p, room)
			}
		}
		if p.Verified > 0 && longest > p.Viewers/p.Verified {
			t.Errorf("%+v: %d viewers in a row are not verified", p, longest)
		}
		if p.verifiedCount() < p.Verified {
			t.Errorf("%+v: %d verified", p, p.verifiedCount())
		}
	}
}

func TestPlanRefusesTheImpossible(t *testing.T) {
	t.Parallel()
	for _, p := range []plan{
		{Rooms: 5, Viewers: 4, Sources: 1},
		{Rooms: 0, Viewers: 4, Sources: 1},
		{Rooms: 1, Viewers: 4, Senders: 3, Stallers: 2, Sources: 1},
		{Rooms: 1, Viewers: 4, Sources: 300},
	} {
		if p.validate() == nil {
			t.Errorf("%+v was accepted", p)
		}
	}
}
