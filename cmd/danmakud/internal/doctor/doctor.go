// Package doctor judges whether a host can hold a wanted number of
// connections, and says what to change.
//
//	/proc, /sys (fs.FS) ─┐
//	RLIMIT_NOFILE       ─┴─► Host ─► Examine(N) ─► Report ─► table + commands, JSON
//	                          │
//	                          └────► Limits ─► the smallest: one log line at start
//
// Nothing is changed on the host. What cannot be read is left out of the
// report, so that a container without /proc/sys still gets the rest.
package doctor

import "fmt"

// What one connection costs the host, measured with this server on Linux 6.18.
const (
	// kernelBytes is the kernel memory of one end of an idle TCP connection
	// that is registered in epoll.
	kernelBytes = 3800
	// userBytes is the memory of the server itself for an idle viewer.
	userBytes = 200
	// baseBytes is what the server takes before the first connection, with
	// room for batches under way.
	baseBytes = 64 << 20

	// ReservedFiles is how many open files are kept back from connections:
	// listeners, pollers, wake-ups, log, binaries.
	ReservedFiles = 64
	// plainFiles is for plain HTTP connections, which are no viewers.
	plainFiles = 256
	// otherFiles is room for the other processes of the machine in
	// machine-wide tables.
	otherFiles = 16384
)

// Status is the judgement of one check.
type Status string

const (
	OK   Status = "ok"   // enough
	Warn Status = "warn" // works, but less well in some situation
	Fail Status = "fail" // the wanted number cannot be reached
)

// Check is one thing that was looked at.
type Check struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	Value  string `json:"value"`
	Wanted string `json:"wanted"`
	Why    string `json:"why"`
}

// Report is the result of Examine.
type Report struct {
	Connections int     `json:"connections"`
	OS          string  `json:"os"`
	Passed      bool    `json:"ok"` // no check failed; warnings are allowed
	Checks      []Check `json:"checks"`
	Remedy      Remedy  `json:"remedy"`
}

// Examine checks h for the wanted number of connections to one server.
func Examine(h Host, connections int) Report {
	e := examination{host: h, wanted: int64(connections)}
	e.openFiles()
	if h.OS == "linux" {
		e.machineFiles()
		e.queues()
		e.handOver()
		e.ports()
		e.tcpMemory()
		e.socketMinimum()
		e.conntrack()
		e.memory()
		e.processors()
	}
	r := Report{Connections: connections, OS: h.OS, Passed: true, Checks: e.checks, Remedy: e.remedy}
	for _, c := range e.checks {
		if c.Status == Fail {
			r.Passed = false
		}
	}
	return r
}

// examination collects checks and remedies; used by one goroutine, once.
type examination struct {
	host   Host
	wanted int64
	checks []Check
	remedy Remedy
}

func (e *examination) add(name string, s Status, value, wanted, why string) {
	e.checks = append(e.checks, Check{Name: name, Status: s, Value: value, Wanted: wanted, Why: why})
}

// judge returns fail below must, warn below should, else ok.
func judge(value, must, should int64) Status {
	switch {
	case value < must:
		return Fail
	case value < should:
		return Warn
	}
	return OK
}

// number writes n with thousands apart, since seven digits are hard to read.
func number(n int64) string {
	if n == unlimited {
		return "no limit"
	}
	s := fmt.Sprint(n)
	start := 0
	if n < 0 {
		start = 1
	}
	for i := len(s) - 3; i > start; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// size writes bytes in the unit in which they are looked at.
func size(n int64) string {
	switch {
	case n == unlimited:
		return "no limit"
	case n >= 10<<30:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 10<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}
