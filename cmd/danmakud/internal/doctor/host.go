package doctor

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// unlimited stands for a limit that is not there.
const unlimited = math.MaxInt64

// Host is where facts come from. Tests give a tree of files of their own.
type Host struct {
	// Files is the root of the file system: proc/sys/…, sys/fs/cgroup/….
	Files fs.FS
	// OpenFiles returns RLIMIT_NOFILE of this process.
	OpenFiles func() (soft, hard uint64, err error)
	// OS is runtime.GOOS; CPUs what the scheduler sees; PageSize in bytes.
	OS       string
	CPUs     int
	PageSize int
}

// ThisHost returns the machine this process runs on.
func ThisHost() Host {
	return Host{
		Files:     os.DirFS("/"),
		OpenFiles: openFiles,
		OS:        runtime.GOOS,
		CPUs:      runtime.NumCPU(),
		PageSize:  os.Getpagesize(),
	}
}

func openFiles() (soft, hard uint64, err error) {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 0, 0, os.NewSyscallError("getrlimit", err)
	}
	// The fields are signed on FreeBSD.
	return uint64(r.Cur), uint64(r.Max), nil
}

// text returns the trimmed content of a file, or "" when it cannot be read.
func (h Host) text(path string) string {
	b, err := fs.ReadFile(h.Files, path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// numbers returns the whole numbers in a file, at least n of them.
func (h Host) numbers(path string, n int) ([]int64, bool) {
	fields := strings.Fields(h.text(path))
	if len(fields) < n {
		return nil, false
	}
	values := make([]int64, len(fields))
	for i, f := range fields {
		v, err := parseNumber(f)
		if err != nil {
			return nil, false
		}
		values[i] = v
	}
	return values, true
}

// number returns the one whole number in a file.
func (h Host) number(path string) (int64, bool) {
	values, ok := h.numbers(path, 1)
	if !ok {
		return 0, false
	}
	return values[0], true
}

// parseNumber also takes "max" (cgroup v2) and numbers beyond int64, which
// are how the kernel writes "no limit" (fs.file-max).
func parseNumber(s string) (int64, error) {
	if s == "max" {
		return unlimited, nil
	}
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		if _, uerr := strconv.ParseUint(s, 10, 64); uerr == nil {
			return unlimited, nil
		}
		return 0, fmt.Errorf("%q is no number", s)
	}
	return v, nil
}

// sysctl returns the value of a dotted sysctl name with one number.
func (h Host) sysctl(name string) (int64, bool) {
	return h.number("proc/sys/" + strings.ReplaceAll(name, ".", "/"))
}

// sysctls is sysctl for names with n numbers.
func (h Host) sysctls(name string, n int) ([]int64, bool) {
	return h.numbers("proc/sys/"+strings.ReplaceAll(name, ".", "/"), n)
}

// meminfo returns a line of /proc/meminfo in bytes.
func (h Host) meminfo(name string) (int64, bool) {
	for line := range strings.Lines(h.text("proc/meminfo")) {
		key, rest, _ := strings.Cut(line, ":")
		if key != name {
			continue
		}
		kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		return kilobytes << 10, err == nil
	}
	return 0, false
}

// clampLimit turns a RLIMIT value, where huge means none, into an int64.
func clampLimit(v uint64) int64 {
	if v > math.MaxInt64 {
		return unlimited
	}
	return int64(v)
}
