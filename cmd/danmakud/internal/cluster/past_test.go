package cluster

import (
	"fmt"
	"testing"

	"github.com/danmakud/danmakud/room"
)

// idOf is that of a comment of a node, said so many milliseconds after wall.
func idOf(number uint16, ms int) uint64 {
	return (uint64(wall-1_767_225_600_000+ms)<<8)<<16 | uint64(number)
}

func spoken(number uint16, ms int, kind room.Kind, target uint64) room.Heard {
	c := room.Comment{UID: 5, Text: fmt.Sprint("at ", ms), Color: room.ColorDefault, Kind: kind, Target: target}
	return room.Heard{Comment: c, ID: idOf(number, ms), Wall: wall + int64(ms)}
}

// texts are those of the comments, in order.
func texts(all []Past) (list []string) {
	for _, p := range all {
		for i := range p.Heard {
			list = append(list, p.Heard[i].Comment.Text)
		}
	}
	return list
}

// What JetStream has comes back once, by time, and not if it was taken back, whichever
// node's message came there first.
func TestPastOf(t *testing.T) {
	chat := func(number uint16, ms int) room.Heard { return spoken(number, ms, room.KindChat, 0) }
	retract := func(number uint16, ms int, target uint64) room.Heard {
		return spoken(number, ms, room.KindRetract, target)
	}
	for name, tc := range map[string]struct {
		heard []room.Heard
		newer []Past
		most  int
		want  string
	}{
		"nothing":                   {nil, nil, 9, "[]"},
		"by time":                   {[]room.Heard{chat(1, 5), chat(1, 9), chat(2, 3), chat(2, 7)}, nil, 9, "[at 3 at 5 at 7 at 9]"},
		"once":                      {[]room.Heard{chat(1, 5), chat(2, 6), chat(1, 5)}, nil, 9, "[at 5 at 6]"},
		"the newest":                {[]room.Heard{chat(1, 5), chat(2, 4), chat(1, 7)}, nil, 2, "[at 5 at 7]"},
		"taken back":                {[]room.Heard{chat(1, 5), chat(1, 6), retract(2, 9, idOf(1, 5))}, nil, 9, "[at 6]"},
		"taken back before it came": {[]room.Heard{retract(2, 9, idOf(1, 5)), chat(1, 5), chat(1, 6)}, nil, 9, "[at 6]"},
		"by a clock that is behind": {[]room.Heard{chat(1, 5), retract(2, 1, idOf(1, 5))}, nil, 9, "[]"},
		"cleared":                   {[]room.Heard{chat(1, 5), chat(2, 6), retract(1, 8, 0), chat(1, 9)}, nil, 9, "[at 9]"},
		"cleared before it came":    {[]room.Heard{retract(1, 8, 0), chat(2, 6), chat(1, 9)}, nil, 9, "[at 9]"},
		"cleared, a clock ahead":    {[]room.Heard{chat(2, 99), retract(1, 8, 0), chat(1, 9)}, nil, 9, "[at 9]"},
		"cleared twice":             {[]room.Heard{chat(2, 1), retract(1, 8, 0), chat(1, 9), retract(1, 12, 0), chat(1, 13)}, nil, 9, "[at 13]"},
		"for no history":            {[]room.Heard{spoken(1, 5, room.KindData, 0), spoken(1, 6, room.KindGift, 0)}, nil, 9, "[at 6]"},
		"another node has some": {[]room.Heard{chat(1, 5), chat(2, 6), chat(1, 7), chat(2, 8)},
			[]Past{{Heard: []room.Heard{{Comment: room.Comment{Kind: room.KindRetract, Target: 3}}, chat(2, 7)}}}, 9, "[at 5 at 6 at 7]"},
	} {
		if got := fmt.Sprint(texts(pastOf(tc.heard, tc.newer, tc.most))); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
	var many []room.Heard
	for i := range 3*pastComments + 5 {
		many = append(many, chat(1, i))
	}
	all := pastOf(many, nil, 1000)
	if len(all) != 4 || len(all[3].Heard) != 5 || all[0].Sealed != wall+pastComments-1 {
		t.Errorf("%d batches, the first of %d", len(all), all[0].Sealed)
	}
}

func FuzzKeptTick(f *testing.F) {
	f.Add(tickOf(said(7, 0, 3), 1, 3, 256), uint64(3))
	f.Add(tickOf(said(7, 0, 300), 1, 300, 256), uint64(0))
	n, _ := bare()
	f.Fuzz(func(t *testing.T, p []byte, target uint64) {
		heard := append(n.keptTick(p, "r"), spoken(3, 7, room.KindRetract, target))
		known := map[uint64]bool{}
		for _, past := range pastOf(heard, nil, 50) {
			for i := range past.Heard {
				if id := past.Heard[i].ID; known[id] || target == id {
					t.Fatalf("%d came back", id)
				} else {
					known[id] = true
				}
			}
		}
	})
}
