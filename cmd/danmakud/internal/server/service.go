package server

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

const (
	// serviceQueue is how many messages may wait for the service manager.
	serviceQueue = 16
	// serviceFlush is how long the last ones may take.
	serviceFlush = time.Second
)

// service is the service manager that started us, told by the sd_notify protocol
// how we are; where there is none (no NOTIFY_SOCKET), everything here does
// nothing. Sending blocks while the manager does not read, so a goroutine of its
// own does it. All methods are for the goroutine of Run.
type service struct {
	// Fixed after construction.
	log      *slog.Logger
	watchdog time.Duration // it wants to hear from us within this; 0 = it does not
	queue    chan string   // nil: there is no manager
	done     chan struct{} // closed when the last message is out

	// Owned by the goroutine of Run.
	alive    int64  // when it was last told that we are, on the loops' clock
	status   string // as it was told last
	stopping bool
}

// newService begins with what the environment says.
func newService(log *slog.Logger) *service {
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("no watchdog of the service manager", "error", err)
	}
	m := &service{log: log, watchdog: watchdog}
	if os.Getenv("NOTIFY_SOCKET") != "" {
		m.queue, m.done = make(chan string, serviceQueue), make(chan struct{})
	}
	return m
}

// start begins to send.
func (m *service) start() {
	if m.queue == nil {
		return
	}
	go func() {
		defer close(m.done)
		for state := range m.queue {
			if _, err := daemon.SdNotify(false, state); err != nil {
				m.log.Warn("service manager not told", "state", state, "error", err)
			}
		}
	}()
}

// close waits until the last message is out, but not for ever.
func (m *service) close() {
	if m.queue == nil {
		return
	}
	close(m.queue)
	select {
	case <-m.done:
	case <-time.After(serviceFlush):
	}
}

// every is how often attend must be called.
func (m *service) every() time.Duration {
	if m.watchdog <= 0 {
		return attendEvery
	}
	return min(attendEvery, m.watchdog/2)
}

func (m *service) notify(state string) {
	if m.queue == nil {
		return
	}
	select {
	case m.queue <- state:
	default:
		m.log.Warn("service manager does not listen", "state", state)
	}
}

// ready says that the ports accept, or that a reload has ended.
func (m *service) ready(status string) {
	m.status = status
	m.notify(daemon.SdNotifyReady + "\nSTATUS=" + status)
}

// reloading says that a reload begins; ready ends it.
func (m *service) reloading() {
	m.notify(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

// stop says that the drain begins.
func (m *service) stop(status string) {
	m.stopping, m.status = true, status
	m.notify(daemon.SdNotifyStopping + "\nSTATUS=" + status)
}

// attend tells a changed status, and at half the watchdog's interval that we are
// alive, if all loops turn: a manager that hears nothing ends us and starts anew.
// During a drain it asks for the time to go on.
func (m *service) attend(now int64, turning bool, status string) {
	if m.queue == nil {
		return
	}
	state := ""
	if status != m.status {
		m.status = status
		state = "STATUS=" + status
	}
	if m.stopping {
		state = addLine(state, fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", (drainLinger+stopTime+drainLinger).Microseconds()))
	}
	// A tick that comes a little early must not put the message off to the next.
	if m.watchdog > 0 && turning && now-m.alive >= int64(m.watchdog/2-m.watchdog/10) {
		m.alive = now
		state = addLine(state, daemon.SdNotifyWatchdog)
	}
	if state != "" {
		m.notify(state)
	}
}

func addLine(a, b string) string {
	if a == "" {
		return b
	}
	return a + "\n" + b
}
