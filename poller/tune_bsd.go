//go:build darwin || freebsd

package poller

import "golang.org/x/sys/unix"

// tune sets the options of a connection. Errors are of no consequence: the peer
// may be gone already, and a unix socket has no TCP.
func tune(fd int, o SocketOptions) {
	tuneCommon(fd, o)
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_NOSIGPIPE, 1)
}
