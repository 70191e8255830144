package main

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Several nodes that share their rooms: what each has sealed is held against what was
// said on all.

// farSuffix is behind the name of a latency window: of comments of other nodes.
const farSuffix = " from other nodes"

// said is a comment in a batch.
type said struct {
	stampKey
	intended int64  // microseconds
	id       uint64 // fingerprint of its id
}

const saidBytes = 24

func encodeSaid(list []said) []byte {
	var p []byte
	for _, s := range list {
		p = binary.LittleEndian.AppendUint32(p, s.sender)
		p = binary.LittleEndian.AppendUint32(p, s.sequence)
		p = binary.LittleEndian.AppendUint64(p, uint64(s.intended))
		p = binary.LittleEndian.AppendUint64(p, s.id)
	}
	return p
}

func decodeSaid(p []byte) (list []said) {
	for ; len(p) >= saidBytes; p = p[saidBytes:] {
		list = append(list, said{
			stampKey: stampKey{binary.LittleEndian.Uint32(p), binary.LittleEndian.Uint32(p[4:])},
			intended: int64(binary.LittleEndian.Uint64(p[8:])), id: binary.LittleEndian.Uint64(p[16:]),
		})
	}
	return list
}

// stay is a viewer's time on one node.
type stay struct {
	Node    int         `json:"n"`
	Welcome uint64      `json:"w"`
	Next    uint64      `json:"x"`
	Batches int64       `json:"f"`
	Bytes   int64       `json:"b"`
	Deflate bool        `json:"d,omitempty"`
	Skips   []skipRange `json:"k,omitempty"`
}

// span is a time between two moments of nowMicros.
type span struct{ from, to int64 }

func (s span) has(at int64) bool { return at >= s.from && at < s.to }

// nodeView is what is known of a node at the end.
type nodeView struct {
	plan    *plan
	results []*fleetResult
	gone    bool // it was killed or drained: what it said last may be nowhere else
	late    bool // it came when things had been said already
}

// clusterJudgement is what all nodes add up to.
type clusterJudgement struct {
	Comments  int64 // said, and heard by all nodes that stayed
	Batches   int64 // over all nodes
	Unheard   int64 // deliveries to nodes that failed for want of a bus
	WithNode  int64 // said to a node that ended before it told anybody
	Moved     int64 // viewers who have been on several nodes
	SeenTwice int64 // comments that a viewer got again on its next node, and passed over by id
	Told      int64 // comments that viewers who moved were told they missed
	Faults    faults
}

// heard is one room on one node: what is in its batches.
type heard struct {
	truth *roomTruth
	said  map[uint64][]said // by batch
	last  map[uint32]uint32 // by sender: the highest sequence
	first map[uint32]uint32
	ids   map[stampKey]uint64

	watched bool  // the node has a viewer there to the end
	unseen  int64 // batches that none of its verified viewers got: each was passed over, and told
}

// judgeCluster holds the nodes against each other. outage is when there was no bus.
func judgeCluster(nodes []nodeView, outage span) *clusterJudgement {
	c := &clusterJudgement{}
	rooms := nodes[0].plan.Rooms
	logs := make([][]*heard, len(nodes))
	for n := range nodes {
		logs[n] = gather(&nodes[n])
		for _, h := range logs[n] {
			c.Batches += int64(len(h.said))
		}
	}
	for room := range rooms {
		c.room(nodes, logs, room, outage)
	}
	for n := range nodes {
		c.travellers(nodes, logs, n, outage)
	}
	return c
}

// gather reads what a node has sealed.
func gather(v *nodeView) []*heard {
	var scratch judgement
	all := make([]*heard, v.plan.Rooms)
	truths := scratch.collect(v.plan, v.results) // what it finds wrong judge has found, too
	for i := range all {
		all[i] = &heard{truth: truths[i], unseen: truths[i].unknown[len(truths[i].batches)], said: map[uint64][]said{}, last: map[uint32]uint32{}, first: map[uint32]uint32{}, ids: map[stampKey]uint64{}}
	}
	for _, r := range v.results {
		for i := range r.Viewers {
			if r.Viewers[i].Stays == nil {
				all[v.plan.roomOf(r.Viewers[i].Viewer)].watched = true
			}
		}
		for _, room := range r.Rooms {
			h := all[room.Room]
			for _, b := range room.Batches {
				if h.said[b.Seq] != nil {
					continue
				}
				h.said[b.Seq] = decodeSaid(b.Said)
				for _, s := range h.said[b.Seq] {
					h.ids[s.stampKey] = s.id
					h.last[s.sender] = max(h.last[s.sender], s.sequence)
					if first, ok := h.first[s.sender]; !ok || s.sequence < first {
						h.first[s.sender] = s.sequence
					}
				}
			}
		}
	}
	return all
}

// room compares what all nodes have of a room.
func (c *clusterJudgement) room(nodes []nodeView, logs [][]*heard, room int, outage span) {
	top, sent := map[uint32]uint32{}, int64(0) // what must be everywhere, by sender
	when := map[stampKey]int64{}
	ids := map[stampKey]uint64{}
	for n := range nodes {
		for _, r := range nodes[n].results {
			for _, w := range r.Rooms {
				if w.Room == room {
					sent += w.Sent - w.Errors
				}
			}
		}
		h := logs[n][room]
		if !nodes[n].gone {
			for sender, last := range h.last {
				top[sender] = max(top[sender], last)
			}
		}
		for _, batch := range h.said {
			for _, s := range batch {
				when[s.stampKey] = s.intended
				if id, ok := ids[s.stampKey]; ok && id != s.id {
					c.Faults.add(faultRepeated, 1, "room %d: comment %d of sender %d has one id on a node and another on node %d", room, s.sequence, s.sender, n)
				}
				ids[s.stampKey] = s.id
			}
		}
	}
	known := int64(0)
	ended := false
	for _, last := range top {
		known += int64(last)
	}
	for n := range nodes {
		ended = ended || nodes[n].gone
	}
	c.Comments += known
	switch missing := sent - known; {
	case missing > 0 && ended:
		c.WithNode += missing
	case missing > 0:
		c.Faults.add(faultLost, missing, "room %d: %d comments were taken and are in no batch", room, missing)
	case missing < 0:
		c.Faults.add(faultRepeated, -missing, "room %d: %d comments where %d were said", room, known, sent)
	}
	for n := range nodes {
		c.complete(&nodes[n], logs[n][room], n, room, top, when, outage)
	}
}

// complete checks that a node has all that was said in a room while it was there. Where
// its verified viewers were passed over nobody knows what was in those batches.
func (c *clusterJudgement) complete(v *nodeView, h *heard, n, room int, top map[uint32]uint32, when map[stampKey]int64, outage span) {
	if len(h.said) == 0 && !h.watched {
		return
	}
	for sender, last := range top {
		first := uint32(1)
		if v.late {
			if first = h.first[sender]; first == 0 {
				first = last + 1 // it may have come after the sender's last
			}
		}
		if v.gone {
			last = h.last[sender]
		}
		for sequence := first; sequence <= last; sequence++ {
			k := stampKey{sender, sequence}
			if _, ok := h.ids[k]; ok {
				continue
			}
			if at, ok := when[k]; ok && !v.plan.local(sender) && outage.has(at) {
				c.Unheard++
				continue
			}
			if h.unseen > 0 {
				c.Faults.add(faultUnverifiable, 1, "room %d: comment %d of sender %d may have been in one of node %d's %d batches that no verified viewer was quick enough for", room, sequence, sender, n, h.unseen)
				continue
			}
			c.Faults.add(faultLost, 1, "room %d: comment %d of sender %d is not in node %d's batches", room, sequence, sender, n)
		}
	}
}

// travellers judges the viewers of a fleet who have been on several nodes: each batch of
// every stay, and that all stays together have every comment.
func (c *clusterJudgement) travellers(nodes []nodeView, logs [][]*heard, n int, outage span) {
	covers := map[string]covered{} // by stays
	for _, r := range nodes[n].results {
		for i := range r.Viewers {
			w := &r.Viewers[i]
			if w.Stays == nil {
				continue
			}
			c.Moved++
			room := nodes[n].plan.roomOf(w.Viewer)
			key := fmt.Sprint(room)
			for at := range w.Stays {
				s := &w.Stays[at]
				c.stay(w, s, logs[s.Node][room].truth, at == len(w.Stays)-1)
				key += fmt.Sprint(" ", s.Node, s.Welcome, s.Next, s.Skips)
			}
			all, ok := covers[key]
			if !ok {
				all = cover(nodes, logs, room, w.Stays, outage)
				covers[key] = all
			}
			c.Told += all.told
			if all.missing > 0 {
				kind := faultLost
				if slices.ContainsFunc(logs, func(on []*heard) bool { return on[room].unseen > 0 }) {
					kind = faultUnverifiable
				}
				c.Faults.add(kind, 1, "viewer %d of node %d: something is in none of the batches that it got on its nodes", w.Viewer, n)
				continue
			}
			c.SeenTwice += all.twice
		}
	}
}

// stay judges a viewer's time on one node: delivered + skipped is sealed, byte for byte.
func (c *clusterJudgement) stay(w *viewerResult, s *stay, t *roomTruth, last bool) {
	due := t.span(s.Welcome+1, s.Next-1, s.Deflate)
	sealed := int64(s.Next - 1 - s.Welcome)
	for _, k := range s.Skips {
		e := t.span(k.From, k.To, s.Deflate)
		due.bytes -= e.bytes
		due.known = due.known && e.known
		sealed -= int64(k.To - k.From + 1)
	}
	if tail := int64(t.last) - int64(s.Next-1); last && !w.Gone && tail > 0 {
		c.Faults.add(faultLost, tail, "viewer %d on node %d: the last %d batches did not come", w.Viewer, s.Node, tail)
	}
	if s.Batches != sealed {
		c.Faults.add(faultAccount, 1, "viewer %d on node %d: %d batches delivered where %d were sealed and not skipped", w.Viewer, s.Node, s.Batches, sealed)
	}
	switch {
	case !due.known:
		c.Faults.add(faultUnverifiable, 1, "viewer %d on node %d: no verified viewer saw all of its batches", w.Viewer, s.Node)
	case due.bytes != s.Bytes:
		c.Faults.add(faultBytes, 1, "viewer %d on node %d got %d bytes of batches where %d were due", w.Viewer, s.Node, s.Bytes, due.bytes)
	}
}

// covered is what all stays of a viewer together had, in comments.
type covered struct {
	twice   int64 // were in the batches of more than one stay, counted for each but the first
	told    int64 // were in batches alone that it was told it missed
	missing int64 // are in none
}

// cover holds all stays of a viewer against what the nodes have. What was said while
// there was no bus may be missing.
func cover(nodes []nodeView, logs [][]*heard, room int, stays []stay, outage span) (all covered) {
	got, told := map[stampKey]int64{}, map[stampKey]bool{}
	for _, s := range stays {
		h := logs[s.Node][room]
		for seq := s.Welcome + 1; seq < s.Next; seq++ {
			skipped := slices.ContainsFunc(s.Skips, func(k skipRange) bool { return seq >= k.From && seq <= k.To })
			for _, x := range h.said[seq] {
				if skipped {
					told[x.stampKey] = true
				} else {
					got[x.stampKey]++
				}
			}
		}
	}
	missing := map[stampKey]bool{}
	for n := range nodes {
		if nodes[n].gone {
			continue
		}
		for _, batch := range logs[n][room].said {
			for _, x := range batch {
				if got[x.stampKey] == 0 && !told[x.stampKey] && !outage.has(x.intended) {
					missing[x.stampKey] = true
				}
			}
		}
	}
	for k := range told {
		if got[k] == 0 {
			all.told++
		}
	}
	for _, n := range got {
		all.twice += n - 1
	}
	all.missing = int64(len(missing))
	return all
}
