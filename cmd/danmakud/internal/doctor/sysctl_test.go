package doctor

import (
	"maps"
	"os"
	"strings"
	"testing"
)

// shippedSysctls reads the file that packages install.
func shippedSysctls(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../../../deploy/sysctl.d/danmakud.conf")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for _, line := range strings.Split(string(text), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, found := strings.Cut(line, "=")
		if !found {
			t.Errorf("line %q is no setting", line)
		}
		values[strings.TrimPrefix(strings.TrimSpace(name), "-")] = strings.TrimSpace(value)
	}
	return values
}

// TestShippedSysctls: with the file, and the open files that the unit asks for, a host
// that is large enough holds a million viewers; without any one of its lines doctor
// would have something to say.
func TestShippedSysctls(t *testing.T) {
	const wanted = 1_000_000
	values := shippedSysctls(t)
	if len(values) < 3 {
		t.Fatalf("only %v is set", values)
	}
	files := roomyFiles()
	maps.Copy(files, map[string]string{
		"proc/sys/net/core/somaxconn":               "128",
		"proc/sys/net/ipv4/tcp_max_syn_backlog":     "128",
		"proc/sys/net/ipv4/tcp_migrate_req":         "0",
		"proc/sys/net/netfilter/nf_conntrack_max":   "65536",
		"proc/sys/net/netfilter/nf_conntrack_count": "0",
		"proc/sys/net/ipv4/tcp_mem":                 "2000000 3000000 4000000",
	})
	place := func(name string) string { return "proc/sys/" + strings.ReplaceAll(name, ".", "/") }
	complaints := func(without string) []string {
		changed := maps.Clone(files)
		for name, value := range values {
			if _, ok := changed[place(name)]; !ok {
				t.Errorf("doctor knows nothing of %s", name)
			}
			if name != without {
				changed[place(name)] = value
			}
		}
		var names []string
		for _, c := range Examine(hostWith(1048576, changed), wanted).Checks {
			if c.Status != OK {
				names = append(names, c.Name)
			}
		}
		return names
	}
	if names := complaints(""); len(names) > 0 {
		t.Errorf("with the file doctor still speaks of %q", names)
	}
	for name := range values {
		if names := complaints(name); len(names) != 1 || names[0] != name {
			t.Errorf("without %s doctor speaks of %q", name, names)
		}
	}
}
