package poller

import (
	"io"

	"golang.org/x/sys/unix"
)

func newSpoolFile() (int, error) { return unix.MemfdCreate("danmakud-spool", unix.MFD_CLOEXEC) }

func fillSpool(fd int, p []byte, off int64) error {
	for len(p) > 0 {
		n, err := unix.Pwrite(fd, p, off)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return err
		case n == 0:
			return io.ErrShortWrite
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

func closeSpoolFile(fd int) { unix.Close(fd) }
