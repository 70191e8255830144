package admin

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// admit says who makes a request and whether the route is for them.
func (a *API) admit(r *http.Request, need Role) (caller, *problem) {
	ring := a.keys.Load()
	if len(ring.keys) == 0 {
		return local, a.admitLocal(r)
	}
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if key = strings.TrimSpace(key); !strings.EqualFold(scheme, "Bearer") || key == "" {
		a.counts.refuse(refusedNoKey)
		return caller{}, unauthorized("a key is needed: Authorization: Bearer KEY", "")
	}
	c, ok := ring.find(key)
	if !ok {
		a.counts.refuse(refusedWrongKey)
		return caller{}, unauthorized("the key is not known here", `, error="invalid_token"`)
	}
	if c.role < need {
		a.counts.refuse(refusedRole)
		p := problemf(http.StatusForbidden, "this needs a key with the role %s; that of %s is %s", need, c.name, c.role)
		return caller{}, p
	}
	return c, nil
}

func unauthorized(detail, more string) *problem {
	p := problemf(http.StatusUnauthorized, "%s", detail)
	p.header = http.Header{"Www-Authenticate": {`Bearer realm="danmakud"` + more}}
	return p
}

// admitLocal is the rule while there are no keys: callers on this host are trusted,
// pages that a browser on this host has open are not. A page of another site can have
// the browser send requests here (a foreign Origin), or name its own host with our
// address (a foreign Host). A proxy on this host brings callers from elsewhere, and
// most name it by our own address. Who may open a unix socket is for the permissions of its
// file, and no page can.
func (a *API) admitLocal(r *http.Request) *problem {
	if _, unix := r.Context().Value(http.LocalAddrContextKey).(*net.UnixAddr); unix {
		return nil
	}
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	switch {
	case err != nil || !from.Addr().Unmap().IsLoopback():
		a.counts.refuse(refusedAddress)
		return problemf(http.StatusForbidden, "only from this host, while the server has no --control-key")
	case !loopbackHost(r.Host):
		a.counts.refuse(refusedHost)
		return problemf(http.StatusForbidden, "Host is no name of this host; set --control-key to use another")
	case forwarded(r):
		a.counts.refuse(refusedAddress)
		return problemf(http.StatusForbidden, "not through a proxy, while the server has no --control-key")
	case foreignOrigin(r):
		a.counts.refuse(refusedOrigin)
		return problemf(http.StatusForbidden, "not for pages of other sites")
	}
	return nil
}

// proxyHeaders are those that proxies add, and nobody else has a reason to.
var proxyHeaders = [...]string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Via"}

// forwarded reports whether a proxy sends this for somebody else. One that does not
// say so cannot be told from a caller on this host.
func forwarded(r *http.Request) bool {
	for _, name := range proxyHeaders {
		if len(r.Header[name]) > 0 {
			return true
		}
	}
	return false
}

// loopbackHost reports whether a Host header names this host in a way that no name
// server has a say in.
func loopbackHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.Unmap().IsLoopback()
}

// foreignOrigin reports whether a browser sends this for a page of another origin.
// Programs that are no browsers send neither header.
func foreignOrigin(r *http.Request) bool {
	for _, origin := range r.Header.Values("Origin") {
		u, err := url.Parse(origin)
		if err != nil || !strings.EqualFold(u.Host, r.Host) || u.Scheme != "http" && u.Scheme != "https" {
			return true
		}
	}
	site := r.Header.Get("Sec-Fetch-Site")
	return site != "" && site != "same-origin" && site != "none"
}
