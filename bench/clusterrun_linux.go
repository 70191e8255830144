package main

import (
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"time"
)

// What happens in a run of cluster, in its order.

// play joins the viewers, measures, has nodes and NATS come and go, and judges.
func (c *cluster) play() error {
	o := c.options
	if err := c.inviteAll(); err != nil {
		return err
	}
	began, err := c.startSending()
	if err != nil {
		return err
	}
	from := began + o.warmup.Microseconds()
	if err := c.measureSteady(from, from+o.duration.Microseconds()); err != nil {
		return err
	}
	for _, step := range []struct {
		asked bool
		do    func() error
	}{{o.joinNode, c.join}, {o.drainNode, c.drain}, {o.killNode, c.kill}, {o.stopNATS > 0, c.stop}} {
		if !step.asked {
			continue
		}
		if err := step.do(); err != nil {
			return err
		}
		time.Sleep(o.phase)
	}
	return c.end(began)
}

// planOf is the fleet of a node.
func (c *cluster) planOf(i int) plan {
	o := c.options
	p := o.plan(c.addrs[i])
	p.Senders = max(1, o.sendersFor(o.viewers, o.rooms)/o.nodes)
	if o.rooms > 1 {
		p.Senders = min(o.viewers, max(1, o.sendersFor(o.viewers*o.nodes, o.rooms)/o.nodes))
	}
	p.Nodes, p.Node, p.FirstSender, p.FirstRoom = c.addrs, i, i*p.Senders, i*o.viewers
	p.Seed += uint64(i)
	p.Resumes = o.drainNode && i == o.nodes-1 || o.killNode && i == c.victim()
	p.Returns = p.Resumes
	if i >= o.nodes { // it comes later, and only listens
		p.Senders, p.FirstSender = 0, 1<<23
	}
	return p
}

// victim is the node that is killed.
func (c *cluster) victim() int {
	if c.options.drainNode && c.options.nodes == 2 {
		return 0
	}
	return 1
}

// inviteAll announces all fleets, those of nodes that come later included, since viewers
// may come to any, and joins those of the nodes that are there.
func (c *cluster) inviteAll() error {
	parties := make([]*party, len(c.addrs))
	for i := range c.addrs {
		var err error
		if parties[i], err = c.session.invite(c.planOf(i), ""); err != nil {
			return err
		}
	}
	for i, n := range c.nodes {
		n.party = parties[i]
		if err := n.party.open(n.party.plan.Viewers); err != nil {
			return err
		}
	}
	if c.options.joinNode {
		c.nodes = append(c.nodes, &clusterNode{party: parties[len(parties)-1], gone: true, late: true})
	}
	return c.awaitCounts("joined")
}

// startSending starts all senders until they are hushed.
func (c *cluster) startSending() (began int64, err error) {
	for _, n := range c.nodes {
		if n.late {
			continue
		}
		if began, err = n.party.send(headStart, 24*time.Hour, c.options.rate/float64(c.options.nodes), c.options.rooms > 1, c.options.messageBytes); err != nil {
			return 0, err
		}
	}
	return began, nil
}

// measureSteady measures while nothing happens but the load.
func (c *cluster) measureSteady(from, to int64) error {
	for _, n := range c.nodes {
		if err := n.party.watch("steady", from, to); err != nil {
			return err
		}
	}
	sleepUntil(from)
	m, err := c.nodes[0].party.measure("steady, the first node")
	if err != nil {
		return err
	}
	at := time.Now()
	if err := c.readAll(&c.measure.before, func(n *clusterNode) *metrics { return &n.before }); err != nil {
		return err
	}
	if err := m.until(to); err != nil {
		return err
	}
	if err := c.readAll(&c.measure.after, func(n *clusterNode) *metrics { return &n.after }); err != nil {
		return err
	}
	c.measure.lasting = time.Since(at)
	if c.measure.subscriptions, err = c.nats.subscriptions(); err != nil {
		return err
	}
	ph, err := m.finish()
	if err == nil {
		c.session.card.Phases = append(c.session.card.Phases, *ph)
	}
	return err
}

// readAll reads NATS' numbers and all nodes'.
func (c *cluster) readAll(v *varz, into func(n *clusterNode) *metrics) (err error) {
	if *v, err = c.nats.varz(); err != nil {
		return err
	}
	for _, n := range c.living() {
		if *into(n), err = scrape(n.target.info.Control); err != nil {
			return err
		}
	}
	return nil
}

// join starts a node under load and brings viewers to it.
func (c *cluster) join() error {
	waiting := c.nodes[len(c.nodes)-1] // its fleet
	c.nodes = c.nodes[:len(c.nodes)-1]
	at := time.Now()
	if err := c.startNode(); err != nil {
		return err
	}
	n := c.nodes[len(c.nodes)-1]
	n.party, n.late = waiting.party, true
	c.session.retired = append(c.session.retired, n.target)
	if err := c.awaitPeers(); err != nil {
		return err
	}
	c.event("a node more", fmt.Sprintf("known to all after %v", time.Since(at).Round(10*time.Millisecond)))
	if err := n.party.open(n.party.plan.Viewers); err != nil {
		return err
	}
	return c.awaitCounts("a node more")
}

// drain has the last of the first nodes send its viewers away.
func (c *cluster) drain() error {
	n := c.nodes[c.options.nodes-1]
	if err := n.party.order(request{Op: orderHush}); err != nil { // whoever writes while it is sent away cannot know what was taken
		return err
	}
	time.Sleep(time.Second)
	at := time.Now()
	n.gone = true
	if err := n.target.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := c.awaitBack(n, at, "drained"); err != nil {
		return err
	}
	if err := n.target.awaitEnd(); err != nil {
		return err
	}
	n.target.cmd = nil
	return c.awaitCounts("drained")
}

// kill ends a node as a crash would.
func (c *cluster) kill() error {
	n := c.nodes[c.victim()]
	at := time.Now()
	n.gone = true
	if err := n.target.crash(); err != nil {
		return err
	}
	if err := c.awaitBack(n, at, "killed"); err != nil {
		return err
	}
	return c.awaitCounts("killed")
}

// awaitBack waits until all viewers of a node are on others.
func (c *cluster) awaitBack(n *clusterNode, since time.Time, what string) error {
	want := n.party.plan.Viewers
	for end := time.Now().Add(clusterPatience); ; time.Sleep(20 * time.Millisecond) {
		st, err := n.party.status()
		if err != nil {
			return err
		}
		if back := int(st.Joins) - want; back >= want && st.Joined >= want || time.Now().After(end) {
			c.event(what+": its viewers on other nodes", fmt.Sprintf("%d of %d after %v", st.Joined, want, time.Since(since).Round(10*time.Millisecond)))
			return nil
		}
	}
}

// stop kills NATS and starts it again. Viewers must go on getting what is said on their
// own node.
func (c *cluster) stop() error {
	c.outage.from = nowMicros() - time.Second.Microseconds() // what is on its way then may be late already
	if err := c.nats.kill(); err != nil {
		return err
	}
	if err := c.watchSilence(time.Now().Add(c.options.stopNATS)); err != nil {
		return err
	}
	for _, n := range c.living() {
		if r, err := http.Get("http://" + n.target.info.Control + "/readyz"); err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				c.measure.ready++
			}
		}
	}
	at := time.Now()
	if err := c.nats.start(); err != nil {
		return err
	}
	if err := c.awaitPeers(); err != nil {
		return err
	}
	c.outage.to = nowMicros() + time.Second.Microseconds()
	c.event("NATS back", fmt.Sprintf("after %v; all nodes know each other %v later", c.options.stopNATS, time.Since(at).Round(10*time.Millisecond)))
	return nil
}

// watchSilence keeps the longest time in which a node's viewers got no comment.
func (c *cluster) watchSilence(until time.Time) error {
	type progress struct {
		comments int64
		at       time.Time
	}
	last := map[*clusterNode]progress{}
	for time.Now().Before(until) {
		for _, n := range c.living() {
			if n.party.plan.Senders == 0 {
				continue // nobody speaks there
			}
			st, err := n.party.status()
			if err != nil {
				return err
			}
			if p, ok := last[n]; !ok || st.VerifiedComments > p.comments {
				last[n] = progress{st.VerifiedComments, time.Now()}
			} else {
				c.measure.silence = max(c.measure.silence, time.Since(p.at))
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil
}

// end ends the load and judges all nodes.
func (c *cluster) end(began int64) error {
	for _, n := range c.nodes {
		if err := n.party.order(request{Op: orderHush}); err != nil {
			return err
		}
	}
	c.measure.sending = time.Duration(nowMicros()-began) * time.Microsecond
	parties := make([]*party, len(c.nodes))
	for i, n := range c.nodes {
		parties[i] = n.party
	}
	if err := c.session.settle(parties...); err != nil {
		return err
	}
	views := make([]nodeView, len(c.nodes))
	var errs []error
	for i, n := range c.nodes {
		results, delays, err := n.party.closeAll()
		if err != nil {
			return err
		}
		n.judged = judge(&n.party.plan, results)
		if behind := n.judged.Skips["viewers"]; behind > 0 {
			c.session.note("node %d: %d viewers that count batches fell behind and were passed over, as they were told: the machine does not keep up, and of viewers that count only bytes nobody knows what they missed (--drain framed)", i, behind)
		}
		n.near, n.far = LatencyOf(delays["steady"]), LatencyOf(delays["steady"+farSuffix])
		ph := c.session.addAccount(fmt.Sprintf("viewers of node %d: whole account", i), &n.party.plan, n.judged, delays)
		ph.Drops = n.judged.Outcomes
		if back := LatencyOf(delays["back"]); back != nil {
			ph.Others = append(ph.Others, NamedDelay{Name: "loss of the node to the next welcome", Latency: *back})
		}
		views[i] = nodeView{plan: &n.party.plan, results: results, gone: n.gone, late: n.late}
		if t := n.target; t != nil && !n.gone {
			errs = append(errs, t.alive())
		}
	}
	c.judge(judgeCluster(views, c.outage))
	return errors.Join(errs...)
}
