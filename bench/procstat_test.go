package main

import (
	"net"
	"os"
	"runtime"
	"testing"
	"time"
)

// spin keeps a CPU busy until this process has used d more of it.
func spin(t *testing.T, d time.Duration) {
	t.Helper()
	start, err := ReadProcCPU(os.Getpid())
	if err != nil {
		t.Skipf("no CPU clock here: %v", err)
	}
	deadline := time.Now().Add(time.Minute)
	for n := 0; time.Now().Before(deadline); {
		for range 1_000_000 {
			n += n ^ 7
		}
		now, err := ReadProcCPU(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if now.CPU-start.CPU >= d {
			return
		}
	}
	t.Fatalf("the CPU clock did not advance by %v within a minute of spinning", d)
}

func TestReadProcOwnProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
	before, err := ReadProc(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	spin(t, 50*time.Millisecond)
	after, err := ReadProc(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	d := after.Since(before)
	if d.CPU < 50*time.Millisecond || d.CPU > 2*d.Elapsed*time.Duration(runtime.NumCPU()) {
		t.Errorf("CPU %v in %v elapsed", d.CPU, d.Elapsed)
	}
	if d.CPUPercent <= 0 {
		t.Errorf("CPU percent %v", d.CPUPercent)
	}
	if after.RSS < 1<<20 || after.RSSAnon <= 0 || after.RSSAnon > after.RSS || after.RSSPeak < after.RSS/2 {
		t.Errorf("memory: RSS %d anon %d peak %d", after.RSS, after.RSSAnon, after.RSSPeak)
	}
	if after.Threads < 1 || after.FDs < 3 || after.Voluntary+after.Involuntary <= 0 {
		t.Errorf("threads %d fds %d switches %d+%d", after.Threads, after.FDs, after.Voluntary, after.Involuntary)
	}
	if after.CPUSource != "clock" {
		t.Errorf("CPU came from %q, want the process clock", after.CPUSource)
	}
}

func TestCPUSourcesAgree(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
	spin(t, 100*time.Millisecond)
	pid := os.Getpid()
	clock, err := processClock(pid)
	if err != nil {
		t.Fatal(err)
	}
	sched, err := schedstatCPU(pid)
	if err != nil {
		t.Skipf("no schedstat: %v", err)
	}
	ticks, err := statCPU(pid)
	if err != nil {
		t.Fatal(err)
	}
	// Each may lag by a tick for each thread; a wrong field or unit is off by far more.
	const slack = 100 * time.Millisecond
	if sched < clock/2 || sched > clock+slack {
		t.Errorf("schedstat %v, clock %v", sched, clock)
	}
	if ticks < clock/2 || ticks > 2*clock+slack {
		t.Errorf("stat %v, clock %v", ticks, clock)
	}
}

func TestReadProcCountsDescriptors(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // also opens the poller of the runtime
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	before, err := ReadProc(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const n = 20
	for range n {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	after, err := ReadProc(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if after.FDs-before.FDs != n {
		t.Errorf("opened %d files, the count rose from %d to %d", n, before.FDs, after.FDs)
	}
}

func TestReadProcGone(t *testing.T) {
	for _, pid := range []int{-1, 0, 1 << 29} {
		if s, err := ReadProc(pid); err == nil {
			t.Errorf("pid %d gave %+v", pid, s)
		}
		if s, err := ReadProcCPU(pid); err == nil {
			t.Errorf("pid %d gave CPU %+v", pid, s)
		}
	}
}

func TestStatTicks(t *testing.T) {
	cases := []struct {
		name string
		stat string
		want int64
		fail bool
	}{
		{
			name: "plain",
			stat: "12 (cat) S 1 2 3 4 5 6 7 8 9 10 70 30 0 0 20 0",
			want: 100,
		},
		{
			name: "name with brackets and spaces",
			stat: "12 (a) R 99 (b) S 1 2 3 4 5 6 7 8 9 10 7 3 0 0 20 0",
			want: 10,
		},
		{
			name: "cut",
			stat: "12 (cat) S 1 2 3",
			fail: true,
		},
		{
			name: "empty",
			fail: true,
		},
	}
	for _, c := range cases {
		got, err := statTicks([]byte(c.stat))
		if (err != nil) != c.fail || !c.fail && got != c.want {
			t.Errorf("%s: %d, %v", c.name, got, err)
		}
	}
}

func TestMachineCPU(t *testing.T) {
	var a, b MachineSample
	if err := a.fillStat([]byte("cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1 2 3\n")); err != nil {
		t.Fatal(err)
	}
	if err := b.fillStat([]byte("cpu  110 5 120 850 5 2 3 5 50 0\ncpu0 1 2 3\n")); err != nil {
		t.Fatal(err)
	}
	d := b.Since(a)
	if d.BusyPercent != 40 || d.StealPercent != 5 {
		t.Errorf("busy %v steal %v, want 40 and 5", d.BusyPercent, d.StealPercent)
	}
	if err := a.fillStat([]byte("intr 1 2 3")); err == nil {
		t.Error("a line that is not cpu was taken")
	}
	if runtime.GOOS == "linux" {
		s, err := ReadMachineCPU()
		if err != nil || s.Busy <= 0 || s.Idle <= 0 {
			t.Errorf("%+v, %v", s, err)
		}
	}
}
