package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// target is the server under test: one that runs already, or one that bench
// starts and stops.
type target struct {
	info   ServerInfo
	cmd    *exec.Cmd
	output *tailBuffer
	exited chan struct{} // closed when its process has ended
	err    error         // of its end; to be read then
}

const (
	readyTime = 15 * time.Second
	stopTime  = 30 * time.Second // longer than the server's own drain time
)

// findTarget starts a server if the flags say so and describes it.
func findTarget(o *options) (*target, error) {
	if o.server == "" {
		return &target{info: ServerInfo{Addr: o.addr, Control: o.control, Pid: o.pid}}, nil
	}
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	control, err := freePort()
	if err != nil {
		return nil, err
	}
	args := append([]string{"serve", "--listen", addr, "--control", control, "--comment-rate", "0"}, o.serverFlags...)
	t, err := launch(exec.Command(o.server, args...), addr, control)
	if err != nil {
		return nil, err
	}
	if err := t.awaitReady(); err != nil {
		return nil, errors.Join(err, t.stop())
	}
	t.askVersion(o.server)
	return t, nil
}

// launch starts a server process; it may not be ready yet.
func launch(cmd *exec.Cmd, addr, control string) (*target, error) {
	t := &target{
		info: ServerInfo{Addr: addr, Control: control, Spawned: true, Command: cmd.Args},
		cmd:  cmd, output: &tailBuffer{limit: 16 << 10}, exited: make(chan struct{}),
	}
	t.cmd.Stdout, t.cmd.Stderr = t.output, t.output
	// The main goroutine is locked to the main thread, so this is the death of bench.
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := t.cmd.Start(); err != nil {
		return nil, err
	}
	t.info.Pid = t.cmd.Process.Pid
	go func() {
		t.err = cmd.Wait() // crash forgets t.cmd
		close(t.exited)
	}()
	return t, nil
}

func (t *target) askVersion(program string) {
	if out, err := exec.Command(program, "version").Output(); err == nil {
		t.info.Version = strings.TrimSpace(string(out))
	}
}

// awaitReady asks the control listener until the server is ready.
func (t *target) awaitReady() error {
	c := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for end := time.Now().Add(readyTime); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		select {
		case <-t.exited:
			return fmt.Errorf("the server ended at once: %v\n%s", t.err, t.output.String())
		default:
		}
		if r, err := c.Get("http://" + t.info.Addr + "/readyz"); err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return nil
			}
		}
	}
	return fmt.Errorf("the server was not ready within %v\n%s", readyTime, t.output.String())
}

// alive says whether a spawned server still runs.
func (t *target) alive() error {
	if t.cmd == nil {
		return nil
	}
	select {
	case <-t.exited:
		return fmt.Errorf("the server ended during the run: %v\n%s", t.err, t.output.String())
	default:
		return nil
	}
}

// stop ends a spawned server with SIGTERM. An error says that it did not end
// well.
func (t *target) stop() error {
	if t.cmd == nil {
		return nil
	}
	_ = t.cmd.Process.Signal(syscall.SIGTERM)
	return t.awaitEnd()
}

// awaitEnd is stop for a server that has had its SIGTERM: another would cut its viewers
// off.
func (t *target) awaitEnd() error {
	select {
	case <-t.exited:
		if t.err != nil {
			return fmt.Errorf("the server's end: %w\n%s", t.err, t.output.String())
		}
		return nil
	case <-time.After(stopTime):
		_ = t.cmd.Process.Kill()
		<-t.exited
		return fmt.Errorf("the server did not end within %v of SIGTERM", stopTime)
	}
}

// proc samples the server's process; nil without a pid.
func (t *target) proc() *ProcSample {
	if t.info.Pid == 0 {
		return nil
	}
	s, err := ReadProc(t.info.Pid)
	if err != nil {
		return nil
	}
	return &s
}

// collectGarbage has the server run its garbage collector, so that memory
// steps compare what is live. It is best effort: no control, no collection.
func (t *target) collectGarbage() {
	if t.info.Control == "" {
		return
	}
	c := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	if r, err := c.Get("http://" + t.info.Control + "/debug/pprof/heap?gc=1"); err == nil {
		r.Body.Close()
	}
}

// onTerminal says whether a file is a terminal, and so can take a live line.
func onTerminal(f *os.File) bool {
	s, err := f.Stat()
	return err == nil && s.Mode()&os.ModeCharDevice != 0
}
