package main

import (
	"fmt"
	"slices"
)

// Viewers who lose their node and come to another, where they go on. Owned by the loop
// goroutine.

// journey is a viewer who has been on another node.
type journey struct {
	stays []stay // those that are over
	epoch string // of the last
	since uint64
	after string // greatest id it has
	node  int    // where it goes, or is
	left  int64  // microseconds: when it lost its node
}

// query is what it asks for to resume, in the form of handshake.request. nil is who
// comes for the first time.
func (j *journey) query() string {
	if j == nil {
		return ""
	}
	query := fmt.Sprintf("&since=%d&epoch=%s", j.since, j.epoch)
	if j.after != "" {
		query += "&after=" + j.after
	}
	return query
}

// logAt is the log of a room on a node.
func (f *fleet) logAt(room, node int) *roomLog { return f.loop.rooms[f.plan.logName(room, node)] }

// moveOn takes note of what a viewer had, whose connection is over, and sends it to
// another node: the one it was told, or the next.
func (v *viewer) moveOn(err error, now int64) {
	f := v.fleet
	v.moved = true
	j := f.away[v.number]
	if j == nil {
		j = &journey{}
		f.away[v.number] = j
	}
	j.stays = append(j.stays, v.stay())
	j.epoch, j.since, j.left = v.epoch, v.seq.next-1, now
	j.after = max(j.after, v.room.newestUpTo(v.seq.next-1))
	j.node = v.node
	switch at := slices.Index(f.plan.Nodes, v.host); {
	case at >= 0:
		j.node = at
		f.outcomes["told where to go"]++
	default:
		f.goElsewhere(v.number)
		f.outcomes["lost: "+outcomeOf(err)]++
	}
	f.comeBack(v.number, now+1000*v.retryAfter)
}

// goElsewhere has a viewer try the next node.
func (f *fleet) goElsewhere(number int) {
	j := f.away[number]
	if n := len(f.plan.Nodes); j != nil && n > 1 {
		j.node = (j.node + 1) % n
		if j.node == f.plan.Node && n > 1 { // not where it came from
			j.node = (j.node + 1) % n
		}
	}
}

// welcomedBack takes note of how a viewer came to its new node.
func (f *fleet) welcomedBack(v *viewer, resumed bool) {
	if !resumed {
		f.faults.add(faultLost, 1, "viewer %d: node %d does not let it resume after %s", v.number, v.node, f.away[v.number].after)
	}
	f.outcomes["came back"]++
	record(f.backDelays, nowMicros()-f.away[v.number].left)
}

// stay is the account of a viewer's connection so far.
func (v *viewer) stay() stay {
	return stay{Node: v.node, Welcome: v.welcome, Next: v.seq.next, Batches: v.batches, Bytes: v.bytes, Skips: v.skips, Deflate: v.deflate}
}

// stays are all of a viewer who has been on several nodes.
func (f *fleet) stays(v *viewer) []stay {
	j := f.away[v.number]
	if j == nil {
		return nil
	}
	return append(slices.Clone(j.stays), v.stay())
}

// newestUpTo is the greatest id in the last batches up to one.
func (l *roomLog) newestUpTo(seq uint64) (newest string) {
	const back = 32 // ids of later batches may be smaller, but not of batches this far apart
	for n := range uint64(back) {
		if n > seq {
			break
		}
		if r := l.batches[seq-n]; r != nil {
			newest = max(newest, r.newest)
		}
	}
	return newest
}
