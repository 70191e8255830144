package main

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// pidLimit is the highest pid that Linux gives out (PID_MAX_LIMIT).
const pidLimit = 4 << 20

// processClock reads the kernel's CPU clock of another process: a clock id is
// the inverted pid shifted by three, with 2 in the low bits for the
// scheduler's nanoseconds (clock_getcpuclockid does the same arithmetic).
func processClock(pid int) (time.Duration, error) {
	if pid <= 0 || pid > pidLimit {
		return 0, syscall.ESRCH // shifted, it would name another process
	}
	const scheduler = 2
	id := int32(^pid<<3 | scheduler)
	var ts syscall.Timespec
	_, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, uintptr(id), uintptr(unsafe.Pointer(&ts)), 0)
	if errno != 0 {
		return 0, errno
	}
	return time.Duration(ts.Nano()), nil
}

// ksoftirqds finds the kernel's threads for network work put off, once: they
// live as long as the machine.
var ksoftirqds = sync.OnceValue(func() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err == nil && strings.HasPrefix(readText(procPath(pid, "comm")), "ksoftirqd/") {
			pids = append(pids, pid)
		}
	}
	return pids
})
