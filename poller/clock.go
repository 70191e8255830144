package poller

// Now returns the clock that [Loop.Now] shows, in monotonic nanoseconds since
// process start, for goroutines that work with times taken on a loop. Any goroutine.
func Now() int64 { return monotonic() }
