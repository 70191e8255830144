package server

import (
	"math"
	"net/netip"
	"strings"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/proxyheader"
	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/wsproto"
)

// Where a viewer is and whether it may come in:
//
//	Opened ── peer is no proxy ───────────────────────────────► count
//	   ├───── peer speaks PROXY ──► its header ── no proxy ───► count
//	   │                                └── trusted proxy ──┐
//	   └───── trusted proxy ────────────────────────────────┴► X-Forwarded-For ─► count
//
// Whether the peer speaks PROXY is judged by the settings at Opened, the rest by
// those in force when its header, or the head, has come.
//
// A connection is counted as soon as the address is known, and keeps its place
// until it is closed, also when net/http serves it. Not counted is who has no
// address: a unix socket, LOCAL and UNKNOWN, and a trusted proxy that names nobody.

// networks are of proxies; few.
type networks []netip.Prefix

func (n networks) contain(a netip.Addr) bool {
	for _, network := range n {
		if network.Contains(a) {
			return true
		}
	}
	return false
}

// address returns where the viewer is: what a trusted proxy says, otherwise the
// other end of the socket. Invalid for a unix socket. Loop goroutine only.
func (h *handler) address(s poller.Slot) netip.Addr {
	if h.session(s).is(markAddressed) {
		return h.addressColumn(s).address()
	}
	return h.loop.RemoteAddr(s).Addr().WithZone("")
}

// spokeMost is of how many viewers who spoke lately a loop remembers where they are.
const spokeMost = 4096

// speakerAddress is address for who speaks, and may do so again soon: the kernel is
// asked once, not with each comment, which cost as much as a twentieth of all that
// the server does. Loop goroutine only.
func (h *handler) speakerAddress(s poller.Slot) netip.Addr {
	if k, ok := h.spoke[s]; ok {
		return k.address()
	}
	a := h.address(s)
	if a.IsValid() && !h.session(s).is(markAddressed) {
		if len(h.spoke) >= spokeMost {
			clear(h.spoke)
		}
		h.spoke[s] = a.As16()
	}
	return a
}

// addressColumn returns the place for the address of s, made if need be.
func (h *handler) addressColumn(s poller.Slot) *addressKey {
	chunk := int(s / chunkSessions)
	for chunk >= len(h.addresses) {
		h.addresses = append(h.addresses, nil)
	}
	if h.addresses[chunk] == nil {
		h.addresses[chunk] = new([chunkSessions]addressKey)
	}
	return &h.addresses[chunk][s%chunkSessions]
}

// locate begins with what the socket says of a new connection.
func (h *handler) locate(s poller.Slot) {
	if h.config.MaxConnectionsPerAddress == 0 && len(h.rules.proxies) == 0 {
		return // nobody asks, so nor do we ask the kernel
	}
	switch peer := h.address(s); {
	case !peer.IsValid():
	case h.rules.proxies.contain(peer):
		h.session(s).marks |= markHeader | markProxied
	case !h.rules.trusted.contain(peer): // else the head will tell
		h.admit(s, peer)
	}
}

// takeProxyHeader reads the PROXY header that p, with what came before, begins
// with. It returns what is behind it: nothing while it is not complete, or when
// the connection is over.
func (h *handler) takeProxyHeader(s poller.Slot, p []byte) (rest []byte) {
	buf := p
	k := h.partials[s]
	if k != nil {
		buf = k.add(p)
	}
	source, n, err := proxyheader.Parse(buf)
	switch {
	case err != nil:
		h.loop.Close(s, reasonProxyHeader) // no answer: who knows what the peer speaks
		return nil
	case n == 0:
		if k == nil {
			h.partial(s).add(p)
		}
		if !h.charge(s) {
			h.loop.Close(s, reasonPartialFull)
		}
		return nil
	}
	h.forgetPartial(s)
	h.session(s).marks &^= markHeader
	if from := source.Addr(); from.IsValid() {
		h.setAddress(s, from)
		if !h.rules.trusted.contain(from) && !h.admit(s, from) {
			return nil
		}
	}
	return buf[n:]
}

func (h *handler) setAddress(s poller.Slot, a netip.Addr) {
	*h.addressColumn(s) = a.As16()
	h.session(s).marks |= markAddressed
}

// forwarded looks for the viewer's address in the head, if that came from a
// trusted proxy: garbage where it should be leaves that of the proxy. A peer that
// the settings trusted when it came, and do not trust now, is counted like others.
// forwarded reports whether the connection may go on.
func (h *handler) forwarded(s poller.Slot, head []byte) bool {
	c := h.session(s)
	located := c.is(markLocated | markCounted)
	c.marks |= markLocated
	switch {
	case located:
		return true
	case len(h.rules.trusted) == 0 && h.config.MaxConnectionsPerAddress == 0:
		return true // nobody asks, so nor do we ask the kernel
	case c.is(markProxied) && !c.is(markAddressed):
		return true // a proxy that does not say whose bytes these are
	}
	peer := h.address(s)
	if !h.rules.trusted.contain(peer) {
		return !peer.IsValid() || h.admit(s, peer)
	}
	r, err := wsproto.ParseRequest(head)
	if err != nil || r.ForwardedFor == "" {
		return true // what is wrong with the head is the upgrade's to say
	}
	viewer, ok := forwardedFor(r.ForwardedFor, h.rules.trusted)
	if !ok {
		h.server.misforwarded.Add(1)
		return true
	}
	h.setAddress(s, viewer)
	return h.admit(s, viewer)
}

// origin is what has been found out about where a connection comes from. It goes
// along when the connection moves to another loop, which may go by other settings
// already: judged again by those, the same bytes could mean something else.
type origin struct {
	marks   marks
	address addressKey // with markAddressed
}

// origin returns what is known of s.
func (h *handler) origin(s poller.Slot) (o origin) {
	o.marks = h.session(s).marks & (markProxied | markAddressed | markCounted | markLocated)
	if o.marks&markAddressed != 0 {
		o.address = *h.addressColumn(s)
	}
	return o
}

// arrived is Opened for a connection that another loop has begun with and that
// came from o. It asks for its place again, which that loop has given back.
func (h *handler) arrived(s poller.Slot, o origin) {
	if !h.begin(s) {
		return
	}
	h.session(s).marks |= o.marks &^ markCounted
	if o.marks&markAddressed != 0 {
		*h.addressColumn(s) = o.address
	}
	if o.marks&markCounted != 0 {
		h.admit(s, o.address.address())
	}
}

// forwardedFor returns the rightmost address of an X-Forwarded-For that is no
// trusted proxy's, since each proxy adds at the right whom it has got the request
// from and only those can be believed; the leftmost when all are trusted. It
// reports false when there is no address where one should be.
func forwardedFor(list string, trusted networks) (a netip.Addr, ok bool) {
	for more := true; more; {
		var element string
		comma := strings.LastIndexByte(list, ',')
		element, more = list[comma+1:], comma >= 0
		if more {
			list = list[:comma]
		}
		if a, ok = forwardedAddress(strings.Trim(element, " \t")); !ok || !trusted.contain(a) {
			return a, ok
		}
	}
	return a, true
}

// forwardedAddress reads an address, with or without a port: proxies write both.
func forwardedAddress(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil {
		return a.Unmap(), a.Zone() == ""
	}
	a, err := netip.ParseAddrPort(s)
	return a.Addr().Unmap(), err == nil && a.Addr().Zone() == ""
}

// admit counts a connection of address a. If there are too many it is refused,
// and false returned.
func (h *handler) admit(s poller.Slot, a netip.Addr) bool {
	limit := h.config.MaxConnectionsPerAddress
	if limit == 0 {
		return true
	}
	key := addressKey(a.As16())
	if !h.server.places.take(key.counted(), limit) {
		h.server.rejected.addresses.Add(1)
		h.turnAway(s, "too many connections from your address", reasonAddressFull)
		return false
	}
	h.setAddress(s, a)
	h.session(s).marks |= markCounted
	return true
}

// placeOf returns the place of a connection among those of its address.
func (h *handler) placeOf(s poller.Slot) place {
	if !h.session(s).is(markCounted) {
		return place{}
	}
	return place{&h.server.places, h.addressColumn(s).counted()}
}

// retake gives a connection back its place.
func (h *handler) retake(s poller.Slot, p place) {
	if p.table != nil {
		p.table.take(p.key, math.MaxInt)
		h.session(s).marks |= markCounted
	}
}
