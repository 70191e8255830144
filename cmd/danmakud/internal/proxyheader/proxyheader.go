// Package proxyheader reads the header of the PROXY protocol, versions 1 and 2, by
// which a proxy tells for whom it has connected
// (https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt).
//
// It works on the bytes that have come so far, like wsproto: no I/O, no clock.
package proxyheader

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

const (
	// v1Max is the longest header of version 1 with its CR LF, section 2.1.
	v1Max = 107
	// v2Fixed is the part of version 2 whose size is known, section 2.2.
	v2Fixed = 16
	// v2Most is the longest variable part of version 2 that is taken: addresses
	// have 216 bytes at most, and "the receiver should support 536 bytes" in all
	// is what a TCP segment always carries.
	v2Most = 536 - v2Fixed
	// Max is the longest header in bytes.
	Max = v2Fixed + v2Most
)

// Address sizes of version 2: two addresses, and two ports but for unix.
const (
	inetSize  = 2*4 + 2*2
	inet6Size = 2*16 + 2*2
	unixSize  = 2 * 108
)

const (
	v1Signature = "PROXY "
	v2Signature = "\r\n\r\n\x00\r\nQUIT\n"
)

// Version and command, address family and transport of version 2.
const (
	commandLocal = 0x20
	commandProxy = 0x21
	familyUnspec = 0x0
	familyInet   = 0x1
	familyInet6  = 0x2
	familyUnix   = 0x3
	transportMax = 0x2
)

// ErrHeader says that bytes are no header of the PROXY protocol.
var ErrHeader = errors.New("no PROXY protocol header")

// Parse reads the header at the start of p. It returns the source's address and
// the header's size. With n = 0 and no error the header is not complete: call
// again with the same bytes and more behind them; more than Max are never needed.
//
// The address is the zero value when there is none that means anything here: the
// proxy speaks for itself (LOCAL), does not know (UNKNOWN, UNSPEC), or its client
// came by a unix socket. Additional fields (TLV) of version 2 are passed over.
func Parse(p []byte) (source netip.AddrPort, n int, err error) {
	switch {
	case begins(p, v1Signature):
		return parseV1(p)
	case begins(p, v2Signature):
		return parseV2(p)
	}
	return source, 0, ErrHeader
}

// begins reports whether p begins with signature, as far as it goes.
func begins(p []byte, signature string) bool {
	n := min(len(p), len(signature))
	return string(p[:n]) == signature[:n]
}

// parseV1 reads "PROXY TCP4 192.0.2.1 192.0.2.2 40000 80\r\n", section 2.1.
func parseV1(p []byte) (source netip.AddrPort, n int, err error) {
	end := bytes.IndexByte(p[:min(len(p), v1Max)], '\n')
	switch {
	case end < 0 && len(p) >= v1Max:
		return source, 0, ErrHeader
	case end < 0:
		return source, 0, nil
	case end < len(v1Signature) || p[end-1] != '\r':
		return source, 0, ErrHeader
	}
	n = end + 1
	family, rest, _ := strings.Cut(string(p[len(v1Signature):end-1]), " ")
	if family == "UNKNOWN" {
		return source, n, nil // "must ignore anything presented before the CRLF"
	}
	fields := strings.SplitN(rest, " ", 5)
	if len(fields) != 4 {
		return source, 0, ErrHeader
	}
	from, ok1 := parseAddrPort(family, fields[0], fields[2])
	_, ok2 := parseAddrPort(family, fields[1], fields[3])
	if !ok1 || !ok2 {
		return source, 0, ErrHeader
	}
	return from, n, nil
}

func parseAddrPort(family, address, port string) (netip.AddrPort, bool) {
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Zone() != "" {
		return netip.AddrPort{}, false
	}
	if family != "TCP4" && family != "TCP6" || (family == "TCP4") != ip.Is4() {
		return netip.AddrPort{}, false
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || port != strconv.FormatUint(number, 10) {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(number)), true
}

// parseV2 reads the binary header, section 2.2.
func parseV2(p []byte) (source netip.AddrPort, n int, err error) {
	if len(p) > 12 && p[12] != commandLocal && p[12] != commandProxy {
		return source, 0, ErrHeader
	}
	if len(p) < v2Fixed {
		return source, 0, nil
	}
	size := int(binary.BigEndian.Uint16(p[14:]))
	family, transport := p[13]>>4, p[13]&0x0F
	least, known := addressSize(family)
	if size > v2Most || p[12] == commandProxy && (!known || transport > transportMax || size < least) {
		return source, 0, ErrHeader
	}
	if n = v2Fixed + size; len(p) < n {
		return source, 0, nil
	}
	if p[12] == commandLocal { // "must discard the protocol block including the family"
		return source, n, nil
	}
	a := p[v2Fixed:n]
	switch family {
	case familyInet:
		source = netip.AddrPortFrom(netip.AddrFrom4([4]byte(a)), binary.BigEndian.Uint16(a[8:]))
	case familyInet6:
		source = netip.AddrPortFrom(netip.AddrFrom16([16]byte(a)).Unmap(), binary.BigEndian.Uint16(a[32:]))
	}
	return source, n, nil
}

// addressSize returns how many bytes of addresses a family of version 2 has.
func addressSize(family byte) (size int, known bool) {
	switch family {
	case familyUnspec:
		return 0, true
	case familyInet:
		return inetSize, true
	case familyInet6:
		return inet6Size, true
	case familyUnix:
		return unixSize, true
	}
	return 0, false
}
