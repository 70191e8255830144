package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// natsServer is the NATS server that nodes meet at: one that bench starts, or one that
// runs already, with monitoring.
type natsServer struct {
	path    string // of the program; "" = it runs already
	url     string
	monitor string // HOST:PORT
	run     *target
}

// startNATS starts a nats-server on free ports.
func startNATS(path string) (*natsServer, error) {
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	monitor, err := freePort()
	if err != nil {
		return nil, err
	}
	n := &natsServer{path: path, url: "nats://" + addr, monitor: monitor}
	return n, n.start()
}

// start runs it, again at the same ports, and returns when it answers.
func (n *natsServer) start() error {
	host, port, err := net.SplitHostPort(strings.TrimPrefix(n.url, "nats://"))
	if err != nil {
		return err
	}
	_, monitorPort, err := net.SplitHostPort(n.monitor)
	if err != nil {
		return err
	}
	if n.run, err = launch(exec.Command(n.path, "-a", host, "-p", port, "-m", monitorPort), n.url, n.monitor); err != nil {
		return err
	}
	for end := time.Now().Add(readyTime); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err := n.run.alive(); err != nil {
			return err
		}
		if err = n.ask("/healthz", new(struct{})); err == nil {
			return nil
		}
	}
	return errors.Join(fmt.Errorf("nats-server was not ready within %v: %w", readyTime, err), n.kill())
}

// kill ends it as a crash would.
func (n *natsServer) kill() error {
	if n.run == nil {
		return nil
	}
	err := n.run.crash()
	n.run = nil
	return err
}

// crash ends a started program with SIGKILL.
func (t *target) crash() error {
	if t.cmd == nil {
		return nil
	}
	err := t.cmd.Process.Signal(syscall.SIGKILL)
	<-t.exited
	t.cmd = nil
	return err
}

// varz is what is read of a NATS server's numbers.
type varz struct {
	Version  string `json:"version"`
	InMsgs   int64  `json:"in_msgs"`
	OutMsgs  int64  `json:"out_msgs"`
	InBytes  int64  `json:"in_bytes"`
	OutBytes int64  `json:"out_bytes"`
	Slow     int64  `json:"slow_consumers"`
}

func (n *natsServer) varz() (v varz, err error) { return v, n.ask("/varz", &v) }

// subscriptions are those of each node, by the name of its connection.
func (n *natsServer) subscriptions() (map[string]int, error) {
	var connz struct {
		Connections []struct {
			Name          string `json:"name"`
			Subscriptions int    `json:"subscriptions"`
		} `json:"connections"`
	}
	if err := n.ask("/connz?limit=1024", &connz); err != nil {
		return nil, err
	}
	all := map[string]int{}
	for _, c := range connz.Connections {
		all[c.Name] = c.Subscriptions
	}
	return all, nil
}

func (n *natsServer) ask(path string, into any) error {
	c := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := c.Get("http://" + n.monitor + path)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", path, r.Status)
	}
	return json.NewDecoder(r.Body).Decode(into)
}
