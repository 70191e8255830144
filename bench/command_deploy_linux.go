package main

import (
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// deployOptions are what only deploy knows.
type deployOptions struct {
	options
	mode       string
	connects   float64
	drainTime  time.Duration
	drainGrace time.Duration
	overlap    time.Duration
	maxFailed  int64
	maxUneven  float64
}

func deployCommand() *cobra.Command {
	o := deployOptions{options: defaultOptions()}
	o.viewers, o.drain, o.rate = 10000, "framed", 0
	c := loadCommand("deploy", "Restart under load: a second server takes over while viewers come and go",
		"bench deploy --server bin/danmakud --mode activation --viewers 10000 --connects 200 --drain-time 20s", &o.options, nil)
	f := c.Flags()
	f.StringVar(&o.mode, "mode", "reuse-port", "how both get the port: reuse-port (--reuse-port), or activation (one socket passed to both with LISTEN_FDS)")
	f.Float64Var(&o.connects, "connects", 200, "new connections a second throughout; each verifies its handshake and welcome and leaves")
	f.DurationVar(&o.drainTime, "drain-time", 10*time.Second, "the old server's --drain-time")
	f.DurationVar(&o.drainGrace, "drain-grace", 0, "its --drain-grace; 0 = its default")
	f.DurationVar(&o.overlap, "overlap", 2*time.Second, "both run for this long before the old one is told to end")
	f.Int64Var(&o.maxFailed, "max-failed", 0, "fail if more connects are refused, reset, time out or are answered with anything but 101; -1 = no bar")
	f.Float64Var(&o.maxUneven, "max-uneven", 1.5, "fail if the fullest second of closes has more times the mean of the drain; 0 = no bar")
	c.RunE = func(*cobra.Command, []string) error { return runDeploy(o) }
	return c
}

func runDeploy(o deployOptions) error {
	switch {
	case o.server == "":
		return fmt.Errorf("deploy starts both servers: --server PATH is needed")
	case o.mode != "reuse-port" && o.mode != "activation":
		return fmt.Errorf("--mode %q: reuse-port or activation", o.mode)
	case o.drain == "counted":
		return fmt.Errorf("--drain counted cannot see what viewers are told: framed or verified")
	}
	port, err := newSharedPort(o.mode)
	if err != nil {
		return err
	}
	defer port.close()
	s, err := newSessionAt("deploy", o.options, o.viewers+int(5*o.connects), func(*options) (*target, error) {
		t, err := port.start(&o)
		if err != nil {
			return nil, err
		}
		if err := t.awaitReady(); err != nil {
			return nil, errors.Join(err, t.stop())
		}
		t.askVersion(o.server)
		return t, nil
	})
	if err != nil {
		return err
	}
	for name, v := range map[string]any{"mode": o.mode, "connects": o.connects, "drain-time": o.drainTime.String(), "drain-grace": o.drainGrace.String(), "overlap": o.overlap.String()} {
		s.card.Parameters[name] = v
	}
	if err := s.deploy(&o, port); err != nil {
		return errors.Join(err, s.abandon())
	}
	return s.finish()
}

// sharedPort is how two servers come to listen on one port.
type sharedPort struct {
	addr   string
	socket *os.File // activation: the listening socket, kept by bench throughout
}

func newSharedPort(mode string) (*sharedPort, error) {
	if mode == "reuse-port" {
		addr, err := freePort()
		return &sharedPort{addr: addr}, err
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close() // the duplicate listens on
	socket, err := l.(*net.TCPListener).File()
	return &sharedPort{addr: l.Addr().String(), socket: socket}, err
}

func (p *sharedPort) close() {
	if p.socket != nil {
		p.socket.Close()
	}
}

// start starts a server on the port. With activation it goes by way of a
// shell, which alone can tell the program its own process id.
func (p *sharedPort) start(o *deployOptions) (*target, error) {
	control, err := freePort()
	if err != nil {
		return nil, err
	}
	args := []string{"serve", "--control", control, "--comment-rate", "0", "--drain-time", o.drainTime.String()}
	if o.drainGrace > 0 {
		args = append(args, "--drain-grace", o.drainGrace.String())
	}
	if p.socket == nil {
		args = append(args, "--listen", p.addr, "--reuse-port")
		return launch(exec.Command(o.server, append(args, o.serverFlags...)...), p.addr, control)
	}
	script := []string{"-c", `LISTEN_PID=$$ exec "$0" "$@"`, o.server}
	cmd := exec.Command("/bin/sh", slices.Concat(script, args, o.serverFlags)...)
	cmd.Env = append(os.Environ(), "LISTEN_FDS=1")
	cmd.ExtraFiles = []*os.File{p.socket}
	return launch(cmd, p.addr, control)
}

// awaitLog waits until a server says that it is ready: on a port that two
// servers share, asking would tell nothing about this one.
func (t *target) awaitLog() error {
	for end := time.Now().Add(readyTime); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err := t.alive(); err != nil {
			return err
		}
		if strings.Contains(t.output.String(), "ready") {
			return nil
		}
	}
	return fmt.Errorf("the second server was not ready within %v\n%s", readyTime, t.output.String())
}

// handOver is one deploy while it goes on.
type handOver struct {
	old              *target
	viewers, guests  *party
	told             int64 // nowMicros of SIGTERM
	exit             int   // status of the old server; -1 = it did not end
	exitAfter        time.Duration
	joined, notBack  int64
	backAfter        time.Duration // since SIGTERM
	viewersV, guestV *judgement
}

// deploy has the second server started and the first one ended.
func (s *session) deploy(o *deployOptions, port *sharedPort) error {
	h := &handOver{old: s.target, exit: -1}
	p := o.plan(port.addr)
	p.Senders, p.Returns = 0, true
	var err error
	if h.viewers, err = s.invite(p, "w"); err != nil {
		return err
	}
	p.Viewers, p.Verified, p.ChurnRate, p.Stay = p.Rooms, 0, o.connects, time.Second
	if h.guests, err = s.invite(p, "g"); err != nil {
		return err
	}
	if err := h.viewers.open(o.viewers); err != nil {
		return err
	}
	st, err := h.viewers.status()
	if err != nil {
		return err
	}
	h.joined = int64(st.Joined)
	if err := h.guests.order(request{Op: orderChurn, On: true}); err != nil {
		return err
	}
	time.Sleep(o.warmup)
	next, err := port.start(o)
	if err != nil {
		return err
	}
	s.retired = append(s.retired, h.old)
	s.target = next // from here on the one that must not die
	if err := next.awaitLog(); err != nil {
		return err
	}
	time.Sleep(o.overlap)
	ph, err := s.replace(o, h)
	if err != nil {
		return err
	}
	return s.endDeploy(o, h, ph)
}

// replace tells the old server to end and follows the viewers until all are
// with the new one.
func (s *session) replace(o *deployOptions, h *handOver) (*Phase, error) {
	m, err := h.viewers.measure("deploy")
	if err != nil {
		return nil, err
	}
	h.told = nowMicros()
	began := time.Now()
	if err := h.old.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return nil, err
	}
	limit := o.drainGrace + o.drainTime + 60*time.Second
	for next := nowMicros() + 1e6; time.Since(began) < limit; next += 1e6 {
		if err := m.until(next); err != nil { // returns after the second, without a point
			return nil, err
		}
		now, err := m.take(false)
		if err != nil {
			return nil, err
		}
		m.phase.Series = append(m.phase.Series, m.second(&now))
		m.last = now
		h.lookAtExit(began)
		h.notBack = h.joined - int64(now.fleet.Joined)
		if h.exit >= 0 && h.notBack <= 0 {
			h.backAfter = time.Since(began)
			break
		}
	}
	if h.exit >= 0 && h.notBack > 0 {
		h.backAfter = limit
	}
	return m.finish()
}

// lookAtExit takes note of the old server's end.
func (h *handOver) lookAtExit(began time.Time) {
	if h.exit >= 0 {
		return
	}
	select {
	case <-h.old.exited:
		err := h.old.err
		h.old.err = nil // it has been taken; stop need not complain again
		h.exitAfter, h.exit = time.Since(began), 0
		var status *exec.ExitError
		if errors.As(err, &status) {
			h.exit = max(status.ExitCode(), 0)
			if status.ExitCode() < 0 {
				h.exit = 128 // ended by a signal
			}
		}
	default:
	}
}

// endDeploy ends both fleets, has the new server judged and sets the bars.
func (s *session) endDeploy(o *deployOptions, h *handOver, ph *Phase) error {
	if err := h.guests.empty(); err != nil {
		return err
	}
	st, err := h.guests.status()
	if err != nil {
		return err
	}
	gv, gd, err := h.guests.close()
	if err != nil {
		return err
	}
	v, delays, err := h.viewers.close()
	if err != nil {
		return err
	}
	h.viewersV, h.guestV = v, gv
	if ph.Counters == nil {
		ph.Counters = map[string]int64{}
	}
	for name, n := range map[string]int64{
		"viewers": h.joined, "viewers_told": v.Outcomes["closed with 1012"], "viewers_not_back": h.notBack, "back_ms": h.backAfter.Milliseconds(),
		"old_exit_status": int64(h.exit), "old_exit_ms": h.exitAfter.Milliseconds(), "new_connections": st.Joins,
		"connects_failed": failedConnects(v.Outcomes) + failedConnects(gv.Outcomes),
	} {
		ph.Counters[name] = n
	}
	s.card.Phases = append(s.card.Phases, *ph)
	s.addAccount("viewers: whole account", &h.viewers.plan, v, delays).Drops = v.Outcomes
	g := s.addAccount("new connections: whole account", &h.guests.plan, gv, gd)
	g.Viewers, g.Verified, g.Drops = st.Joins, st.Joins, gv.Outcomes
	p := o.plan(s.target.info.Addr)
	p.Viewers = min(100, o.viewers)
	p.Senders, p.Verified = min(10, p.Viewers), p.Viewers
	if _, _, err := s.steady(p, "after", load{name: "the new server's comments", rate: 100, duration: 2 * time.Second}); err != nil {
		return err
	}
	s.judgeDeploy(o, h, st.Joins)
	return nil
}

// failedConnects is what outcomes say of connections that did not come about.
func failedConnects(outcomes map[string]int64) (n int64) {
	for how, k := range outcomes {
		if how != "closed with 1012" && how != "not told goodbye" {
			n += k
		}
	}
	return n
}

// judgeDeploy sets the bars.
func (s *session) judgeDeploy(o *deployOptions, h *handOver, guests int64) {
	v, gv := h.viewersV, h.guestV
	outcomes, closings := map[string]int64{}, map[int64]int64{}
	for _, j := range []*judgement{v, gv} {
		addCounts(outcomes, j.Outcomes)
		addCounts(closings, j.Closings)
	}
	failed := failedConnects(outcomes)
	if o.maxFailed >= 0 {
		s.card.Bar("connects that failed", float64(failed), "<=", float64(o.maxFailed), "")
	}
	s.card.Bar("new connections a second", float64(guests)/max(1, (h.backAfter+o.warmup+o.overlap).Seconds()), ">=", 0.8*o.connects, "")
	s.card.Bar("viewers not told goodbye and 1012", float64(h.joined-v.Outcomes["closed with 1012"]+outcomes["not told goodbye"]), "<=", 0, "")
	s.card.Bar("viewers not back", float64(h.notBack), "<=", 0, "")
	s.card.Bar("exit status of the old server", orNaN(float64(h.exit)), "==", 0, "")
	e := evenness(closings)
	if o.maxUneven > 0 {
		s.card.Bar("closes in the fullest second to the mean", e.ratio, "<=", o.maxUneven, "x")
	}
	s.card.Tables = append(s.card.Tables, Table{
		Title: "The deploy",
		Columns: []string{"Mode", "Viewers", "Told", "Back", "Back after", "Old server ended", "Status", "New connections", "Failed",
			"Closes/s, fullest", "Closes/s, mean", "Ratio", "First to last close"},
		Rows: [][]string{{
			o.mode, grouped(h.joined), grouped(v.Outcomes["closed with 1012"]), grouped(h.joined - h.notBack), h.backAfter.Round(100 * time.Millisecond).String(),
			h.exitAfter.Round(100 * time.Millisecond).String(), fmt.Sprint(h.exit), grouped(guests), grouped(failed),
			digits(e.most), digits(e.mean), digits(e.ratio), digits(e.seconds) + " s",
		}},
	})
	s.note("outcomes: %s", countsText(outcomes))
	s.note("rooms of viewers were joined under %d epochs: %s", len(v.Epochs), countsText(v.Epochs))
}

// spread is how evenly closes lie over the time from the first to the last.
type spread struct {
	most, mean, ratio float64 // a second
	seconds           float64
}

// evenness sums up closes by tenths of seconds. A drain shorter than three
// seconds has no seconds to compare.
func evenness(closings map[int64]int64) spread {
	e := spread{ratio: math.NaN()}
	if len(closings) == 0 {
		return e
	}
	first, last, total := int64(math.MaxInt64), int64(0), int64(0)
	for at, n := range closings {
		first, last, total = min(first, at), max(last, at), total+n
	}
	const perSecond = 1e6 / closingMicros
	bins := map[int64]int64{}
	for at, n := range closings {
		bins[(at-first)/perSecond] += n
	}
	for _, n := range bins {
		e.most = max(e.most, float64(n))
	}
	e.seconds = float64(last-first+1) / perSecond
	e.mean = float64(total) / e.seconds
	if e.seconds >= 3 {
		e.ratio = e.most / e.mean
	}
	return e
}
