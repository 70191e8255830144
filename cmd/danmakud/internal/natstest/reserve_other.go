//go:build !linux

package natstest

import (
	"net"
	"net/netip"
)

// reserve only looks whether the port is free: who is fast may take it.
func reserve(addr netip.AddrPort) (release func(), err error) {
	l, err := net.Listen("tcp", addr.String())
	if err != nil {
		return nil, err
	}
	return func() {}, l.Close()
}
