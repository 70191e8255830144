package poller

import (
	"encoding/binary"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// epoll is the kernel of Linux. Slot and generation ride in the 64 bits that
// epoll keeps for its user, so an event is matched without any table.
type epoll struct {
	// Fixed after construction.
	fd     int
	wakeFD int // eventfd, edge-triggered, hence never read

	// Owned by the goroutine that waits.
	raw [eventBatch]unix.EpollEvent
}

// wakeMark is the token of the eventfd, in the place of a slot.
const wakeMark = -1

func newKernel() (kernel, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	wakeFD, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("eventfd", err)
	}
	k := &epoll{fd: fd, wakeFD: wakeFD}
	e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: wakeMark}
	if err := unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, wakeFD, &e); err != nil {
		k.close()
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	return k, nil
}

func (k *epoll) wait(events []event, timeout time.Duration) (int, unix.Errno) {
	ms := -1
	if timeout >= 0 {
		// Rounded up: waking early would only lead to a second, shorter wait.
		ms = int((timeout + time.Millisecond - 1) / time.Millisecond)
	}
	n, errno := k.poll(min(len(events), eventBatch), ms)
	if errno != 0 {
		return 0, errno
	}
	found := 0
	for i := range k.raw[:n] {
		e := &k.raw[i]
		if e.Fd == wakeMark {
			continue
		}
		events[found] = event{token{Slot(e.Fd), uint32(e.Pad)}, readinessOf(e.Events)}
		found++
	}
	return found, 0
}

// poll fills raw. A look or a nap does not tell the Go scheduler, so the loop's
// processor stays with it. The signal with which the runtime asks a goroutine to
// stop, for the collector say, ends the call with EINTR.
func (k *epoll) poll(most, ms int) (n uintptr, errno unix.Errno) {
	if ms >= 0 && ms <= int(napMost/time.Millisecond) {
		n, _, errno = unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(k.fd), uintptr(unsafe.Pointer(&k.raw[0])), uintptr(most), uintptr(ms), 0, 0)
	} else {
		n, _, errno = unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(k.fd), uintptr(unsafe.Pointer(&k.raw[0])), uintptr(most), uintptr(ms), 0, 0)
	}
	return n, errno
}

func readinessOf(bits uint32) (r readiness) {
	if bits&unix.EPOLLIN != 0 {
		r |= canRead
	}
	if bits&unix.EPOLLOUT != 0 {
		r |= canWrite
	}
	if bits&(unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		r |= hungUp
	}
	return r
}

func (k *epoll) wake() unix.Errno {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, errno := rawWrite(k.wakeFD, one[:])
	return errno
}

func (k *epoll) add(fd int, t token, want interest) unix.Errno {
	return k.control(unix.EPOLL_CTL_ADD, fd, t, want)
}

func (k *epoll) modify(fd int, t token, _, want interest) unix.Errno {
	return k.control(unix.EPOLL_CTL_MOD, fd, t, want)
}

func (k *epoll) remove(fd int) unix.Errno {
	return k.control(unix.EPOLL_CTL_DEL, fd, token{}, 0)
}

func (k *epoll) control(op, fd int, t token, want interest) unix.Errno {
	e := unix.EpollEvent{Fd: int32(t.slot), Pad: int32(t.generation)}
	if want&wantRead != 0 {
		e.Events |= unix.EPOLLIN
	}
	if want&wantWrite != 0 {
		e.Events |= unix.EPOLLOUT
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(k.fd), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(&e)), 0, 0)
	return errno
}

// read is recvfrom and write is sendto, since read and write pass through the
// file layer, which costs 6 to 7 % of a small send. Neither can block, so both
// skip the Go scheduler; loops yield to it once a turn instead.

func (k *epoll) read(fd int, p []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

func (k *epoll) write(fd int, p []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// sendFile needs no MSG_DONTWAIT, since sockets are non-blocking and the file is
// in memory, and no MSG_NOSIGNAL, since the Go runtime ignores SIGPIPE of sockets.
func (k *epoll) sendFile(fd, file int, off int64, n int) (int, unix.Errno) {
	sent, _, errno := unix.RawSyscall6(unix.SYS_SENDFILE, uintptr(fd), uintptr(file), uintptr(unsafe.Pointer(&off)), uintptr(n), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(sent), 0
}

func rawWrite(fd int, p []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

func (k *epoll) accept(fd int) (int, unix.Errno) {
	n, _, errno := unix.Syscall6(unix.SYS_ACCEPT4, uintptr(fd), 0, 0, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(n), 0
}

func (k *epoll) shutdownWrite(fd int) unix.Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0)
	return errno
}

func (k *epoll) closeFD(fd int) unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
	return errno
}

func (k *epoll) close() {
	unix.Close(k.wakeFD)
	unix.Close(k.fd)
}
