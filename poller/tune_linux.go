package poller

import "golang.org/x/sys/unix"

// tune sets the options of a connection. Errors are of no consequence: the peer
// may be gone already, and a unix socket has no TCP.
func tune(fd int, o SocketOptions) {
	tuneCommon(fd, o)
	if o.NotSentLowat > 0 {
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, o.NotSentLowat)
	}
	if o.UserTimeout > 0 {
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(o.UserTimeout.Milliseconds()))
	}
}
