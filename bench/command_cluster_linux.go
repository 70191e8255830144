package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// clusterOptions are what only cluster knows.
type clusterOptions struct {
	options
	nodes       int
	natsServer  string
	natsURL     string
	natsMonitor string
	phase       time.Duration
	joinNode    bool
	drainNode   bool
	killNode    bool
	stopNATS    time.Duration

	maxBusRatio  float64
	maxAdded     time.Duration
	maxBatches   float64
	maxCounts    time.Duration
	maxHeard     int
	maxGoroutine int
	maxSilence   time.Duration
}

func clusterCommand() *cobra.Command {
	o := clusterOptions{options: defaultOptions()}
	o.viewers, o.rate, o.nap = 4000, 1000, time.Millisecond
	c := loadCommand("cluster", "Several nodes that share their rooms by NATS; nodes and NATS come and go",
		"bench cluster --server bin/danmakud --nats-server out/nats-server --nodes 3 --viewers 4000 --rate 1000\n"+
			"  bench cluster --server bin/danmakud --viewers 1000 --rate 300 --join-node --drain-node --kill-node --stop-nats 20s\n"+
			"  bench cluster --server bin/danmakud --viewers 8000 --rooms 20000 --rate 1000", &o.options, nil)
	f := c.Flags()
	f.Lookup("viewers").Usage = "connections to each node"
	f.IntVar(&o.nodes, "nodes", 3, "nodes to start, at 127.0.0.11 and up")
	f.StringVar(&o.natsServer, "nats-server", "", "path of a nats-server to start; empty = the one in PATH")
	f.StringVar(&o.natsURL, "nats-url", "", "one that runs already, instead")
	f.StringVar(&o.natsMonitor, "nats-monitor", "", "HOST:PORT of its monitoring")
	f.DurationVar(&o.phase, "phase", 8*time.Second, "how long the load goes on after each of what follows")
	f.BoolVar(&o.joinNode, "join-node", false, "then start one more node, with as many viewers")
	f.BoolVar(&o.drainNode, "drain-node", false, "then have the last of the nodes drain; its viewers go where it tells them")
	f.BoolVar(&o.killNode, "kill-node", false, "then kill the second node; its viewers resume elsewhere")
	f.DurationVar(&o.stopNATS, "stop-nats", 0, "then kill the nats-server, and start it again after this long")
	f.Float64Var(&o.maxBusRatio, "max-bus-ratio", 1.1, "fail if NATS gets more messages than nodes x rooms x ticks, times this; 0 = no bar")
	f.DurationVar(&o.maxAdded, "max-added", 20*time.Millisecond, "fail if the median latency of comments of other nodes is longer by more than this; 0 = no bar")
	f.Float64Var(&o.maxBatches, "max-batches", 1.1, "fail if a node makes more batches of a room than ticks, times this; 0 = no bar")
	f.DurationVar(&o.maxCounts, "max-counts", 5*time.Second, "fail if it takes longer until all nodes count all viewers right; 0 = no bar")
	f.IntVar(&o.maxHeard, "max-heard", 256, "fail if a node hears more subjects of rooms")
	f.IntVar(&o.maxGoroutine, "max-goroutines", 16, "fail if a node has more goroutines under load than without viewers, by this")
	f.DurationVar(&o.maxSilence, "max-silence", 2*time.Second, "with --stop-nats: fail if a node's viewers get nothing for this long")
	c.RunE = func(*cobra.Command, []string) error { return runCluster(o) }
	return c
}

func (o *clusterOptions) validate() error {
	switch {
	case o.server == "":
		return fmt.Errorf("cluster starts its nodes: --server PATH is needed")
	case o.nodes < 2 || o.nodes > 100:
		return fmt.Errorf("--nodes: 2 to 100")
	case o.killNode && o.drainNode && o.nodes < 3 && !o.joinNode:
		return fmt.Errorf("with two nodes, one drained and one killed, none is left")
	case o.natsURL != "" && (o.natsMonitor == "" || o.stopNATS > 0):
		return fmt.Errorf("--nats-url needs --nats-monitor, and cannot be stopped")
	case o.stopNATS > 0 && o.stopNATS < 5*time.Second:
		return fmt.Errorf("--stop-nats: at least 5s, so that all notice")
	}
	return nil
}

// cluster is one run.
type cluster struct {
	session *session
	options *clusterOptions
	nats    *natsServer
	nodes   []*clusterNode
	addrs   []string // of all, those that come later included
	tick    time.Duration

	outage  span
	slowest time.Duration // until counts were right
	events  [][]string
	measure clusterMeasure
}

// clusterNode is a node and the viewers that it got.
type clusterNode struct {
	name   string
	target *target
	party  *party
	gone   bool
	late   bool
	calm   metrics // before anybody came

	before, after metrics // of the measurement
	judged        *judgement
	near, far     *Latency
}

// clusterMeasure is NATS at both ends of the measurement.
type clusterMeasure struct {
	before, after varz
	lasting       time.Duration
	subscriptions map[string]int
	sending       time.Duration // from the first comment to the last
	silence       time.Duration // the longest at any node without a bus
	ready         int           // nodes that said that they were ready without a bus
}

func runCluster(o clusterOptions) error {
	if err := o.validate(); err != nil {
		return err
	}
	if o.natsServer == "" && o.natsURL == "" {
		path, err := exec.LookPath("nats-server")
		if err != nil {
			return fmt.Errorf("--nats-server PATH or --nats-url URL: %w", err)
		}
		o.natsServer = path
	}
	c := &cluster{options: &o, tick: 100 * time.Millisecond}
	if err := c.findTick(); err != nil {
		return err
	}
	total := o.viewers * o.nodes
	if o.joinNode {
		total += o.viewers
	}
	s, err := newSessionAt("cluster", o.options, total, c.startAll)
	if err != nil {
		return errors.Join(err, c.stopAll())
	}
	c.session = s
	for _, n := range c.nodes[1:] {
		s.retired = append(s.retired, n.target)
	}
	for name, v := range map[string]any{"nodes": o.nodes, "nats-server": o.natsServer, "phase": o.phase.String(),
		"join-node": o.joinNode, "drain-node": o.drainNode, "kill-node": o.killNode, "stop-nats": o.stopNATS.String()} {
		s.card.Parameters[name] = v
	}
	if err := c.play(); err != nil {
		return errors.Join(err, s.abandon(), c.nats.kill())
	}
	return errors.Join(s.finish(), c.nats.kill())
}

// findTick takes the tick from the flags for the nodes.
func (c *cluster) findTick() (err error) {
	for _, flag := range c.options.serverFlags {
		if value, ok := strings.CutPrefix(flag, "--tick="); ok {
			c.tick, err = time.ParseDuration(value)
		}
	}
	return err
}

// startAll starts NATS and the nodes, and returns the first of them.
func (c *cluster) startAll(o *options) (t *target, err error) {
	if c.nats, err = c.findNATS(); err != nil {
		return nil, err
	}
	count := c.options.nodes
	if c.options.joinNode {
		count++
	}
	for i := range count {
		free, err := freePort()
		if err != nil {
			return nil, err
		}
		_, port, _ := strings.Cut(free, ":")
		c.addrs = append(c.addrs, "127.0.0."+strconv.Itoa(11+i)+":"+port)
	}
	for range c.options.nodes {
		if err := c.startNode(); err != nil {
			return nil, err
		}
	}
	c.nodes[0].target.askVersion(o.server)
	return c.nodes[0].target, c.awaitPeers()
}

func (c *cluster) findNATS() (*natsServer, error) {
	if c.options.natsURL != "" {
		return &natsServer{url: c.options.natsURL, monitor: c.options.natsMonitor}, nil
	}
	return startNATS(c.options.natsServer)
}

// startNode starts the next node.
func (c *cluster) startNode() error {
	i := len(c.nodes)
	control, err := freePort()
	if err != nil {
		return err
	}
	n := &clusterNode{name: "n" + strconv.Itoa(i)}
	args := append([]string{"serve", "--listen", c.addrs[i], "--control", control, "--comment-rate", "0", "--nats-url", c.nats.url,
		"--node", n.name, "--advertise", c.addrs[i], "--drain-time", "3s"}, c.options.serverFlags...)
	if n.target, err = launch(exec.Command(c.options.server, args...), c.addrs[i], control); err != nil {
		return err
	}
	c.nodes = append(c.nodes, n)
	if err := n.target.awaitReady(); err != nil {
		return err
	}
	n.calm, err = scrape(control)
	return err
}

// stopAll ends what was started when there is no session to do it.
func (c *cluster) stopAll() (err error) {
	for _, n := range c.nodes {
		err = errors.Join(err, n.target.stop())
	}
	if c.nats != nil {
		err = errors.Join(err, c.nats.kill())
	}
	return err
}

// living are the nodes that are there.
func (c *cluster) living() (all []*clusterNode) {
	for _, n := range c.nodes {
		if !n.gone {
			all = append(all, n)
		}
	}
	return all
}

const clusterPatience = 60 * time.Second

// awaitPeers waits until all nodes have the bus and know each other.
func (c *cluster) awaitPeers() error {
	all := c.living()
	for end := time.Now().Add(clusterPatience); ; time.Sleep(50 * time.Millisecond) {
		right := 0
		for _, n := range all {
			m, err := scrape(n.target.info.Control)
			if err == nil && m.sum("danmakud_bus_connected") == 1 && int(m.sum("danmakud_cluster_nodes")) == len(all)-1 {
				right++
			}
		}
		if right == len(all) {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("only %d of %d nodes know all others after %v", right, len(all), clusterPatience)
		}
	}
}

// online is what a node says of a room's viewers.
func (n *clusterNode) online(room string) (int, error) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get("http://" + n.target.info.Control + "/v1/rooms/" + room)
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	var info struct{ Online int }
	return info.Online, errors.Join(json.NewDecoder(r.Body).Decode(&info), nil)
}

// awaitCounts waits until all nodes count as many viewers in the first room as there
// are, and keeps the longest that it took.
func (c *cluster) awaitCounts(what string) error {
	if c.options.rooms > 1 {
		return nil // each has its own few
	}
	began := time.Now()
	for {
		want := 0
		for _, n := range c.nodes {
			if n.party == nil {
				continue
			}
			st, err := n.party.status()
			if err != nil {
				return err
			}
			want += st.Joined
		}
		right := 0
		for _, n := range c.living() {
			if got, err := n.online(c.nodes[0].party.plan.room(0)); err == nil && got == want {
				right++
			}
		}
		lasting := time.Since(began)
		if right == len(c.living()) || lasting > clusterPatience {
			c.slowest = max(c.slowest, lasting)
			c.event(what+": all nodes count all viewers", fmt.Sprintf("%d on %d of %d nodes after %v", want, right, len(c.living()), lasting.Round(10*time.Millisecond)))
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (c *cluster) event(what, how string) { c.events = append(c.events, []string{what, how}) }
