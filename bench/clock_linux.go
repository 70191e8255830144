package main

import (
	"syscall"
	"time"
	"unsafe"
)

// clockBase and clockOffset tie Go's cheap monotonic clock to the absolute
// reading of CLOCK_MONOTONIC, so that the stamps of one worker process can be
// compared with the clock of another.
var (
	clockBase   = time.Now()
	clockOffset = measureClockOffset()
)

// measureClockOffset brackets readings of CLOCK_MONOTONIC with Go's clock and
// keeps the tightest bracket; the error is well below a microsecond.
func measureClockOffset() int64 {
	best, offset := int64(1<<62), int64(0)
	for range 16 {
		var ts syscall.Timespec
		before := int64(time.Since(clockBase))
		syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&ts)), 0)
		after := int64(time.Since(clockBase))
		if after-before < best {
			best, offset = after-before, ts.Nano()-(before+after)/2
		}
	}
	return offset
}

const clockMonotonic = 1

// nowMicros is CLOCK_MONOTONIC in microseconds: the same for all processes of
// this machine. Any goroutine may call it.
func nowMicros() int64 {
	return (int64(time.Since(clockBase)) + clockOffset) / 1000
}

// sleepUntil sleeps to a moment of nowMicros. It goes to the kernel's own
// timer: Go's timers may be a millisecond late when the process is idle, which
// would be charged to the server as latency.
func sleepUntil(micros int64) {
	for {
		left := micros - nowMicros()
		if left <= 0 {
			return
		}
		ts := syscall.NsecToTimespec(left * 1000)
		_ = syscall.Nanosleep(&ts, nil) // cut short by a signal: the loop looks again
	}
}

// sharpenTimers asks the kernel to wake the calling thread without the usual
// 50 µs of slack. The goroutine must be locked to its thread.
func sharpenTimers() {
	const prSetTimerslack = 29
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, prSetTimerslack, 1000, 0)
}
