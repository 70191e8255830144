package plan

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// The plan's formulas against a simulation that has nodes, rooms, ticks and single
// comments, and counts what it sends.

// simulated is what was counted, each a second.
type simulated struct{ frames, deliveries, payload, messages, delivered float64 }

// event is something that happens to a room on a node.
type event struct {
	at         float64
	kind       int // arrives, speaks, seals, hears
	node, room int
	comments   int
}

const (
	arrives = iota
	speaks
	hears
	seals
)

type agenda []event

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].at < a[j].at }
func (a agenda) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)        { *a = append(*a, x.(event)) }
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

// simRoom is a room on a node: what is to be sealed, and what is to be said to others.
type simRoom struct {
	viewers           int
	pending, outgoing int
	sealed, spoken    float64 // when last
}

const busDelay = 0.001 // seconds

// simulate runs a load. aligned has ticks end together on all nodes, as the server does
// where there are several; else they end a tick after the one before.
func simulate(l Load, v values, nodes int, lasting float64, aligned bool) simulated {
	r := rand.New(rand.NewPCG(7, uint64(nodes)))
	on := make([][]simRoom, nodes)
	hearing := make([][]bool, nodes) // by shard
	for i := range on {
		on[i], hearing[i] = make([]simRoom, l.Rooms), make([]bool, l.Shards)
		for j := range on[i] {
			on[i][j].sealed, on[i][j].spoken = math.Inf(-1), math.Inf(-1)
		}
	}
	where := make([]int, l.Viewers) // node
	for i := range where {
		where[i] = r.IntN(nodes)
		on[where[i]][i%l.Rooms].viewers++
		hearing[where[i]][i%l.Rooms%l.Shards] = true
	}
	tick := l.Tick.Seconds()
	due := func(now, last float64) float64 {
		if math.IsInf(last, -1) {
			return now
		}
		next := last + tick
		if aligned {
			next = math.Ceil((last+tick/2)/tick) * tick
		}
		return max(now, next)
	}
	var n simulated
	var todo agenda
	next := r.ExpFloat64() / l.Rate
	for now := 0.0; now < lasting; {
		if len(todo) == 0 || next < todo[0].at {
			now = next
			next += r.ExpFloat64() / l.Rate
			who := r.IntN(l.Viewers)
			heap.Push(&todo, event{now, arrives, where[who], who % l.Rooms, 1})
			continue
		}
		e := heap.Pop(&todo).(event)
		now = e.at
		room := &on[e.node][e.room]
		switch e.kind {
		case arrives:
			if room.outgoing == 0 && nodes > 1 {
				heap.Push(&todo, event{due(now, room.spoken), speaks, e.node, e.room, 0})
			}
			room.outgoing++
			fallthrough
		case hears:
			if room.viewers == 0 {
				continue
			}
			if room.pending == 0 {
				heap.Push(&todo, event{due(now, room.sealed), seals, e.node, e.room, 0})
			}
			room.pending += e.comments
		case speaks:
			n.messages++
			for other := range on {
				if other != e.node && hearing[other][e.room%l.Shards] {
					n.delivered++
					heap.Push(&todo, event{now + busDelay, hears, other, e.room, room.outgoing})
				}
			}
			room.spoken, room.outgoing = now, 0
		case seals:
			shown := min(room.pending, int(max(1, (v[BudgetBytes]-v[BatchBytes])/v[CommentBytes])))
			plain := v[BatchBytes] + float64(shown)*v[CommentBytes]
			small := plain
			if plain >= v[CompressionMin] {
				small /= v[CompressionRatio]
			}
			n.frames += float64(room.viewers)
			n.deliveries += float64(room.viewers * shown)
			n.payload += float64(room.viewers) * (v[CompressedShare]*small + (1-v[CompressedShare])*plain)
			room.sealed, room.pending = now, 0
		}
	}
	return simulated{n.frames / lasting, n.deliveries / lasting, n.payload / lasting, n.messages / lasting, n.delivered / lasting}
}

// TestPlanAgainstSimulation: frames, deliveries, bytes and bus messages are what the
// simulation counts.
func TestPlanAgainstSimulation(t *testing.T) {
	for _, tc := range []struct {
		name    string
		load    Load
		budget  float64
		share   float64
		seconds float64
	}{
		{"one busy room", Load{Viewers: 3000, Rate: 1000, Rooms: 1, Nodes: 3, Tick: 100 * time.Millisecond}, 256 << 10, 1, 60},
		{"a node by itself", Load{Viewers: 500, Rate: 300, Rooms: 1, Nodes: 1, Tick: 100 * time.Millisecond}, 256 << 10, 0.5, 60},
		{"over the budget", Load{Viewers: 3000, Rate: 2000, Rooms: 1, Nodes: 4, Tick: 200 * time.Millisecond}, 16 << 10, 1, 60},
		{"nodes that seldom speak", Load{Viewers: 4000, Rate: 60, Rooms: 1, Nodes: 20, Tick: 100 * time.Millisecond}, 256 << 10, 1, 300},
		{"quiet rooms", Load{Viewers: 6000, Rate: 200, Rooms: 600, Nodes: 3, Tick: 100 * time.Millisecond}, 256 << 10, 0, 200},
		{"rooms that are not on all nodes", Load{Viewers: 2000, Rate: 2000, Rooms: 1000, Nodes: 8, Tick: 100 * time.Millisecond}, 256 << 10, 1, 30},
		{"long ticks", Load{Viewers: 5000, Rate: 1000, Rooms: 5, Nodes: 6, Tick: time.Second}, 256 << 10, 1, 300},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.load.Shards = 256
			list := Assumptions()
			for i := range list {
				switch list[i].Name {
				case BudgetBytes:
					list[i].Value = tc.budget
				case CompressedShare:
					list[i].Value = tc.share
				}
			}
			p, err := Make(tc.load, list)
			if err != nil {
				t.Fatal(err)
			}
			v, _ := newValues(list)
			for _, aligned := range []bool{false, true} {
				s := simulate(tc.load, v, p.Nodes, tc.seconds, aligned)
				near := func(what string, planned, counted, within float64) {
					t.Helper()
					t.Logf("aligned %5t %-14s planned %12.1f/s, simulated %12.1f/s, x%.3f", aligned, what, planned, counted, planned/counted)
					if math.Abs(planned-counted) > within*counted {
						t.Errorf("%s: planned %.1f/s, simulated %.1f/s", what, planned, counted)
					}
				}
				near("frames", p.Total.Frames, s.frames, 0.03)
				near("deliveries", p.Total.Deliveries, s.deliveries, 0.03)
				near("payload", p.Total.Frames*p.Batch.WireBytes, s.payload, 0.03)
				near("bus messages", p.Bus.Messages-p.Bus.Reports, s.messages, 0.03)
				near("bus deliveries", p.Bus.Delivered-p.Bus.Reports*float64(p.Nodes-1), s.delivered, 0.03)
				if bound := p.Bus.Bound * 1.1; s.messages > bound {
					t.Errorf("%.1f bus messages/s, more than nodes x rooms x ticks/s x 1.1 = %.1f", s.messages, bound)
				}
			}
		})
	}
}
