package doctor

import (
	"path"
	"strings"
)

// group is what the control groups above this process allow.
type group struct {
	memoryMax  int64 // bytes; unlimited if there is no limit
	memoryUsed int64 // bytes in the group with that limit
	memoryFile string
	cpus       float64 // CPU seconds a second; 0 if there is no limit
	cpuFile    string
}

// cgroup reads the limits of both versions of control groups: the tightest
// limit on the way from the process's group up to the root counts. In a
// container the path in /proc/self/cgroup may not exist below /sys/fs/cgroup;
// the root then is the container's own group, and is on the way as well.
func (h Host) cgroup() group {
	g := group{memoryMax: unlimited}
	for line := range strings.Lines(h.text("proc/self/cgroup")) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		controllers, dir := parts[1], parts[2]
		if controllers == "" {
			h.walkUp("sys/fs/cgroup", dir, func(d string) {
				g.limitMemory(h, d, "memory.max", "memory.current")
				g.limitCPUv2(h, d)
			})
			continue
		}
		for _, controller := range strings.Split(controllers, ",") {
			root := "sys/fs/cgroup/" + controllers
			if h.text(root+"/cgroup.procs") == "" {
				root = "sys/fs/cgroup/" + controller
			}
			switch controller {
			case "memory":
				h.walkUp(root, dir, func(d string) {
					g.limitMemory(h, d, "memory.limit_in_bytes", "memory.usage_in_bytes")
				})
			case "cpu":
				h.walkUp(root, dir, func(d string) { g.limitCPUv1(h, d) })
			}
		}
	}
	return g
}

func (h Host) walkUp(root, dir string, visit func(dir string)) {
	for dir = path.Clean("/" + dir); ; dir = path.Dir(dir) {
		visit(path.Join(root, dir))
		if dir == "/" {
			return
		}
	}
}

func (g *group) limitMemory(h Host, dir, limitFile, usedFile string) {
	limit, ok := h.number(dir + "/" + limitFile)
	// Version 1 writes "no limit" as the largest number of whole pages.
	if !ok || limit >= 1<<62 || limit >= g.memoryMax {
		return
	}
	used, _ := h.number(dir + "/" + usedFile)
	g.memoryMax, g.memoryUsed, g.memoryFile = limit, used, "/"+dir+"/"+limitFile
}

func (g *group) limitCPUv2(h Host, dir string) {
	if v, ok := h.numbers(dir+"/cpu.max", 2); ok && v[0] != unlimited {
		g.limitCPU(v[0], v[1], dir+"/cpu.max")
	}
}

func (g *group) limitCPUv1(h Host, dir string) {
	quota, ok1 := h.number(dir + "/cpu.cfs_quota_us")
	period, ok2 := h.number(dir + "/cpu.cfs_period_us")
	if ok1 && ok2 {
		g.limitCPU(quota, period, dir+"/cpu.cfs_quota_us")
	}
}

func (g *group) limitCPU(quota, period int64, file string) {
	if quota <= 0 || period <= 0 { // version 1 writes "no limit" as -1
		return
	}
	if cpus := float64(quota) / float64(period); g.cpus == 0 || cpus < g.cpus {
		g.cpus, g.cpuFile = cpus, "/"+file
	}
}
