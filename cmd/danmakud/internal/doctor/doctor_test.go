package doctor

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
)

// tree makes a file system of path and content.
func tree(files map[string]string) fs.FS {
	m := fstest.MapFS{}
	for path, content := range files {
		m[path] = &fstest.MapFile{Data: []byte(content + "\n")}
	}
	return m
}

// roomyFiles is a host on which 100,000 connections are no question.
func roomyFiles() map[string]string {
	return map[string]string{
		"proc/sys/fs/nr_open":                                        "1048576",
		"proc/sys/fs/file-max":                                       "9223372036854775807",
		"proc/sys/fs/file-nr":                                        "2000\t0\t9223372036854775807",
		"proc/sys/net/core/somaxconn":                                "4096",
		"proc/sys/net/ipv4/tcp_max_syn_backlog":                      "4096",
		"proc/sys/net/ipv4/ip_local_port_range":                      "1024\t65535",
		"proc/sys/net/ipv4/tcp_migrate_req":                          "1",
		"proc/sys/net/ipv4/tcp_mem":                                  "1000000\t1500000\t2000000",
		"proc/sys/net/ipv4/tcp_rmem":                                 "4096\t131072\t6291456",
		"proc/sys/net/ipv4/tcp_wmem":                                 "4096\t16384\t4194304",
		"proc/sys/net/netfilter/nf_conntrack_max":                    "262144",
		"proc/sys/net/netfilter/nf_conntrack_count":                  "40",
		"proc/meminfo":                                               "MemTotal:       32000000 kB\nMemFree:  1 kB\nMemAvailable:   30000000 kB",
		"proc/self/cgroup":                                           "0::/system.slice/danmakud.service",
		"sys/fs/cgroup/system.slice/memory.max":                      "max",
		"sys/fs/cgroup/system.slice/danmakud.service/memory.max":     "max",
		"sys/fs/cgroup/system.slice/danmakud.service/memory.current": "1000000",
		"sys/fs/cgroup/system.slice/danmakud.service/cpu.max":        "max 100000",
	}
}

func hostWith(hard uint64, files map[string]string) Host {
	return Host{
		Files:     tree(files),
		OpenFiles: func() (uint64, uint64, error) { return 1024, hard, nil },
		OS:        "linux",
		CPUs:      8,
		PageSize:  4096,
	}
}

func find(t *testing.T, r Report, name string) Check {
	t.Helper()
	for _, c := range r.Checks {
		if strings.HasPrefix(c.Name, name) {
			return c
		}
	}
	t.Fatalf("no check %q in %+v", name, r.Checks)
	return Check{}
}

func TestRoomyHostIsOK(t *testing.T) {
	r := Examine(hostWith(1048576, roomyFiles()), 100_000)
	if !r.Passed || !r.Remedy.Empty() {
		t.Errorf("passed %v, remedy %+v", r.Passed, r.Remedy)
	}
	for _, c := range r.Checks {
		if c.Status != OK {
			t.Errorf("%+v, want ok", c)
		}
		if c.Name == "" || c.Value == "" || c.Wanted == "" || c.Why == "" {
			t.Errorf("%+v has an empty field", c)
		}
	}
	if len(r.Checks) != 13 {
		t.Errorf("%d checks, want 13", len(r.Checks))
	}
}

// TestEachCheck changes one fact of the roomy host at a time.
func TestEachCheck(t *testing.T) {
	for _, tc := range []struct {
		name   string
		file   string // changed; empty: the limit of open files
		text   string
		hard   uint64
		check  string
		status Status
		remedy string // expected in the commands
	}{
		{name: "files short", hard: 100_063, check: "open files", status: Fail, remedy: "LimitNOFILE=100352"},
		{name: "files just enough", hard: 100_064, check: "open files", status: Warn, remedy: "ulimit -n 100352"},
		{name: "files enough", hard: 100_320, check: "open files", status: OK},
		{name: "files unlimited", hard: 1<<64 - 1, check: "open files", status: OK},
		{name: "nr_open", file: "proc/sys/fs/nr_open", text: "65536", check: "fs.nr_open", status: Fail, remedy: "sysctl -w fs.nr_open=100352"},
		{name: "file-max", file: "proc/sys/fs/file-max", text: "102319", check: "fs.file-max", status: Fail, remedy: "fs.file-max = 118784"},
		{name: "file-max tight", file: "proc/sys/fs/file-max", text: "102320", check: "fs.file-max", status: Warn, remedy: "fs.file-max"},
		{name: "somaxconn", file: "proc/sys/net/core/somaxconn", text: "128", check: "net.core.somaxconn", status: Warn, remedy: "sysctl -w net.core.somaxconn=4096"},
		{name: "syn", file: "proc/sys/net/ipv4/tcp_max_syn_backlog", text: "512", check: "net.ipv4.tcp_max_syn_backlog", status: Warn, remedy: "net.ipv4.tcp_max_syn_backlog = 4096"},
		{name: "migrate", file: "proc/sys/net/ipv4/tcp_migrate_req", text: "0", check: "net.ipv4.tcp_migrate_req", status: Warn, remedy: "net.ipv4.tcp_migrate_req = 1"},
		{name: "ports", file: "proc/sys/net/ipv4/ip_local_port_range", text: "32768 60999", check: "net.ipv4.ip_local_port_range", status: Warn, remedy: "ip_local_port_range='1024 65535'"},
		{name: "tcp_mem short", file: "proc/sys/net/ipv4/tcp_mem", text: "10 20 99999", check: "net.ipv4.tcp_mem", status: Fail, remedy: "net.ipv4.tcp_mem='200000 300000 400000'"},
		{name: "tcp_mem tight", file: "proc/sys/net/ipv4/tcp_mem", text: "10 199999 400000", check: "net.ipv4.tcp_mem", status: Warn, remedy: "net.ipv4.tcp_mem"},
		{name: "wmem", file: "proc/sys/net/ipv4/tcp_wmem", text: "65536 65536 4194304", check: "net.ipv4.tcp_wmem", status: Warn, remedy: "net.ipv4.tcp_wmem='4096 65536 4194304'"},
		{name: "rmem", file: "proc/sys/net/ipv4/tcp_rmem", text: "32768 131072 6291456", check: "net.ipv4.tcp_rmem", status: Warn, remedy: "net.ipv4.tcp_rmem"},
		{name: "conntrack", file: "proc/sys/net/netfilter/nf_conntrack_max", text: "65536", check: "net.netfilter.nf_conntrack_max", status: Fail, remedy: "nf_conntrack_max=125952"},
		{name: "conntrack tight", file: "proc/sys/net/netfilter/nf_conntrack_max", text: "110000", check: "net.netfilter.nf_conntrack_max", status: Warn, remedy: "nf_conntrack_max"},
		{name: "memory", file: "proc/meminfo", text: "MemAvailable: 300000 kB", check: "memory available", status: Fail, remedy: "# more memory"},
		{name: "memory tight", file: "proc/meminfo", text: "MemAvailable: 500000 kB", check: "memory available", status: Warn, remedy: "# more memory"},
		{name: "group memory", file: "sys/fs/cgroup/system.slice/memory.max", text: "268435456", check: "cgroup memory", status: Fail, remedy: "MemoryMax="},
		{name: "group processors", file: "sys/fs/cgroup/system.slice/danmakud.service/cpu.max", text: "50000 100000", check: "processors", status: Warn, remedy: "CPUQuota="},
		{name: "group processors enough", file: "sys/fs/cgroup/system.slice/danmakud.service/cpu.max", text: "250000 100000", check: "processors", status: OK},
	} {
		t.Run(tc.name, func(t *testing.T) {
			files := roomyFiles()
			hard := uint64(1048576)
			if tc.file != "" {
				if _, ok := files[tc.file]; !ok {
					t.Fatalf("%s is not in the tree", tc.file)
				}
				files[tc.file] = tc.text
			} else {
				hard = tc.hard
			}
			r := Examine(hostWith(hard, files), 100_000)
			if c := find(t, r, tc.check); c.Status != tc.status {
				t.Errorf("%+v, want %s", c, tc.status)
			}
			if r.Passed != (tc.status != Fail) {
				t.Errorf("passed is %v", r.Passed)
			}
			commands := r.Remedy.Commands()
			if tc.status == OK && commands != "" || !strings.Contains(commands, tc.remedy) {
				t.Errorf("commands:\n%s\nwant %q", commands, tc.remedy)
			}
			for _, c := range r.Checks {
				if c.Status != OK && !strings.HasPrefix(c.Name, tc.check) {
					t.Errorf("%+v changed as well", c)
				}
			}
		})
	}
}

// TestRemedyHelps applies what the report asks for and expects no complaint.
func TestRemedyHelps(t *testing.T) {
	const wanted = 500_000
	files := roomyFiles()
	files["proc/sys/fs/nr_open"] = "65536"
	files["proc/sys/fs/file-max"] = "100000"
	files["proc/sys/net/core/somaxconn"] = "128"
	files["proc/sys/net/ipv4/tcp_max_syn_backlog"] = "128"
	files["proc/sys/net/ipv4/tcp_mem"] = "1 2 3"
	files["proc/sys/net/ipv4/tcp_wmem"] = "65536 65536 65536"
	files["proc/sys/net/ipv4/ip_local_port_range"] = "32768 60999"
	first := Examine(hostWith(1024, files), wanted)
	if first.Passed {
		t.Fatal("the host passes before anything was changed")
	}
	for _, s := range first.Remedy.Sysctls {
		files["proc/sys/"+strings.ReplaceAll(s.Name, ".", "/")] = s.Value
	}
	again := Examine(hostWith(uint64(first.Remedy.OpenFiles), files), wanted)
	if !again.Passed || !again.Remedy.Empty() {
		t.Errorf("after the changes: passed %v, still %+v\n%+v", again.Passed, again.Remedy, again.Checks)
	}
}

func TestConntrackWithoutRulesOnlyWarns(t *testing.T) {
	files := roomyFiles()
	files["proc/sys/net/netfilter/nf_conntrack_max"] = "65536"
	files["proc/sys/net/netfilter/nf_conntrack_count"] = "0"
	r := Examine(hostWith(1048576, files), 100_000)
	if c := find(t, r, "net.netfilter"); c.Status != Warn || !r.Passed {
		t.Errorf("%+v, passed %v; want a warning", c, r.Passed)
	}
	delete(files, "proc/sys/net/netfilter/nf_conntrack_max")
	for _, c := range Examine(hostWith(1048576, files), 100_000).Checks {
		if strings.Contains(c.Name, "conntrack") {
			t.Errorf("without conntrack there is a check %+v", c)
		}
	}
}

func TestControlGroupsVersionOne(t *testing.T) {
	files := roomyFiles()
	files["proc/self/cgroup"] = "9:name=systemd:/\n4:memory:/box/a\n1:cpu,cpuacct:/box\n0::/"
	files["sys/fs/cgroup/memory/memory.limit_in_bytes"] = "9223372036854771712"
	files["sys/fs/cgroup/memory/box/memory.limit_in_bytes"] = "1073741824"
	files["sys/fs/cgroup/memory/box/memory.usage_in_bytes"] = "1048576"
	files["sys/fs/cgroup/cpu/box/cpu.cfs_quota_us"] = "150000"
	files["sys/fs/cgroup/cpu/box/cpu.cfs_period_us"] = "100000"
	files["sys/fs/cgroup/cpu/cpu.cfs_quota_us"] = "-1"
	files["sys/fs/cgroup/cpu/cpu.cfs_period_us"] = "100000"
	g := hostWith(1, files).cgroup()
	want := group{
		memoryMax: 1 << 30, memoryUsed: 1 << 20, memoryFile: "/sys/fs/cgroup/memory/box/memory.limit_in_bytes",
		cpus: 1.5, cpuFile: "/sys/fs/cgroup/cpu/box/cpu.cfs_quota_us",
	}
	if g != want {
		t.Errorf("group %+v, want %+v", g, want)
	}
}

// TestContainer: the path in /proc/self/cgroup is the host's and does not
// exist inside; the limit stands at the root of what the container sees.
func TestContainer(t *testing.T) {
	files := roomyFiles()
	files["proc/self/cgroup"] = "0::/kubepods/pod1/abc"
	files["sys/fs/cgroup/memory.max"] = "536870912"
	files["sys/fs/cgroup/memory.current"] = "0"
	if g := hostWith(1, files).cgroup(); g.memoryMax != 512<<20 {
		t.Errorf("memory limit %d, want that of the root", g.memoryMax)
	}
}

func TestBareHost(t *testing.T) {
	r := Examine(hostWith(2000, nil), 1000)
	if !r.Passed || len(r.Checks) != 2 {
		t.Errorf("checks %+v, want open files and processors alone", r.Checks)
	}
	h := hostWith(10, nil)
	h.OS = "darwin"
	var b bytes.Buffer
	if err := Examine(h, 1000).WriteText(&b); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "On darwin only the limit of open files is checked") {
		t.Errorf("text:\n%s", b.String())
	}
	h.OpenFiles = func() (uint64, uint64, error) { return 0, 0, errors.New("not today") }
	if c := find(t, Examine(h, 1000), "open files"); c.Status != Warn || c.Value != "not today" {
		t.Errorf("%+v, want a warning with the error", c)
	}
}

func TestText(t *testing.T) {
	files := roomyFiles()
	files["proc/sys/fs/nr_open"] = "65536"
	var b bytes.Buffer
	if err := Examine(hostWith(1024, files), 100_000).WriteText(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{
		"STATUS", "fail    open files (RLIMIT_NOFILE)", "soft 1,024, hard 1,024", "ok ", "fs.nr_open",
		"100,000 connections: this host cannot hold them (2 failed, 0 warnings)",
		"/etc/sysctl.d/60-danmakud.conf", "LimitNOFILE=100352", "ulimit -n 100352",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("text does not have %q:\n%s", want, text)
		}
	}
}

func TestCommandsAreShell(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no sh on this machine")
	}
	files := roomyFiles()
	files["proc/sys/net/ipv4/tcp_mem"] = "1 2 3"
	files["proc/meminfo"] = "MemTotal: 1000 kB\nMemAvailable: 1000 kB"
	commands := Examine(hostWith(1024, files), 2_000_000).Remedy.Commands()
	cmd := exec.Command(shell, "-n") // reads and parses, runs nothing
	cmd.Stdin = strings.NewReader(commands)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("sh -n: %v\n%s\n%s", err, out, commands)
	}
}

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	if err := Examine(hostWith(1024, roomyFiles()), 100_000).WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Connections int
		OK          bool `json:"ok"`
		Checks      []struct{ Name, Status, Value, Wanted, Why string }
		Remedy      struct {
			OpenFiles int `json:"open_files"`
		}
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Connections != 100_000 || got.OK || len(got.Checks) != 13 || got.Checks[0].Status != "fail" || got.Remedy.OpenFiles != 100352 {
		t.Errorf("%+v", got)
	}
}

func TestLimits(t *testing.T) {
	limits := Limits(hostWith(20_000, roomyFiles()), 0)
	if len(limits) != 4 || limits[0] != (Limit{"open files (RLIMIT_NOFILE)", 19_936}) {
		t.Errorf("limits %+v, want open files first", limits)
	}
	for i := 1; i < len(limits); i++ {
		if limits[i].Connections < limits[i-1].Connections {
			t.Errorf("limits are not sorted: %+v", limits)
		}
	}
	if first := Limits(hostWith(20_000, roomyFiles()), 500)[0]; first != (Limit{"--max-connections", 500}) {
		t.Errorf("first %+v, want the flag", first)
	}
	files := roomyFiles()
	files["sys/fs/cgroup/system.slice/danmakud.service/memory.max"] = "100000000"
	want := int64(100_000_000-1_000_000-baseBytes) / (kernelBytes + userBytes)
	if first := Limits(hostWith(20_000, files), 0)[0]; first != (Limit{"cgroup memory", want}) {
		t.Errorf("first %+v, want the control group with %d", first, want)
	}
	files["sys/fs/cgroup/system.slice/danmakud.service/memory.max"] = "1000"
	if first := Limits(hostWith(20_000, files), 0)[0]; first.Connections != 0 {
		t.Errorf("first %+v, want no connection at all, not less", first)
	}
	if first := Limits(hostWith(1<<64-1, nil), 0); len(first) != 0 {
		t.Errorf("limits %+v, want none", first)
	}
}

func TestLogFirst(t *testing.T) {
	for _, tc := range []struct {
		max   int
		hard  uint64
		level string
		want  []string
	}{
		{0, 20_000, "INFO", []string{`"limit":"open files (RLIMIT_NOFILE)"`, `"connections":19936`, `"next":`}},
		{100, 20_000, "INFO", []string{`"limit":"--max-connections"`, `"connections":100`, `"next_connections":19936`}},
		{50_000, 20_000, "WARN", []string{`"connections":19936`, `"wanted":50000`, "danmakud doctor"}},
	} {
		var b bytes.Buffer
		LogFirst(slog.New(slog.NewJSONHandler(&b, nil)), hostWith(tc.hard, roomyFiles()), tc.max)
		line := b.String()
		if strings.Count(line, "\n") != 1 || !strings.Contains(line, `"level":"`+tc.level+`"`) {
			t.Errorf("max %d: %q, want one line of level %s", tc.max, line, tc.level)
		}
		for _, want := range tc.want {
			if !strings.Contains(line, want) {
				t.Errorf("max %d: %q does not have %s", tc.max, line, want)
			}
		}
	}
}

// TestThisHost reads the real machine: every fact is there and none is absurd.
func TestThisHost(t *testing.T) {
	h := ThisHost()
	soft, hard, err := h.OpenFiles()
	if err != nil || soft == 0 || soft > hard {
		t.Errorf("open files soft %d, hard %d, %v", soft, hard, err)
	}
	r := Examine(h, 10)
	if find(t, r, "open files").Status == "" {
		t.Error("open files are not judged")
	}
	if runtime.GOOS == "linux" {
		if _, err := os.Stat("/proc/meminfo"); err == nil {
			find(t, r, "memory available")
		}
	}
	if len(Limits(h, 7)) == 0 {
		t.Error("no limit at all")
	}
}
