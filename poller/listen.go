package poller

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A listener is one address that is accepted on. Fixed after construction.
type listener struct {
	fd        int
	addr      net.Addr
	file      os.FileInfo // of a unix socket that we made, to know it again; else nil
	inherited bool
	other     bool // one of Config.ListenOther
}

// inherit makes a listener of a socket that somebody else has opened.
func inherit(f *os.File) (*listener, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	addr, err := listeningAddr(fd)
	if err == nil {
		err = os.NewSyscallError("fcntl", unix.SetNonblock(fd, true))
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &listener{fd: fd, addr: addr, inherited: true}, nil
}

// ListeningAddr returns where a socket of somebody else listens, or an error that
// says why it cannot be accepted on. Any goroutine.
func ListeningAddr(f *os.File) (net.Addr, error) { return listeningAddr(int(f.Fd())) }

// listeningAddr returns where fd listens, or why it does not.
func listeningAddr(fd int) (net.Addr, error) {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	switch {
	case errors.Is(err, unix.ENOTSOCK):
		return nil, errors.New("is no socket")
	case err != nil:
		return nil, os.NewSyscallError("getsockopt", err)
	case kind != unix.SOCK_STREAM:
		return nil, errors.New("is no stream socket")
	}
	if on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || on == 0 {
		return nil, errors.New("is a socket that does not listen")
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		return nil, os.NewSyscallError("getsockname", err)
	}
	switch sa := bound.(type) {
	case *unix.SockaddrInet4, *unix.SockaddrInet6:
		return net.TCPAddrFromAddrPort(addrPort(sa)), nil
	case *unix.SockaddrUnix:
		return &net.UnixAddr{Name: sa.Name, Net: "unix"}, nil
	}
	return nil, errors.New("is a socket neither of TCP nor of the local system")
}

// ReusePort sets SO_REUSEPORT before a socket is bound. It is a Control function
// of [net.ListenConfig].
func ReusePort(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) { failed = os.NewSyscallError("setsockopt", reusePort(int(fd))) })
	return errors.Join(err, failed)
}

func reusePort(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }

// listen opens the listener of one address of Config.Listen.
func listen(address string, c *Config) (*listener, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return listenUnix(path, c.Backlog)
	}
	resolved, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, err
	}
	ap := resolved.AddrPort()
	ip := ap.Addr().Unmap()
	if ip.Is4() {
		return listenTCP(unix.AF_INET, &unix.SockaddrInet4{Port: int(ap.Port()), Addr: ip.As4()}, c)
	}
	sa := &unix.SockaddrInet6{Port: int(ap.Port())}
	if ip.IsValid() {
		sa.Addr = ip.As16()
		if zone := ip.Zone(); zone != "" {
			ifi, err := net.InterfaceByName(zone)
			if err != nil {
				return nil, err
			}
			sa.ZoneId = uint32(ifi.Index)
		}
	}
	ln, err := listenTCP(unix.AF_INET6, sa, c)
	if !ip.IsValid() && errors.Is(err, unix.EAFNOSUPPORT) {
		// ":PORT" on a system without IPv6.
		return listenTCP(unix.AF_INET, &unix.SockaddrInet4{Port: sa.Port}, c)
	}
	return ln, err
}

func listenTCP(family int, sa unix.Sockaddr, c *Config) (*listener, error) {
	fd, err := listenSocket(family, sa, c.Backlog, c.ReusePort)
	if err != nil {
		return nil, err
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("getsockname", err)
	}
	return &listener{fd: fd, addr: net.TCPAddrFromAddrPort(addrPort(bound))}, nil
}

func listenUnix(path string, backlog int) (*listener, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	fd, err := listenSocket(unix.AF_UNIX, &unix.SockaddrUnix{Name: path}, backlog, false)
	if err != nil {
		return nil, err
	}
	file, err := os.Lstat(path)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &listener{fd: fd, addr: &net.UnixAddr{Name: path, Net: "unix"}, file: file}, nil
}

// removeStale removes the socket file of a process that is gone: a socket on
// which nobody listens. Anything else stays, and bind will fail.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return nil
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
		return nil
	}
	if errors.Is(err, unix.ECONNREFUSED) {
		return os.Remove(path)
	}
	return nil
}

// listenSocket returns a non-blocking socket, bound and listening.
func listenSocket(family int, sa unix.Sockaddr, backlog int, reuse bool) (int, error) {
	fd, err := newSocket(family)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	steps := []struct {
		name string
		do   func() error
	}{
		{"setsockopt", func() error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) }},
		{"setsockopt", func() error {
			if family != unix.AF_INET6 {
				return nil
			}
			return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
		}},
		{"setsockopt", func() error {
			if !reuse {
				return nil
			}
			return reusePort(fd)
		}},
		{"bind", func() error { return unix.Bind(fd, sa) }},
		{"listen", func() error { return unix.Listen(fd, backlog) }},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			unix.Close(fd)
			return -1, os.NewSyscallError(step.name, err)
		}
	}
	return fd, nil
}

// newSocket does in three calls, under the lock that keeps fork out, what Linux
// can do in one: listeners are made once, and darwin cannot.
func newSocket(family int) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := unix.Socket(family, unix.SOCK_STREAM, 0)
	if err != nil {
		return -1, err
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// close closes the listener, and removes the file of a unix socket if it is
// still the one that was made.
func (ln *listener) close() {
	if ln.file != nil {
		path := ln.addr.String()
		if now, err := os.Lstat(path); err == nil && os.SameFile(now, ln.file) {
			os.Remove(path)
		}
	}
	unix.Close(ln.fd)
}

// remoteAddr returns the address of fd's peer, zero if there is none.
func remoteAddr(fd int) netip.AddrPort {
	sa, err := unix.Getpeername(fd)
	if err != nil {
		return netip.AddrPort{}
	}
	return addrPort(sa)
}

// addrPort returns the address of an IP socket, zero for others. IPv4 in IPv6
// becomes IPv4.
func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		ip := netip.AddrFrom16(sa.Addr).Unmap()
		if sa.ZoneId != 0 && ip.Is6() {
			ip = ip.WithZone(strconv.FormatUint(uint64(sa.ZoneId), 10))
		}
		return netip.AddrPortFrom(ip, uint16(sa.Port))
	}
	return netip.AddrPort{}
}

// noFile returns the soft limit of open files.
func noFile() (uint64, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, os.NewSyscallError("getrlimit", err)
	}
	return uint64(limit.Cur), nil
}

// RaiseNoFile raises the soft limit of open files to the hard one, and returns
// both as they are afterwards. Call it before New.
func RaiseNoFile() (soft, hard uint64, err error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, 0, os.NewSyscallError("getrlimit", err)
	}
	soft, hard = uint64(limit.Cur), uint64(limit.Max)
	if soft >= hard {
		return soft, hard, nil
	}
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return soft, hard, fmt.Errorf("raise open files from %d to %d: %w", soft, hard, os.NewSyscallError("setrlimit", err))
	}
	return hard, hard, nil
}
