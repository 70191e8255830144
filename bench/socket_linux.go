package main

import (
	"net"
	"strconv"
	"syscall"
	"unsafe"
)

// Sockets by plain system calls. Calls that cannot block go through RawSyscall,
// which saves the scheduler's bookkeeping of about 60 ns.

const (
	ipBindAddressNoPort = 24 // not in package syscall
	msgNow              = syscall.MSG_DONTWAIT | syscall.MSG_NOSIGNAL
	discardMost         = 1 << 30 // bytes a single discarding recv may drop
)

// resolve turns HOST:PORT into an IPv4 socket address.
func resolve(addr string) (*syscall.SockaddrInet4, error) {
	a, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return nil, err
	}
	sa := &syscall.SockaddrInet4{Port: a.Port, Addr: [4]byte{127, 0, 0, 1}}
	if ip := a.IP.To4(); ip != nil && !ip.IsUnspecified() {
		copy(sa.Addr[:], ip)
	}
	return sa, nil
}

// startConnect begins a connection from 127.0.0.(1+source). done means that it
// is established already; else writability or an error will tell.
func startConnect(to *syscall.SockaddrInet4, source int, bind bool) (fd int, done bool, err error) {
	fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, false, err
	}
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	if bind {
		// The port is chosen at connect, so that it need only be free towards this one peer.
		_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, ipBindAddressNoPort, 1)
		from := &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(1 + source)}}
		if err := syscall.Bind(fd, from); err != nil {
			syscall.Close(fd)
			return -1, false, err
		}
	}
	switch err = syscall.Connect(fd, to); err {
	case nil:
		return fd, true, nil
	case syscall.EINPROGRESS, syscall.EINTR:
		return fd, false, nil
	}
	syscall.Close(fd)
	return -1, false, err
}

// connectError is the outcome of a connection begun by startConnect.
func connectError(fd int) error {
	n, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ERROR)
	if err != nil {
		return err
	}
	if n != 0 {
		return syscall.Errno(n)
	}
	return nil
}

// receive reads what is there, at most len(p). n = 0 with no error is the end
// of the stream; EAGAIN is returned as it is.
func receive(fd int, p []byte) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), syscall.MSG_DONTWAIT, 0, 0)
		if errno != syscall.EINTR {
			return int(n), errno
		}
	}
}

// discard drops what is there, at most n bytes, without copying it: for TCP
// the kernel takes MSG_TRUNC as leave to do so.
func discard(fd, n int) (int, syscall.Errno) {
	for {
		got, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd), 0, uintptr(n),
			syscall.MSG_DONTWAIT|syscall.MSG_TRUNC, 0, 0)
		if errno != syscall.EINTR {
			return int(got), errno
		}
	}
}

// send writes as much as fits. EAGAIN is returned as 0 bytes and no error.
func send(fd int, p []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), msgNow, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, nil
		default:
			return 0, errno
		}
	}
}

// abort closes with a reset. It leaves no TIME_WAIT behind, which would use up
// the ports of the next run.
func abort(fd int) {
	_ = syscall.SetsockoptLinger(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
	syscall.Close(fd)
}

// newEvent is an eventfd, with which other goroutines wake the loop.
func newEvent() (int, error) {
	fd, _, errno := syscall.RawSyscall(syscall.SYS_EVENTFD2, 0, syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

// freePort finds a TCP port that nobody listens on right now.
func freePort() (string, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return "127.0.0.1:" + strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}
