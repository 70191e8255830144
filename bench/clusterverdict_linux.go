package main

import (
	"fmt"
	"math"
	"strconv"
)

// judge puts what the nodes together came to on the card, and sets the bars.
func (c *cluster) judge(j *clusterJudgement) {
	o, card, m := c.options, c.session.card, &c.measure
	card.Phases = append(card.Phases, Phase{
		Name: "all nodes together", Rooms: int64(o.rooms), DurationS: c.session.since(), Faults: j.Faults.Counts, Examples: j.Faults.Examples,
		Received: Counts{Comments: j.Comments},
		Counters: map[string]int64{"comments": j.Comments, "batches": j.Batches, "unheard_without_bus": j.Unheard, "ended_with_node": j.WithNode,
			"viewers_moved": j.Moved, "comments_again_passed_over": j.SeenTwice, "comments_told_missed": j.Told, "nats_in_msgs": m.after.InMsgs - m.before.InMsgs},
	})
	bound := c.busBound()
	rate := float64(m.after.InMsgs-m.before.InMsgs) / m.lasting.Seconds()
	if o.maxBusRatio > 0 {
		card.Bar("messages to NATS to nodes x rooms x ticks", rate/bound, "<=", o.maxBusRatio, "x")
	}
	c.judgeNodes()
	if o.maxCounts > 0 && o.rooms == 1 {
		card.Bar("time until all nodes counted all viewers", c.slowest.Seconds(), "<=", o.maxCounts.Seconds(), "s")
	}
	if o.stopNATS > 0 {
		card.Bar("longest silence at a node without NATS", m.silence.Seconds(), "<=", o.maxSilence.Seconds(), "s")
		card.Bar("nodes that said they were ready without NATS", float64(m.ready), "<=", 0, "")
		card.Bar("what was said without NATS and did not reach other nodes", float64(j.Unheard), ">=", 1, "") // else it was not gone
	}
	if o.killNode {
		card.Bar("viewers who moved", float64(j.Moved), ">=", float64(o.viewers), "")
		// Half a second of what its own viewers said: a tick, and what was in sockets.
		card.Bar("comments that ended with the killed node", float64(j.WithNode), "<=", math.Ceil(o.rate/float64(o.nodes)/2), "")
	} else if o.drainNode {
		card.Bar("viewers who moved", float64(j.Moved), ">=", float64(o.viewers), "")
		card.Bar("comments that ended with the drained node", float64(j.WithNode), "<=", 0, "")
	}
	c.tables(j, rate, bound)
}

// busBound is nodes x rooms x ticks a second.
func (c *cluster) busBound() float64 {
	return float64(c.options.nodes) * float64(c.options.rooms) / c.tick.Seconds()
}

// judgeNodes sets the bars that each node must meet.
func (c *cluster) judgeNodes() {
	o, card, m := c.options, c.session.card, &c.measure
	added, batches, heard, more := math.Inf(-1), 0.0, 0.0, 0.0
	for _, n := range c.nodes {
		if n.near != nil && n.far != nil {
			added = max(added, float64(n.far.P50US-n.near.P50US))
		}
		if !n.late && !n.gone {
			batches = max(batches, float64(n.judged.Batches)/float64(o.rooms)*c.tick.Seconds()/m.sending.Seconds())
		}
		heard = max(heard, n.after.sum("danmakud_bus_shards_heard"))
		if n.after != nil {
			more = max(more, n.after.sum("go_goroutines")-n.calm.sum("go_goroutines"))
		}
	}
	if o.maxAdded > 0 {
		if math.IsInf(added, -1) {
			added = math.NaN()
		}
		card.Bar("median latency of other nodes' comments, more than of the own", added, "<=", float64(o.maxAdded.Microseconds()), "us")
	}
	if o.maxBatches > 0 {
		card.Bar("batches of a node and room to ticks", batches, "<=", o.maxBatches, "x")
	}
	card.Bar("subjects of rooms that a node hears", heard, "<=", float64(o.maxHeard), "")
	card.Bar("goroutines of a node, more than without viewers", more, "<=", float64(o.maxGoroutine), "")
}

func (c *cluster) tables(j *clusterJudgement, rate, bound float64) {
	card, m := c.session.card, &c.measure
	card.Tables = append(card.Tables, Table{
		Title: "The bus", Columns: []string{"NATS", "Messages/s in", "nodes x rooms x ticks", "Ratio", "Messages/s out", "Bytes/s in", "Bytes/s out"},
		Rows: [][]string{{m.after.Version, digits(rate), digits(bound), digits(rate / bound), digits(float64(m.after.OutMsgs-m.before.OutMsgs) / m.lasting.Seconds()),
			count(float64(m.after.InBytes-m.before.InBytes) / m.lasting.Seconds()), count(float64(m.after.OutBytes-m.before.OutBytes) / m.lasting.Seconds())}},
	})
	delay := func(l *Latency, of func(*Latency) int64) string {
		if l == nil {
			return ""
		}
		return duration(1000 * float64(of(l)))
	}
	p50, p99 := func(l *Latency) int64 { return l.P50US }, func(l *Latency) int64 { return l.P99US }
	t := Table{Title: "The nodes", Columns: []string{"Node", "Viewers", "Batches", "Own p50", "p99", "Others' p50", "p99", "Bus ticks/s", "B a tick", "B a comment", "Subjects", "Subscriptions", "Goroutines"}}
	for i, n := range c.nodes {
		ticks := n.since(`danmakud_bus_ticks_total{direction="out"}`)
		bytes := n.since("danmakud_bus_sent_bytes_total")
		said := c.options.rate / float64(c.options.nodes) * m.lasting.Seconds()
		t.Rows = append(t.Rows, []string{
			strconv.Itoa(i), grouped(n.judged.Joined), grouped(n.judged.Batches), delay(n.near, p50), delay(n.near, p99), delay(n.far, p50), delay(n.far, p99),
			digits(ticks / m.lasting.Seconds()), digits(bytes / ticks), digits(bytes / said),
			digits(n.after.sum("danmakud_bus_shards_heard")), strconv.Itoa(m.subscriptions["danmakud "+n.name]),
			fmt.Sprintf("%.0f, %.0f without viewers", n.after.sum("go_goroutines"), n.calm.sum("go_goroutines")),
		})
	}
	card.Tables = append(card.Tables, t)
	card.Tables = append(card.Tables, Table{Title: "All nodes", Columns: []string{"Comments", "Batches", "Viewers who moved", "Comments again, passed over", "Too slow for, told", "Ended with a node", "Unheard without NATS"},
		Rows: [][]string{{grouped(j.Comments), grouped(j.Batches), grouped(j.Moved), grouped(j.SeenTwice), grouped(j.Told), grouped(j.WithNode), grouped(j.Unheard)}}})
	if len(c.events) > 0 {
		card.Tables = append(card.Tables, Table{Title: "What happened", Columns: []string{"", ""}, Rows: c.events})
	}
}

// since is how much a counter of the node grew during the measurement.
func (n *clusterNode) since(name string) float64 { return n.after[name] - n.before[name] }
