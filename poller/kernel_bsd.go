//go:build darwin || freebsd

package poller

import (
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// kqueue is the kernel of darwin and FreeBSD. What it keeps for its user is a
// pointer, which the garbage collector would not see, so a table says which
// token an fd has. An event is matched with it as soon as it is returned, before
// any fd can change hands.
type kqueue struct {
	// Fixed after construction.
	fd int

	// Owned by the goroutine that waits.
	raw    [eventBatch]unix.Kevent_t
	tokens []token // by fd; generation 0 = not registered
}

// wakeIdent is the ident of the one user event.
const wakeIdent = 0

func newKernel() (kernel, error) {
	// No fork may come between the two calls.
	syscall.ForkLock.RLock()
	fd, err := unix.Kqueue()
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, os.NewSyscallError("kqueue", err)
	}
	k := &kqueue{fd: fd}
	var e unix.Kevent_t
	unix.SetKevent(&e, wakeIdent, unix.EVFILT_USER, unix.EV_ADD|unix.EV_CLEAR)
	if errno := k.change(e); errno != 0 {
		k.close()
		return nil, os.NewSyscallError("kevent", errno)
	}
	return k, nil
}

func (k *kqueue) wait(events []event, timeout time.Duration) (int, unix.Errno) {
	var limit *unix.Timespec
	if timeout >= 0 {
		ts := unix.NsecToTimespec(int64(timeout))
		limit = &ts
	}
	n, err := unix.Kevent(k.fd, nil, k.raw[:min(len(events), eventBatch)], limit)
	if err != nil {
		return 0, errnoOf(err)
	}
	found := 0
	for i := range k.raw[:n] {
		e := &k.raw[i]
		if e.Filter == unix.EVFILT_USER || int(e.Ident) >= len(k.tokens) {
			continue
		}
		events[found] = event{k.tokens[e.Ident], readinessOf(e)}
		found++
	}
	return found, 0
}

// readinessOf translates. EV_EOF on the read side means that the peer has ended
// its direction, with data perhaps still to be read: so it is only readiness to
// read, down to the end of file. With an error, or on the write side, both
// directions are over.
func readinessOf(e *unix.Kevent_t) (r readiness) {
	eof := e.Flags&unix.EV_EOF != 0
	switch e.Filter {
	case unix.EVFILT_READ:
		r = canRead
		if eof && e.Fflags != 0 {
			r |= hungUp
		}
	case unix.EVFILT_WRITE:
		r = canWrite
		if eof {
			r |= hungUp
		}
	}
	return r
}

func (k *kqueue) wake() unix.Errno {
	var e unix.Kevent_t
	unix.SetKevent(&e, wakeIdent, unix.EVFILT_USER, 0)
	e.Fflags = unix.NOTE_TRIGGER
	return k.change(e)
}

func (k *kqueue) add(fd int, t token, want interest) unix.Errno {
	for fd >= len(k.tokens) {
		k.tokens = append(k.tokens, make([]token, max(fd+1-len(k.tokens), len(k.tokens)))...)
	}
	if k.tokens[fd].generation != 0 {
		return unix.EEXIST
	}
	k.tokens[fd] = t
	errno := k.modify(fd, t, 0, want)
	if errno != 0 {
		k.tokens[fd] = token{}
	}
	return errno
}

func (k *kqueue) modify(fd int, _ token, was, want interest) unix.Errno {
	for _, f := range [...]struct {
		bit    interest
		filter int
	}{{wantRead, unix.EVFILT_READ}, {wantWrite, unix.EVFILT_WRITE}} {
		flags := unix.EV_ADD
		switch {
		case was&f.bit == want&f.bit:
			continue
		case want&f.bit == 0:
			flags = unix.EV_DELETE
		}
		var e unix.Kevent_t
		unix.SetKevent(&e, fd, f.filter, flags)
		if errno := k.change(e); errno != 0 {
			return errno
		}
	}
	return 0
}

func (k *kqueue) remove(fd int) unix.Errno {
	k.tokens[fd] = token{}
	var e unix.Kevent_t
	unix.SetKevent(&e, fd, unix.EVFILT_READ, unix.EV_DELETE)
	k.change(e) // ENOENT if that filter was off
	unix.SetKevent(&e, fd, unix.EVFILT_WRITE, unix.EV_DELETE)
	k.change(e)
	return 0
}

// change applies one change and takes no event.
func (k *kqueue) change(e unix.Kevent_t) unix.Errno {
	for {
		_, err := unix.Kevent(k.fd, []unix.Kevent_t{e}, nil, nil)
		if errno := errnoOf(err); errno != unix.EINTR {
			return errno
		}
	}
}

func (k *kqueue) read(fd int, p []byte) (int, unix.Errno) {
	n, err := unix.Read(fd, p)
	return max(n, 0), errnoOf(err)
}

// write does not raise SIGPIPE, as tune has set SO_NOSIGPIPE.
func (k *kqueue) write(fd int, p []byte) (int, unix.Errno) {
	n, err := unix.Write(fd, p)
	return max(n, 0), errnoOf(err)
}

// sendFile is never called: there is no Spool here.
func (k *kqueue) sendFile(int, int, int64, int) (int, unix.Errno) { return 0, unix.ENOTSUP }

func (k *kqueue) accept(fd int) (int, unix.Errno) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	conn, _, err := unix.Accept(fd)
	if err != nil {
		return -1, errnoOf(err)
	}
	unix.CloseOnExec(conn)
	if err := unix.SetNonblock(conn, true); err != nil {
		unix.Close(conn)
		return -1, errnoOf(err)
	}
	return conn, 0
}

func (k *kqueue) shutdownWrite(fd int) unix.Errno {
	return errnoOf(unix.Shutdown(fd, unix.SHUT_WR))
}

func (k *kqueue) closeFD(fd int) unix.Errno { return errnoOf(unix.Close(fd)) }

func (k *kqueue) close() { unix.Close(k.fd) }

func errnoOf(err error) unix.Errno {
	var errno unix.Errno
	switch {
	case err == nil:
		return 0
	case errors.As(err, &errno):
		return errno
	}
	return unix.EIO
}
