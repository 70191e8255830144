package natstest

import (
	"net/netip"
	"os"
	"syscall"
)

// reserve keeps a port for a server: until release nobody else's reserve gets it, whether
// or not the server is there. It is bound without an option, so that it is only had if
// nobody has it, and is given SO_REUSEADDR then, with which the kernel lets a server that
// has it too listen there: this socket does not.
func reserve(addr netip.AddrPort) (release func(), err error) {
	at := &syscall.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().Unmap().As4()}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err = syscall.Bind(fd, at); err == nil {
		err = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	}
	if err != nil {
		syscall.Close(fd)
		return nil, os.NewSyscallError("bind", err)
	}
	return func() { syscall.Close(fd) }, nil
}
