package poller

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

// A Reason says why a connection was closed. Those below ReasonApplication are
// given by this package; applications number their own from there.
type Reason uint8

const (
	ReasonNone       Reason = iota // not closed, or no reason known
	ReasonPeerClosed               // the peer ended both directions
	ReasonPeerReset                // the peer reset the connection (ECONNRESET, EPIPE)
	ReasonTimeout                  // the kernel gave up: no acknowledgement in time (ETIMEDOUT, or what was in the way)
	ReasonReadError                // any other error of a read
	ReasonWriteError               // any other error of a write
	ReasonPollError                // the kernel poller refused to change the interest
	ReasonPanic                    // a call of the handler about this connection panicked
	ReasonShutdown                 // the reactor was stopped
	ReasonDetached                 // the socket was taken out of the loop, still open
	ReasonMoved                    // another loop has it now

	// ReasonApplication is the first reason of the application.
	ReasonApplication Reason = 32
)

var reasonNames = [...]string{
	ReasonNone:       "none",
	ReasonPeerClosed: "peer_closed",
	ReasonPeerReset:  "peer_reset",
	ReasonTimeout:    "timeout",
	ReasonReadError:  "read_error",
	ReasonWriteError: "write_error",
	ReasonPollError:  "poll_error",
	ReasonPanic:      "panic",
	ReasonShutdown:   "shutdown",
	ReasonDetached:   "detached",
	ReasonMoved:      "moved",
}

// String returns the name of one of the package's own reasons, and a number for
// others.
func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return "reason_" + strconv.Itoa(int(r))
}

// errClosed answers a call about a slot that is not open.
var errClosed = errors.New("poller: connection is closed")

// ReasonOf returns the reason to close with after Write returned err.
func ReasonOf(err error) Reason {
	var errno unix.Errno
	switch {
	case err == nil, errors.Is(err, errClosed):
		return ReasonNone
	case errors.As(err, &errno):
		return reasonOf(errno, ReasonWriteError)
	}
	return ReasonWriteError
}

func reasonOf(errno unix.Errno, otherwise Reason) Reason {
	switch errno {
	case unix.ECONNRESET, unix.EPIPE:
		return ReasonPeerReset
	case unix.ETIMEDOUT, unix.EHOSTUNREACH, unix.ENETUNREACH: // which of them depends on whether bytes were under way
		return ReasonTimeout
	}
	return otherwise
}
