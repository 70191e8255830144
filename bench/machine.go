package main

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
)

// Machine says what the run ran on. Fields that this system does not tell are
// empty. The name of the host is left out on purpose: cards get published.
type Machine struct {
	OS          string            `json:"os"`
	Arch        string            `json:"arch"`
	Kernel      string            `json:"kernel,omitempty"`
	Distro      string            `json:"distro,omitempty"`
	CPUModel    string            `json:"cpu_model,omitempty"`
	CPUs        int               `json:"cpus"` // usable by this process
	CPUMHz      float64           `json:"cpu_mhz,omitempty"`
	CPUCache    string            `json:"cpu_cache,omitempty"`
	Hypervisor  bool              `json:"hypervisor"`
	MemoryBytes int64             `json:"memory_bytes,omitempty"`
	LoadAverage string            `json:"load_average,omitempty"` // when the run began
	GoMaxProcs  int               `json:"gomaxprocs"`
	OpenFiles   uint64            `json:"open_files_soft"`
	OpenFilesHi uint64            `json:"open_files_hard"`
	Mitigations map[string]string `json:"mitigations,omitempty"` // those that are in force
	Sysctls     map[string]string `json:"sysctls,omitempty"`
}

// sysctlNames are those that bend the results of a broadcast server.
var sysctlNames = []string{
	"fs.file-max",
	"fs.nr_open",
	"net.core.netdev_max_backlog",
	"net.core.rmem_max",
	"net.core.somaxconn",
	"net.core.wmem_max",
	"net.ipv4.ip_local_port_range",
	"net.ipv4.tcp_congestion_control",
	"net.ipv4.tcp_max_syn_backlog",
	"net.ipv4.tcp_mem",
	"net.ipv4.tcp_rmem",
	"net.ipv4.tcp_wmem",
	"net.netfilter.nf_conntrack_max",
	"vm.overcommit_memory",
}

// ReadMachine describes this machine from /proc and /sys. It never fails:
// what cannot be read stays empty, as on systems without these files.
func ReadMachine() Machine {
	m := Machine{
		OS:         runtime.GOOS,
		Arch:       runtime.GOARCH,
		Kernel:     strings.TrimSpace(readText("/proc/sys/kernel/osrelease")),
		Distro:     distro(readText("/etc/os-release")),
		CPUs:       runtime.NumCPU(),
		GoMaxProcs: runtime.GOMAXPROCS(0),
	}
	m.fillCPU(readText("/proc/cpuinfo"))
	m.MemoryBytes = memTotal(readText("/proc/meminfo"))
	if f := strings.Fields(readText("/proc/loadavg")); len(f) >= 3 {
		m.LoadAverage = strings.Join(f[:3], " ")
	}
	var lim syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim) == nil {
		m.OpenFiles, m.OpenFilesHi = uint64(lim.Cur), uint64(lim.Max)
	}
	m.Mitigations = mitigations("/sys/devices/system/cpu/vulnerabilities")
	m.Sysctls = readSysctls("/proc/sys", sysctlNames)
	return m
}

// fillCPU takes the first processor of /proc/cpuinfo.
func (m *Machine) fillCPU(cpuinfo string) {
	first, _, _ := strings.Cut(cpuinfo, "\n\n")
	for line := range strings.Lines(first) {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(name) {
		case "model name", "Model", "Hardware":
			m.CPUModel = value
		case "cpu MHz":
			m.CPUMHz, _ = strconv.ParseFloat(value, 64)
		case "cache size":
			m.CPUCache = value
		case "flags":
			m.Hypervisor = strings.Contains(" "+value+" ", " hypervisor ")
		}
	}
}

func memTotal(meminfo string) int64 {
	for line := range strings.Lines(meminfo) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			return kilobytes(rest)
		}
	}
	return 0
}

// kilobytes reads "  1234 kB" as bytes.
func kilobytes(s string) int64 {
	f := strings.Fields(s)
	if len(f) == 0 {
		return 0
	}
	n, err := strconv.ParseInt(f[0], 10, 64)
	if err != nil {
		return 0
	}
	return n * 1024
}

func distro(osRelease string) string {
	for line := range strings.Lines(osRelease) {
		if v, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
			return strings.Trim(strings.TrimSpace(v), `"'`)
		}
	}
	return ""
}

// mitigations lists what costs system calls time: entries that say more than
// "Not affected".
func mitigations(dir string) map[string]string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	found := map[string]string{}
	for _, e := range entries {
		v := strings.TrimSpace(readText(filepath.Join(dir, e.Name())))
		if v != "" && v != "Not affected" {
			found[e.Name()] = v
		}
	}
	return found
}

func readSysctls(root string, names []string) map[string]string {
	var found map[string]string
	for _, name := range names {
		v := readText(filepath.Join(root, strings.ReplaceAll(name, ".", "/")))
		if v == "" {
			continue
		}
		if found == nil {
			found = map[string]string{}
		}
		found[name] = strings.Join(strings.Fields(v), " ")
	}
	return found
}

// readText is the content of a small file, or nothing.
func readText(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(b)
}

// ReadBuild says which bench this is, from what the Go tool recorded in it.
func ReadBuild() Build {
	b := Build{Version: "(devel)", GoVersion: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}
