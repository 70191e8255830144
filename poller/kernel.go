package poller

import (
	"time"

	"golang.org/x/sys/unix"
)

// A token is what a kernel poller keeps with an fd and gives back with each
// event: the slot, and the generation that tells whether it is still meant.
type token struct {
	slot       Slot
	generation uint32
}

// An event says that something can be done about a token. It is a hint: the
// call it suggests may still answer EAGAIN.
type event struct {
	token
	ready readiness
}

type readiness uint8

const (
	canRead  readiness = 1 << iota // bytes, end of file or an error wait to be read
	canWrite                       // the send buffer has room
	hungUp                         // both directions are over, or the socket has an error
)

// interest is what a poller is asked to report; hungUp may come unasked.
type interest uint8

const (
	wantRead interest = 1 << iota
	wantWrite
)

// A kernel is one poller and the socket calls of the goroutine that owns it.
// The ports are kernel_linux.go (epoll) and kernel_bsd.go (kqueue); tests have
// one that follows a script. The contract of each:
//
//   - All methods but wake belong to the owning goroutine.
//   - Events are level-triggered: what is not consumed is reported again.
//   - No call blocks but wait. Sockets are non-blocking.
//   - Callers retry EINTR of read, write and accept, so that tests can send it.
//   - Errors are plain errnos, since nothing on these paths may allocate.
type kernel interface {
	// wait fills events and returns their number. Timeout 0 looks and returns,
	// a negative one waits for ever. Up to napMost it may wait without telling
	// the Go scheduler. A wake
	// ends the wait, now or the next one, and is no event.
	wait(events []event, timeout time.Duration) (int, unix.Errno)
	// wake ends a wait. Any goroutine, until close.
	wake() unix.Errno

	add(fd int, t token, want interest) unix.Errno
	modify(fd int, t token, was, want interest) unix.Errno
	// remove forgets fd. Events already returned may still mention its token.
	remove(fd int) unix.Errno

	read(fd int, p []byte) (int, unix.Errno)
	// write sends what fits and never raises SIGPIPE.
	write(fd int, p []byte) (int, unix.Errno)
	// sendFile is write of n bytes of file from off on, by reference: the bytes
	// are not copied. Linux only, where there are spools.
	sendFile(fd, file int, off int64, n int) (int, unix.Errno)
	// accept returns a non-blocking, close-on-exec socket.
	accept(fd int) (int, unix.Errno)
	shutdownWrite(fd int) unix.Errno
	// closeFD is never retried: the number is free whatever it answers.
	closeFD(fd int) unix.Errno

	// close frees the poller itself.
	close()
}
