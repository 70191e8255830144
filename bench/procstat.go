package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// ProcSample is what /proc tells about a process at one moment. Two samples
// are subtracted with Since; a single one says little about CPU.
type ProcSample struct {
	At          time.Time
	CPU         time.Duration // used by all threads since the process began
	CPUSource   string        // "clock", "schedstat" or "stat": see readCPU
	RSS         int64         // bytes resident (VmRSS)
	RSSAnon     int64         // bytes of it that are anonymous: heap, stacks, columns (RssAnon)
	RSSPeak     int64         // bytes, highest ever (VmHWM)
	Threads     int
	FDs         int   // open descriptors; -1 where /proc does not let us look
	Voluntary   int64 // context switches: went to sleep
	Involuntary int64 // context switches: was put off its CPU
}

// ProcDelta is what a process used between two samples.
type ProcDelta struct {
	Elapsed                time.Duration
	CPU                    time.Duration
	CPUPercent             float64 // 100 = one core
	Voluntary, Involuntary int64
}

// Since subtracts an earlier sample of the same process.
func (s ProcSample) Since(earlier ProcSample) ProcDelta {
	d := ProcDelta{
		Elapsed:     s.At.Sub(earlier.At),
		CPU:         s.CPU - earlier.CPU,
		Voluntary:   s.Voluntary - earlier.Voluntary,
		Involuntary: s.Involuntary - earlier.Involuntary,
	}
	if d.Elapsed > 0 {
		d.CPUPercent = 100 * float64(d.CPU) / float64(d.Elapsed)
	}
	return d
}

var errNoProc = errors.New("bench: this system has no /proc of the Linux kind")

// ReadProc samples a process. Any goroutine may call it. It costs one system
// call for the CPU, one small file for the memory and one directory for the
// descriptors; use ReadProcCPU where only the CPU matters. The error says
// that the process is gone or that this system has no /proc.
func ReadProc(pid int) (ProcSample, error) {
	s, err := ReadProcCPU(pid)
	if err != nil {
		return s, err
	}
	status, err := os.ReadFile(procPath(pid, "status"))
	if err != nil {
		return s, fmt.Errorf("process %d: %w", pid, err)
	}
	s.fillStatus(status)
	s.FDs = -1
	if d, err := os.Open(procPath(pid, "fd")); err == nil {
		if names, err := d.Readdirnames(-1); err == nil {
			s.FDs = len(names)
		}
		d.Close()
	}
	if pid == os.Getpid() && s.FDs > 0 {
		s.FDs-- // the one that was open to count them
	}
	return s, nil
}

// ReadProcCPU samples only At, CPU and CPUSource.
func ReadProcCPU(pid int) (ProcSample, error) {
	cpu, source, err := readCPU(pid)
	return ProcSample{At: time.Now(), CPU: cpu, CPUSource: source, FDs: -1}, err
}

// readCPU asks three sources, best first. The kernel's CPU clock of the
// process counts nanoseconds and includes threads that have ended and the
// part of the current time slice that is over. schedstat counts nanoseconds
// too but lags by up to a timer tick and forgets ended threads. stat counts
// ticks of 10 ms.
func readCPU(pid int) (time.Duration, string, error) {
	if d, err := processClock(pid); err == nil {
		return d, "clock", nil
	}
	if d, err := schedstatCPU(pid); err == nil && d > 0 {
		return d, "schedstat", nil
	}
	d, err := statCPU(pid)
	return d, "stat", err
}

func procPath(pid int, name string) string {
	return "/proc/" + strconv.Itoa(pid) + "/" + name
}

// schedstatCPU adds up the first number of every thread's schedstat.
func schedstatCPU(pid int) (time.Duration, error) {
	dir := procPath(pid, "task")
	threads, err := os.ReadDir(dir)
	if err != nil {
		return 0, procError(pid, err)
	}
	var sum time.Duration
	for _, t := range threads {
		b, err := os.ReadFile(dir + "/" + t.Name() + "/schedstat")
		if errors.Is(err, os.ErrNotExist) {
			if _, err := os.Stat(dir + "/" + t.Name()); err == nil {
				return 0, errNoProc // the thread lives: this kernel keeps no schedstat
			}
			continue // it ended meanwhile
		}
		if err != nil {
			continue // ESRCH: it ended between open and read
		}
		ns, err := firstNumber(b)
		if err != nil {
			return 0, fmt.Errorf("process %d: schedstat: %w", pid, err)
		}
		sum += time.Duration(ns)
	}
	return sum, nil
}

// clockTicksPerSecond is USER_HZ, in which stat counts; 100 on every Linux
// port that Go supports.
const clockTicksPerSecond = 100

// statCPU is utime + stime of /proc/PID/stat.
func statCPU(pid int) (time.Duration, error) {
	b, err := os.ReadFile(procPath(pid, "stat"))
	if err != nil {
		return 0, procError(pid, err)
	}
	ticks, err := statTicks(b)
	if err != nil {
		return 0, fmt.Errorf("process %d: %w", pid, err)
	}
	return time.Duration(ticks) * (time.Second / clockTicksPerSecond), nil
}

// statTicks finds fields 14 and 15. The second field, the name, may itself
// hold spaces and brackets, so counting starts behind its last bracket.
func statTicks(stat []byte) (int64, error) {
	f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(f) < 13 {
		return 0, errors.New("stat: too few fields")
	}
	user, err1 := strconv.ParseInt(string(f[11]), 10, 64)
	system, err2 := strconv.ParseInt(string(f[12]), 10, 64)
	return user + system, errors.Join(err1, err2)
}

func procError(pid int, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		if _, e := os.Stat("/proc/self/stat"); e != nil {
			return errNoProc
		}
		return fmt.Errorf("process %d is gone: %w", pid, err)
	}
	return err
}

func firstNumber(b []byte) (int64, error) {
	f := bytes.Fields(b)
	if len(f) == 0 {
		return 0, errors.New("empty")
	}
	return strconv.ParseInt(string(f[0]), 10, 64)
}

// fillStatus reads /proc/PID/status.
func (s *ProcSample) fillStatus(status []byte) {
	for line := range bytes.Lines(status) {
		name, value, ok := strings.Cut(string(line), ":")
		if !ok {
			continue
		}
		switch name {
		case "VmRSS":
			s.RSS = kilobytes(value)
		case "RssAnon":
			s.RSSAnon = kilobytes(value)
		case "VmHWM":
			s.RSSPeak = kilobytes(value)
		case "Threads":
			n, _ := firstNumber([]byte(value))
			s.Threads = int(n)
		case "voluntary_ctxt_switches":
			s.Voluntary, _ = firstNumber([]byte(value))
		case "nonvoluntary_ctxt_switches":
			s.Involuntary, _ = firstNumber([]byte(value))
		}
	}
}

// MachineSample is what the whole machine did until one moment.
type MachineSample struct {
	At        time.Time
	Busy      time.Duration // all CPUs together, steal not included
	Idle      time.Duration // idle and waiting for disks
	Steal     time.Duration // the host ran somebody else
	Ksoftirqd time.Duration // network work that the kernel moved out of the processes
}

// MachineDelta is what the machine did between two samples. Percentages are of
// all CPUs together.
type MachineDelta struct {
	BusyPercent, StealPercent float64
	Ksoftirqd                 time.Duration
}

// Since subtracts an earlier sample.
func (s MachineSample) Since(earlier MachineSample) MachineDelta {
	busy, idle, steal := s.Busy-earlier.Busy, s.Idle-earlier.Idle, s.Steal-earlier.Steal
	d := MachineDelta{Ksoftirqd: s.Ksoftirqd - earlier.Ksoftirqd}
	if all := busy + idle + steal; all > 0 {
		d.BusyPercent = 100 * float64(busy) / float64(all)
		d.StealPercent = 100 * float64(steal) / float64(all)
	}
	return d
}

// ReadMachineCPU samples /proc/stat and the kernel's ksoftirqd threads. Where
// those are not visible (a container), Ksoftirqd stays zero. Ticks are 10 ms.
func ReadMachineCPU() (MachineSample, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return MachineSample{}, errNoProc
	}
	s := MachineSample{At: time.Now()}
	if err := s.fillStat(b); err != nil {
		return s, err
	}
	for _, pid := range ksoftirqds() {
		if d, _, err := readCPU(pid); err == nil {
			s.Ksoftirqd += d
		}
	}
	return s, nil
}

// fillStat reads the first line: cpu user nice system idle iowait irq softirq
// steal guest guest_nice. Guest time is inside user and nice already.
func (s *MachineSample) fillStat(stat []byte) error {
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	f := bytes.Fields(line)
	if len(f) < 8 || string(f[0]) != "cpu" {
		return errors.New("/proc/stat: first line is not that of all CPUs")
	}
	for i, field := range f[1:min(len(f), 9)] {
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return fmt.Errorf("/proc/stat: %w", err)
		}
		d := time.Duration(n) * (time.Second / clockTicksPerSecond)
		switch i {
		case 3, 4:
			s.Idle += d
		case 7:
			s.Steal += d
		default:
			s.Busy += d
		}
	}
	return nil
}
