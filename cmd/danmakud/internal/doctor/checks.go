package doctor

import (
	"fmt"
	"strings"
)

// openFiles: every connection is one file of the process.
func (e *examination) openFiles() {
	soft, hard, err := e.host.OpenFiles()
	if err != nil {
		e.add("open files", Warn, err.Error(), "", "cannot be read")
		return
	}
	must, should := e.wanted+ReservedFiles, e.wanted+ReservedFiles+plainFiles
	status := judge(clampLimit(hard), must, should)
	why := "one file a connection; the server raises the soft limit to the hard one itself"
	e.add("open files (RLIMIT_NOFILE)", status,
		fmt.Sprintf("soft %s, hard %s", number(clampLimit(soft)), number(clampLimit(hard))),
		"hard "+number(should), why)
	if status != OK {
		e.remedy.OpenFiles = roundUp(should, 1024)
	}
}

// machineFiles: the ceilings above RLIMIT_NOFILE.
func (e *examination) machineFiles() {
	should := e.wanted + ReservedFiles + plainFiles
	if v, ok := e.host.sysctl("fs.nr_open"); ok {
		status := judge(v, e.wanted+ReservedFiles, should)
		e.add("fs.nr_open", status, number(v), number(should), "no hard limit of open files can be set above it")
		e.raise(status, "fs.nr_open", roundUp(should, 1024))
	}
	max, ok := e.host.sysctl("fs.file-max")
	if !ok {
		return
	}
	var used int64
	if v, ok := e.host.sysctls("fs.file-nr", 3); ok {
		used = v[0]
	}
	status := judge(max, used+should, used+should+otherFiles)
	e.add("fs.file-max", status, number(max), number(used+should+otherFiles),
		fmt.Sprintf("open files of the whole machine, %s now", number(used)))
	e.raise(status, "fs.file-max", roundUp(used+should+otherFiles, 1024))
}

// queues: where connections wait that are not accepted yet. The server accepts
// some 40,000 a second, so 4,096 places last 100 ms, longer than the acceptor
// ever sleeps except when files run out.
func (e *examination) queues() {
	should := min(max(e.wanted, 128), 4096)
	if e.wanted > 200_000 {
		should = 16384
	}
	for _, q := range []struct{ name, why string }{
		{"net.core.somaxconn", "accept queue; when viewers all come back at once, what does not fit is dropped and retried after a second"},
		{"net.ipv4.tcp_max_syn_backlog", "handshakes under way; beyond it only SYN cookies, which forget window scaling on some peers"},
	} {
		v, ok := e.host.sysctl(q.name)
		if !ok {
			continue
		}
		status := judge(v, 0, should)
		e.add(q.name, status, number(v), number(should), q.why)
		e.raise(status, q.name, should)
	}
}

// handOver: what becomes of connections that wait in the queue of a process which
// hands its port over to another one.
func (e *examination) handOver() {
	v, ok := e.host.sysctl("net.ipv4.tcp_migrate_req")
	if !ok {
		return // before Linux 5.14
	}
	status := judge(v, 0, 1)
	e.add("net.ipv4.tcp_migrate_req", status, number(v), number(1),
		"matters to a hand-over with --reuse-port only: without it, connections still waiting for the old process are reset when it goes")
	e.raise(status, "net.ipv4.tcp_migrate_req", 1)
}

// ports: only the connecting side uses them up.
func (e *examination) ports() {
	v, ok := e.host.sysctls("net.ipv4.ip_local_port_range", 2)
	if !ok {
		return
	}
	ports := v[1] - v[0] + 1
	should := min(e.wanted, 64000)
	status := judge(ports, 0, should)
	e.add("net.ipv4.ip_local_port_range", status, fmt.Sprintf("%d-%d, %s ports", v[0], v[1], number(ports)), number(should)+" ports",
		"matters to a load tool or proxy on this host: connections from one of its addresses to one port")
	if status == Warn {
		e.remedy.sysctl("net.ipv4.ip_local_port_range", "1024 65535")
	}
}

// tcpMemory: a socket is charged at least one page as soon as anything is
// queued in it, and during a broadcast that is every socket.
func (e *examination) tcpMemory() {
	v, ok := e.host.sysctls("net.ipv4.tcp_mem", 3)
	if !ok {
		return
	}
	pressure, most := v[1], v[2]
	status := judge(most, e.wanted, e.wanted)
	if status == OK {
		status = judge(pressure, 0, 2*e.wanted)
	}
	page := int64(e.host.PageSize)
	e.add("net.ipv4.tcp_mem", status,
		fmt.Sprintf("pressure at %s, most %s pages", number(pressure), number(most)),
		fmt.Sprintf("pressure at %s pages", number(2*e.wanted)),
		fmt.Sprintf("each socket with anything queued takes a page or more; the most here is %s for all sockets of the machine", size(most*page)))
	if status != OK {
		low, high := 2*e.wanted, 4*e.wanted
		e.remedy.sysctl("net.ipv4.tcp_mem", fmt.Sprintf("%d %d %d", low, (low+high)/2, high))
		if total, ok := e.host.meminfo("MemTotal"); ok && high*page > total/2 {
			e.remedy.note(fmt.Sprintf("net.ipv4.tcp_mem below lets all sockets together take %s of %s of memory: see that the rest suffices",
				size(high*page), size(total)))
		}
	}
}

// socketMinimum: what every socket may hold even when tcp_mem is used up.
func (e *examination) socketMinimum() {
	for _, name := range []string{"net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"} {
		v, ok := e.host.sysctls(name, 3)
		if !ok {
			continue
		}
		status := OK
		page := int64(e.host.PageSize)
		if v[0] > 4*page {
			status = Warn
		}
		e.add(name, status, fmt.Sprintf("%d %d %d", v[0], v[1], v[2]), fmt.Sprintf("least at most %d", 4*page),
			"the first number is granted to every socket even when tcp_mem is used up")
		if status != OK {
			e.remedy.sysctl(name, fmt.Sprintf("%d %d %d", page, v[1], v[2]))
		}
	}
}

// conntrack: a full table drops new connections without a word to either side.
func (e *examination) conntrack() {
	most, ok := e.host.sysctl("net.netfilter.nf_conntrack_max")
	if !ok {
		return
	}
	count, _ := e.host.sysctl("net.netfilter.nf_conntrack_count")
	should := count + e.wanted + e.wanted/4
	status := judge(most, count+e.wanted, should)
	why := fmt.Sprintf("connections the packet filter remembers, %s now; a full table drops new ones silently", number(count))
	if status == Fail && count == 0 {
		// The module is there, but nothing is tracked: no rule asks for it.
		status = Warn
		why = "connections the packet filter would remember; none now, so it binds only once a rule needs it"
	}
	e.add("net.netfilter.nf_conntrack_max", status, number(most), number(should), why)
	e.raise(status, "net.netfilter.nf_conntrack_max", roundUp(should, 1024))
}

// memory: of the machine, and of the control group if that has a limit.
func (e *examination) memory() {
	must := baseBytes + e.wanted*(kernelBytes+userBytes)
	should := must + e.wanted*int64(e.host.PageSize)
	why := fmt.Sprintf("about %s of kernel and %d B of server memory a connection, and a page while something is queued", size(kernelBytes), userBytes)
	if free, ok := e.host.meminfo("MemAvailable"); ok {
		status := judge(free, must, should)
		e.add("memory available", status, size(free), size(should), why)
		if status != OK {
			e.remedy.note(fmt.Sprintf("more memory: %s should be available, %s is", size(should), size(free)))
		}
	}
	g := e.host.cgroup()
	if g.memoryMax == unlimited {
		return
	}
	free := max(g.memoryMax-g.memoryUsed, 0)
	status := judge(free, must, should)
	e.add("cgroup memory", status, fmt.Sprintf("%s of %s free", size(free), size(g.memoryMax)), size(should)+" free",
		"socket memory of the kernel counts in the control group too ("+g.memoryFile+")")
	if status != OK {
		e.remedy.note(fmt.Sprintf("raise the memory limit of the control group to %s (systemd: MemoryMax=, containers: --memory)", size(roundUp(g.memoryUsed+should, 64<<20))))
	}
}

// processors: a quota stops the process for the rest of each period.
func (e *examination) processors() {
	g := e.host.cgroup()
	if g.cpus == 0 {
		e.add("processors", OK, fmt.Sprint(e.host.CPUs), "no quota", "without a quota a broadcast is never stopped half-way")
		return
	}
	status := OK
	if g.cpus < 1 {
		status = Warn
		e.remedy.note("give the control group at least one CPU (systemd: CPUQuota=, containers: --cpus)")
	}
	value := strings.TrimSuffix(fmt.Sprintf("%.1f", g.cpus), ".0")
	e.add("processors", status, fmt.Sprintf("quota of %s of %d", value, e.host.CPUs), "1 or more",
		"when the quota is used up, every viewer waits for the next period ("+g.cpuFile+")")
}

// raise adds a sysctl to the remedy unless the check was fine.
func (e *examination) raise(s Status, name string, value int64) {
	if s != OK {
		e.remedy.sysctl(name, fmt.Sprint(value))
	}
}

func roundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }
