//go:build !linux

package main

import "time"

// processClock has no portable form; the callers try the next source.
func processClock(int) (time.Duration, error) { return 0, errNoProc }

// ksoftirqds exist only on Linux.
func ksoftirqds() []int { return nil }
