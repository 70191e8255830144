// Package poller turns the kernel's readiness into calls on one goroutine, and
// owns every viewer socket. It knows nothing of WebSocket.
//
//	        Acceptor (own goroutine and kernel poller)
//	           │ adopt(fd): the least loaded loop
//	  ┌────────┴─────────┬──────────────────┐
//	  ▼                  ▼                  ▼
//	Loop 0             Loop 1             Loop N-1     one goroutine each
//	kernel (epoll or kqueue)                           loops never talk to
//	columns: fd, generation, clocks  (24 B a slot)     each other; others
//	inbox  ◄── Post, Adopt from any goroutine          reach one by Post only
//	Handler: Opened Data HalfClosed Writable Closed Turn Sweep
//
// One turn of a loop, always in this order:
//
//	wait → events → inbox → Handler.Turn → sweep (once a second) → reap
//
// An fd has one owner for life, the loop that adopted it. Deciding is not
// closing: [Loop.Close] marks a slot dead at once, and reap, the last stage of
// the turn, closes the fd, so that no fd number comes back while events that
// may mention it are still being walked. What is slower than a turn keeps a
// [Handle], whose generation tells a reused slot from the one that was meant.
//
// Start reading in loop.go.
package poller

import (
	"log/slog"
	"os"
	"time"
)

// A Handler is what a loop calls; there is one per loop. All calls are made on
// that loop's goroutine, and every method of [Loop] may be called from within
// them, Close of any slot included.
//
// A panic in a Handler closes the connection the call was about with
// [ReasonPanic], is counted and logged, and the loop goes on.
type Handler interface {
	// Opened says that a socket was adopted as slot s.
	Opened(s Slot)
	// Data hands over bytes read from s, at least one. p is valid until Data
	// returns; it may be modified in place and must not be appended to.
	Data(s Slot, p []byte)
	// HalfClosed says that the peer will send no more and that all it sent has
	// been delivered. Writing is still possible. The loop does nothing by
	// itself: the handler closes s, at once or when it has written its rest.
	// It is also called when a connection that is paused has been hung up: then
	// the loop closes s right behind it, whatever the handler does.
	HalfClosed(s Slot)
	// Writable says that s takes bytes again. Called only while WantWrite is on.
	Writable(s Slot)
	// Closed is called exactly once for each Opened, from within Close. The
	// loop closes the fd at the end of the turn; Write to s fails from now on.
	Closed(s Slot, r Reason)
	// Turn is called once a turn, after events and inbox, to do a bounded slice
	// of longer work. more asks for the next turn without sleeping.
	Turn() (more bool)
	// Sweep is called once a second.
	Sweep()
	// Stopping is called once, when the loop has been asked to stop and before
	// it closes what is left with [ReasonShutdown].
	Stopping()
}

// OtherHandler is a Handler that also takes connections of Config.ListenOther.
type OtherHandler interface {
	Handler
	// OpenedOther is Opened for those.
	OpenedOther(s Slot)
}

// SocketOptions are set on each socket by the goroutine that hands it to a
// loop. Those that a system or a socket family does not have are left out.
type SocketOptions struct {
	NoDelay       bool          // TCP_NODELAY
	NotSentLowat  int           // TCP_NOTSENT_LOWAT in bytes (Linux); 0 = system default
	SendBuffer    int           // SO_SNDBUF in bytes; 0 = automatic
	ReceiveBuffer int           // SO_RCVBUF in bytes; 0 = automatic
	UserTimeout   time.Duration // TCP_USER_TIMEOUT (Linux); 0 = system default
}

// Config is what New needs. The zero value of each field but NewHandler has a
// meaning.
type Config struct {
	// Listen has the addresses to accept on: "HOST:PORT", ":PORT" (IPv6 and
	// IPv4), "[::1]:0" (port 0 = any free one) or "unix:PATH".
	Listen []string
	// ListenOther has further addresses, for connections of another kind: they begin
	// with OpenedOther of a Handler that is an [OtherHandler], which it must be, and
	// get no RefuseReply.
	ListenOther []string
	// Inherited has listening stream sockets that somebody else has opened, to be
	// accepted on besides those of Listen. New duplicates them: the files stay the
	// caller's. What waits in them when accepting ends is left for whoever else has
	// them, and the file of a unix socket is not removed.
	Inherited []*os.File
	// ReusePort sets SO_REUSEPORT on the TCP sockets of Listen, so that several
	// processes can listen on one address.
	ReusePort bool
	// Loops is the number of event loops, at most 256. 0 = GOMAXPROCS. Each keeps
	// a processor while it is at work: GOMAXPROCS should be larger by one or two.
	Loops int
	// MaxConnections bounds the connections of all loops together. 0 = the soft
	// RLIMIT_NOFILE less a reserve of 64 for everything that is no viewer.
	MaxConnections int
	// AcceptRate bounds accepted connections a second, by a token bucket of a
	// tenth of a second (at least one). Above it accepting pauses and the
	// kernel's backlog fills. 0 = no limit.
	AcceptRate float64
	// Backlog is the length of the accept queue. 0 = the system's maximum.
	Backlog int
	// ReceiveBuffer is the size in bytes of the one buffer each loop reads
	// into, and so the most that one Data delivers. 0 = 64 KiB.
	ReceiveBuffer int
	// InboxLimit bounds the posted calls that wait in one loop. 0 = 65,536.
	// Adopted sockets wait in the same inbox, bounded by MaxConnections.
	InboxLimit int
	// RefuseReply is written once, best effort, to a connection that is refused
	// because a limit was reached, before it is closed.
	RefuseReply []byte
	Socket      SocketOptions
	// NewHandler makes the handler of a loop. It is called by New, before any
	// goroutine runs. Required.
	NewHandler func(l *Loop) Handler
	// Log receives changes of state, rate limited. nil = nothing is logged.
	Log *slog.Logger
}
