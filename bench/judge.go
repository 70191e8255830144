package main

import (
	"slices"
)

// judgement is what all workers' views of a steady fleet add up to.
type judgement struct {
	Viewers  int64 // that joined
	Verified int64
	Expected Counts
	Received Counts
	Sent     int64            // comments
	Errors   map[string]int64 // answers to senders, by code
	Sampled  int64            // comments the server said it left out
	Skips    map[string]int64
	Faults   faults
	Joined   int64
	Failed   int64
	Stayed   int64 // viewers whose connection was open at the end

	// Of fleets whose viewers return.
	Outcomes map[string]int64
	Epochs   map[string]int64
	Closings map[int64]int64

	Batches  int64 // distinct, over all rooms: how many were sealed
	Deflated int64 // of those, how many came compressed to viewers that take it
	Inflated int64 // frames that the workers inflated; all others were compared with them
}

// roomTruth is one room as all workers together saw it: the batches by
// sequence, with sums in front so that any range is one subtraction.
type roomTruth struct {
	first    uint64 // seq of index 0
	batches  []batchResult
	known    []bool
	sizes    []int64 // sums of plain frames, one longer than batches
	wires    []int64 // sums of the frames that viewers with compression get
	comments []int64
	unknown  []int64
	unpacked []int64 // batches whose compressed frame nobody looked at
	last     uint64  // highest batch that anybody saw or was told of
	sent     int64
	errors   int64
	sampled  int64
	distinct int64
}

// judge puts the results of all workers together and decides what was right.
// Everything is exact: no tolerance anywhere.
func judge(p *plan, results []*fleetResult) *judgement {
	v := &judgement{
		Errors: map[string]int64{}, Skips: map[string]int64{},
		Outcomes: map[string]int64{}, Epochs: map[string]int64{}, Closings: map[int64]int64{},
	}
	for _, r := range results {
		v.Faults.merge(r.Faults)
		v.Joined += r.Status.Joins
		v.Failed += int64(r.Status.Failed)
		v.Sent += r.Status.Sent
		v.Inflated += r.Status.Inflated
		addCounts(v.Errors, r.Codes)
		addCounts(v.Outcomes, r.Outcomes)
		addCounts(v.Epochs, r.Epochs)
		addCounts(v.Closings, r.Closings)
	}
	truths := v.collect(p, results)
	if p.Speaks == speaksRelay {
		for _, r := range results {
			v.Received.Comments += r.Status.Distinct
		}
	}
	for _, t := range truths {
		if p.Nodes != nil {
			t.sent = t.distinct + t.errors + t.sampled // what is due there judgeCluster decides
		}
		v.Sampled += t.sampled
		v.Expected.Comments += t.sent - t.errors
		v.Received.Comments += t.distinct
	}
	for _, r := range results {
		for i := range r.Viewers {
			w := &r.Viewers[i]
			v.Viewers++
			if w.Level == verified {
				v.Verified++
			}
			if !w.Gone {
				v.Stayed++
			}
			if w.Stays != nil {
				continue // judgeCluster does
			}
			switch p.Speaks {
			case speaksDanmaku, speaksPackets:
				v.viewer(w, truths[p.roomOf(w.Viewer)])
			case speaksRelay:
				v.relayViewer(w, truths[p.roomOf(w.Viewer)])
			}
		}
	}
	return v
}

func addCounts[K comparable](to, from map[K]int64) {
	for k, n := range from {
		to[k] += n
	}
}

// collect merges the rooms of all workers and checks that they agree.
func (v *judgement) collect(p *plan, results []*fleetResult) []*roomTruth {
	truths := make([]*roomTruth, p.Rooms)
	for i := range truths {
		truths[i] = &roomTruth{}
	}
	bySeq := make([]map[uint64]batchResult, p.Rooms)
	for _, r := range results {
		for _, room := range r.Rooms {
			t := truths[room.Room]
			t.sent += room.Sent
			t.errors += room.Errors
			if bySeq[room.Room] == nil {
				bySeq[room.Room] = map[uint64]batchResult{}
			}
			for _, b := range room.Batches {
				other, ok := bySeq[room.Room][b.Seq]
				if ok && other.Wire > 0 && b.Wire > 0 && (other.Wire != b.Wire || other.WireSum != b.WireSum) {
					v.Faults.add(faultCorrupt, 1, "room %s batch %d is compressed differently for viewers of other worker processes", p.room(room.Room), b.Seq)
				}
				if ok && b.Wire == 0 {
					b.Wire, b.WireSum = other.Wire, other.WireSum
				}
				if ok && (other.Size != b.Size || other.Sum != b.Sum) {
					v.Faults.add(faultCorrupt, 1, "room %s batch %d differs between worker processes", p.room(room.Room), b.Seq)
				}
				bySeq[room.Room][b.Seq] = b
			}
		}
		for i := range r.Viewers {
			w := &r.Viewers[i]
			if (p.Speaks == speaksDanmaku || p.Speaks == speaksPackets) && w.Stays == nil {
				truths[p.roomOf(w.Viewer)].stretch(w)
			}
		}
	}
	for i, t := range truths {
		t.lay(bySeq[i])
		v.Batches += int64(len(bySeq[i]))
		for _, b := range bySeq[i] {
			if b.WireSum != 0 {
				v.Deflated++
			}
		}
	}
	return truths
}

// stretch makes the room reach from the first to the last batch of a viewer.
func (t *roomTruth) stretch(w *viewerResult) {
	if t.first == 0 || w.Welcome+1 < t.first {
		t.first = w.Welcome + 1
	}
	if w.Next > 0 {
		t.last = max(t.last, w.Next-1)
	}
	t.last = max(t.last, w.Welcome)
}

// lay orders the batches and adds them up.
func (t *roomTruth) lay(bySeq map[uint64]batchResult) {
	for seq, b := range bySeq {
		t.last = max(t.last, seq)
		if t.first == 0 || seq < t.first {
			t.first = seq
		}
		t.sampled += b.Sampled
		t.distinct += int64(b.Comments)
	}
	n := 0
	if t.last >= t.first && t.last-t.first < maxGap*4 {
		n = int(t.last - t.first + 1)
	}
	t.batches = make([]batchResult, n)
	t.sizes, t.comments, t.unknown = make([]int64, n+1), make([]int64, n+1), make([]int64, n+1)
	t.wires, t.unpacked = make([]int64, n+1), make([]int64, n+1)
	for i := range n {
		b, ok := bySeq[t.first+uint64(i)]
		t.batches[i] = b
		t.sizes[i+1] = t.sizes[i] + int64(b.Size)
		t.comments[i+1] = t.comments[i] + int64(b.Comments)
		t.unknown[i+1] = t.unknown[i]
		if !ok {
			t.unknown[i+1]++
		}
		t.wires[i+1] = t.wires[i] + int64(b.Wire)
		t.unpacked[i+1] = t.unpacked[i]
		if b.Wire == 0 {
			t.unpacked[i+1]++
		}
	}
}

// extent is what a range of batches adds up to.
type extent struct {
	bytes    int64 // of frames as the viewer gets them
	plain    int64 // of the same frames uncompressed
	comments int64
	known    bool // false if no verified viewer saw all of them
}

// span adds up the batches from..to for a viewer with or without compression.
func (t *roomTruth) span(from, to uint64, deflate bool) extent {
	if from > to {
		return extent{known: true}
	}
	if from < t.first || to-t.first >= uint64(len(t.batches)) {
		return extent{}
	}
	a, b := from-t.first, to-t.first+1
	e := extent{plain: t.sizes[b] - t.sizes[a], comments: t.comments[b] - t.comments[a], known: t.unknown[b] == t.unknown[a]}
	e.bytes = e.plain
	if deflate {
		e.bytes = t.wires[b] - t.wires[a]
		e.known = e.known && t.unpacked[b] == t.unpacked[a]
	}
	return e
}

// viewer judges one viewer: delivered + skipped = sealed, byte for byte.
func (v *judgement) viewer(w *viewerResult, t *roomTruth) {
	if w.Gone {
		return // that it was closed has been counted; there is no end to judge by
	}
	sealed := int64(t.last - w.Welcome)
	due := t.span(w.Welcome+1, t.last, w.Deflate)
	skipped, toldComments := v.skips(w, t, &due)
	bytes, comments, known := due.bytes, due.comments, due.known
	v.Expected.Frames += sealed - skipped
	v.Expected.Bytes += bytes
	v.Expected.PlainBytes += due.plain
	v.Expected.Deliveries += comments - toldComments
	v.Received.Bytes += w.Bytes
	v.Received.PlainBytes += scaled(due.plain, w.Bytes, bytes)
	if w.Level != counted {
		v.Received.Frames += w.Batches
		v.accountFramed(w, t, sealed, skipped)
	}
	if w.Level == verified {
		v.Received.Deliveries += w.Comments
		if said := t.sent - t.errors - t.sampled; w.Early && w.Comments+toldComments != said {
			v.difference(w, "comments", w.Comments, said-toldComments)
		}
	} else if !known {
		v.Faults.add(faultUnverifiable, 1, "viewer %d: no verified viewer saw all of its batches", w.Viewer)
		return
	}
	if known && w.Bytes != bytes {
		v.Faults.add(faultBytes, 1, "viewer %d got %d bytes of batches where %d were due (%+d)", w.Viewer, w.Bytes, bytes, w.Bytes-bytes)
		if w.Level == framed {
			v.Received.Deliveries += scaled(comments-toldComments, w.Bytes, bytes)
		}
	} else if w.Level == framed {
		v.Received.Deliveries += comments - toldComments
	}
	if w.Level == counted {
		v.Received.Frames += scaled(sealed-skipped, w.Bytes, bytes)
		v.Received.Deliveries += scaled(comments-toldComments, w.Bytes, bytes)
	}
}

// scaled is n when all bytes came, and the share of it that did otherwise.
func scaled(n, bytes, due int64) int64 {
	if bytes == due || due <= 0 {
		return n
	}
	return int64(float64(n) * float64(bytes) / float64(due))
}

// skips checks a viewer's notices against what the batches held, and takes
// their bytes off what was due.
func (v *judgement) skips(w *viewerResult, t *roomTruth, due *extent) (batches, comments int64) {
	for _, s := range w.Skips {
		e := t.span(s.From, s.To, w.Deflate)
		batches += int64(s.To - s.From + 1)
		comments += s.Comments
		due.bytes -= e.bytes
		due.plain -= e.plain
		switch {
		case !e.known:
			v.Skips["notices_unverifiable"]++
		case e.comments != s.Comments:
			v.Faults.add(faultSkip, 1, "viewer %d was told of %d comments in batches %d to %d, which hold %d", w.Viewer, s.Comments, s.From, s.To, e.comments)
		}
	}
	if len(w.Skips) > 0 {
		v.Skips["viewers"]++
		v.Skips["notices"] += int64(len(w.Skips))
		v.Skips["batches"] += batches
		v.Skips["comments"] += comments
	}
	return batches, comments
}

// accountFramed holds the promise of section 4 of the protocol against a
// viewer that saw every batch's sequence.
func (v *judgement) accountFramed(w *viewerResult, t *roomTruth, sealed, skipped int64) {
	if tail := int64(t.last + 1 - w.Next); tail > 0 {
		v.Faults.add(faultLost, tail, "viewer %d: the last %d batches did not come (up to %d)", w.Viewer, tail, t.last)
	}
	if w.Batches+skipped != sealed {
		v.Faults.add(faultAccount, 1, "viewer %d: %d delivered + %d skipped where %d were sealed", w.Viewer, w.Batches, skipped, sealed)
	}
}

// relayViewer judges a viewer of the floor's relay: all comments, each once.
func (v *judgement) relayViewer(w *viewerResult, t *roomTruth) {
	v.Expected.Frames += t.sent
	v.Expected.Deliveries += t.sent
	v.Received.Frames += w.Batches
	v.Received.Deliveries += w.Comments
	v.Received.Bytes += w.Bytes
	v.Expected.Bytes += w.Bytes
	v.Received.PlainBytes += w.Bytes
	v.Expected.PlainBytes += w.Bytes
	if w.Comments != t.sent && !w.Gone {
		v.difference(w, "comments", w.Comments, t.sent)
	}
}

// difference names a number of comments that is not the one due.
func (v *judgement) difference(w *viewerResult, what string, got, due int64) {
	if got < due {
		v.Faults.add(faultLost, due-got, "viewer %d: %d %s of %d", w.Viewer, got, what, due)
		return
	}
	v.Faults.add(faultRepeated, got-due, "viewer %d: %d %s where %d were due", w.Viewer, got, what, due)
}

// drops is what the server refused or left out, by cause.
func (v *judgement) drops() map[string]int64 {
	d := map[string]int64{}
	for code, n := range v.Errors {
		d[code] = n
	}
	if v.Sampled > 0 {
		d["sampled"] = v.Sampled
	}
	return d
}

// worst lists the kinds of fault by count, most first.
func (f *faults) worst() []string {
	kinds := make([]string, 0, len(f.Counts))
	for k := range f.Counts {
		kinds = append(kinds, k)
	}
	slices.SortFunc(kinds, func(a, b string) int { return int(f.Counts[b] - f.Counts[a]) })
	return kinds
}
