//go:build !linux

package poller

import "golang.org/x/sys/unix"

func newSpoolFile() (int, error)         { return -1, unix.ENOTSUP }
func fillSpool(int, []byte, int64) error { return unix.ENOTSUP }
func closeSpoolFile(int)                 {}
