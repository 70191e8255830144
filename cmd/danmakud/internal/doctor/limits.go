package doctor

import (
	"log/slog"
	"sort"
)

// Limit is one thing that bounds the number of connections.
type Limit struct {
	Name        string
	Connections int64 // how many it allows
}

// Limits returns what bounds the number of connections on h, the smallest
// first. maxConnections is --max-connections; 0 if the operator set none.
func Limits(h Host, maxConnections int) []Limit {
	var limits []Limit
	add := func(name string, n int64) {
		limits = append(limits, Limit{Name: name, Connections: max(n, 0)})
	}
	if maxConnections > 0 {
		add("--max-connections", int64(maxConnections))
	}
	if _, hard, err := h.OpenFiles(); err == nil && clampLimit(hard) != unlimited {
		add("open files (RLIMIT_NOFILE)", clampLimit(hard)-ReservedFiles)
	}
	if h.OS == "linux" {
		linuxLimits(h, add)
	}
	sort.SliceStable(limits, func(i, j int) bool { return limits[i].Connections < limits[j].Connections })
	return limits
}

func linuxLimits(h Host, add func(name string, n int64)) {
	if files, ok := h.sysctl("fs.file-max"); ok && files != unlimited {
		if used, ok := h.sysctls("fs.file-nr", 3); ok {
			add("fs.file-max", files-used[0])
		}
	}
	if v, ok := h.sysctls("net.ipv4.tcp_mem", 3); ok {
		add("net.ipv4.tcp_mem", v[2]) // a page for each socket with anything queued
	}
	if most, ok := h.sysctl("net.netfilter.nf_conntrack_max"); ok {
		if count, ok := h.sysctl("net.netfilter.nf_conntrack_count"); ok && count > 0 {
			add("net.netfilter.nf_conntrack_max", most-count)
		}
	}
	const perConnection = kernelBytes + userBytes
	if free, ok := h.meminfo("MemAvailable"); ok {
		add("memory available", (free-baseBytes)/perConnection)
	}
	if g := h.cgroup(); g.memoryMax != unlimited {
		add("cgroup memory", (g.memoryMax-g.memoryUsed-baseBytes)/perConnection)
	}
}

// LogFirst says in one log line which limit binds first. It is a warning when
// that is less than the operator asked for with --max-connections.
func LogFirst(log *slog.Logger, h Host, maxConnections int) {
	limits := Limits(h, maxConnections)
	if len(limits) == 0 {
		log.Info("connections have no known limit")
		return
	}
	first := limits[0]
	attrs := []any{"limit", first.Name, "connections", first.Connections}
	if len(limits) > 1 {
		attrs = append(attrs, "next", limits[1].Name, "next_connections", limits[1].Connections)
	}
	if maxConnections > 0 && first.Connections < int64(maxConnections) {
		attrs = append(attrs, "wanted", maxConnections, "see", "danmakud doctor")
		log.Warn("max-connections cannot be reached on this host", attrs...)
		return
	}
	log.Info("first limit of connections", attrs...)
}
