package wsproto

import (
	"fmt"
	"strings"
)

// OriginPolicy makes the check for Upgrader.Origin of what an operator allows:
//
//   - every origin
//     https://a.example       this origin, its port as written in the page's address
//     a.example               this host under any scheme
//     *.a.example             every host below a.example, but not a.example itself;
//     also with a scheme or a port
//
// An empty list allows what SameHost allows. With a list, a page of the server's
// own host is allowed only when it is listed too. A request without Origin comes
// from no page and is always allowed: the check keeps foreign pages from using
// a visitor's browser, it is not authentication (RFC 6455 section 10.2).
func OriginPolicy(allow []string) (func(origin, host string) bool, error) {
	if len(allow) == 0 {
		return SameHost, nil
	}
	patterns := make([]originPattern, 0, len(allow))
	for _, s := range allow {
		p, err := parseOriginPattern(s)
		if err != nil {
			return nil, err
		}
		patterns = append(patterns, p)
	}
	return func(origin, _ string) bool {
		if origin == "" {
			return true
		}
		scheme, authority, ok := splitOrigin(origin)
		for _, p := range patterns {
			if p.any || ok && p.match(scheme, authority) {
				return true
			}
		}
		return false
	}, nil
}

// SameHost allows pages that were served under the host name and port the
// request itself was sent to, under any scheme (TLS may end at a proxy), and
// requests without Origin.
func SameHost(origin, host string) bool {
	if origin == "" {
		return true
	}
	scheme, authority, ok := splitOrigin(origin)
	return ok && strings.EqualFold(authority, dropDefaultPort(scheme, host))
}

// originPattern is one parsed entry of the operator's list.
type originPattern struct {
	any    bool
	scheme string // "" = any
	suffix bool   // host is a suffix that begins with a dot
	host   string // with the port, if one was given
}

func parseOriginPattern(s string) (p originPattern, err error) {
	if s == "*" {
		return originPattern{any: true}, nil
	}
	p.host = s
	if scheme, rest, found := strings.Cut(s, "://"); found {
		p.scheme, p.host = scheme, rest
		if scheme == "" {
			return p, fmt.Errorf("origin %q: nothing before ://", s)
		}
		p.host = dropDefaultPort(scheme, p.host)
	}
	if strings.HasPrefix(p.host, "*.") {
		p.suffix, p.host = true, p.host[1:]
	}
	if strings.Trim(p.host, ".") == "" || strings.Contains(p.host, "*") || !validHost(p.host) {
		return p, fmt.Errorf("origin %q: want *, HOST, *.HOST or SCHEME://HOST, without a path", s)
	}
	return p, nil
}

func (p originPattern) match(scheme, authority string) bool {
	if p.scheme != "" && !strings.EqualFold(p.scheme, scheme) {
		return false
	}
	if p.suffix {
		cut := len(authority) - len(p.host)
		return cut > 0 && strings.EqualFold(authority[cut:], p.host)
	}
	return strings.EqualFold(authority, p.host)
}

// splitOrigin takes an Origin apart; ok is false for "null" and what is no
// origin at all.
func splitOrigin(origin string) (scheme, authority string, ok bool) {
	scheme, authority, found := strings.Cut(origin, "://")
	if !found || scheme == "" || !validHost(authority) {
		return "", "", false
	}
	return scheme, dropDefaultPort(scheme, authority), true
}

// dropDefaultPort removes the port a scheme implies: browsers leave it out, but
// proxies and people write it.
func dropDefaultPort(scheme, authority string) string {
	switch {
	case strings.EqualFold(scheme, "http"):
		return strings.TrimSuffix(authority, ":80")
	case strings.EqualFold(scheme, "https"):
		return strings.TrimSuffix(authority, ":443")
	}
	return authority
}

// validHost reports whether s can be a host with or without a port: the
// characters of RFC 3986 section 3.2.2 without those that begin another part
// (user info, path, query) and without the comma, which here only means that
// someone merged two fields.
func validHost(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7F || strings.IndexByte("\"#,/<>?@\\^`{|}", c) >= 0 {
			return false
		}
	}
	return s != ""
}
