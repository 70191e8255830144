package proxyheader

import (
	"encoding/binary"
	"strings"
	"testing"
)

// v2 makes a header of version 2 with the bytes given behind the fixed part.
func v2(command, family byte, rest string) string {
	p := append([]byte(v2Signature), command, family)
	return string(binary.BigEndian.AppendUint16(p, uint16(len(rest)))) + rest
}

const (
	inet  = "\xC0\x00\x02\x01\xC0\x00\x02\x02\x9C\x40\x00\x50"
	zeros = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
)

var (
	inet6  = "\x20\x01\x0D\xB8" + zeros[:11] + "\x07" + zeros + "\x00\x00\x00\x01" + "\x9C\x40\x00\x50"
	mapped = zeros[:10] + "\xFF\xFF\xC0\x00\x02\x01" + zeros + "\x00\x00\x00\x01" + "\x9C\x40\x00\x50"
	paths  = "/run/a" + strings.Repeat("\x00", unixSize-6)
)

var good = []struct{ name, header, source string }{
	{"v1 TCP4", "PROXY TCP4 192.0.2.1 192.0.2.2 40000 80\r\n", "192.0.2.1:40000"},
	{"v1 TCP6", "PROXY TCP6 2001:db8::7 ::1 40000 80\r\n", "[2001:db8::7]:40000"},
	{"v1 TCP6 longest", "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
	{"v1 IPv4 in TCP6", "PROXY TCP6 ::ffff:192.0.2.1 ::1 40000 80\r\n", "192.0.2.1:40000"},
	{"v1 port 0", "PROXY TCP4 192.0.2.1 192.0.2.2 0 0\r\n", "192.0.2.1:0"},
	{"v1 UNKNOWN", "PROXY UNKNOWN\r\n", ""},
	{"v1 UNKNOWN with more", "PROXY UNKNOWN ffff::f ffff::f 65535 65535\r\n", ""},
	{"v1 UNKNOWN longest", "PROXY UNKNOWN " + strings.Repeat("x", v1Max-16) + "\r\n", ""},
	{"v2 TCP4", v2(commandProxy, 0x11, inet), "192.0.2.1:40000"},
	{"v2 UDP4", v2(commandProxy, 0x12, inet), "192.0.2.1:40000"},
	{"v2 TCP6", v2(commandProxy, 0x21, inet6), "[2001:db8::7]:40000"},
	{"v2 IPv4 in TCP6", v2(commandProxy, 0x21, mapped), "192.0.2.1:40000"},
	{"v2 with fields", v2(commandProxy, 0x11, inet+"\x03\x00\x04abcd\x04\x00\x00"), "192.0.2.1:40000"},
	{"v2 longest", v2(commandProxy, 0x11, inet+strings.Repeat("\xFF", v2Most-inetSize)), "192.0.2.1:40000"},
	{"v2 unix", v2(commandProxy, 0x31, paths), ""},
	{"v2 UNSPEC", v2(commandProxy, 0x00, "whatever"), ""},
	{"v2 LOCAL", v2(commandLocal, 0x00, ""), ""},
	{"v2 LOCAL with addresses", v2(commandLocal, 0x11, inet), ""},
	{"v2 LOCAL of any family", v2(commandLocal, 0xFF, "x"), ""},
}

// Each header is read the same wherever it is cut, and what is behind it is left.
func TestParse(t *testing.T) {
	for _, c := range good {
		t.Run(c.name, func(t *testing.T) {
			for cut := range c.header {
				if source, n, err := Parse([]byte(c.header[:cut])); n != 0 || err != nil || source.IsValid() {
					t.Fatalf("cut at %d: %v, %d, %v", cut, source, n, err)
				}
			}
			for _, behind := range []string{"", "\r\n", "GET / HTTP/1.1\r\n"} {
				source, n, err := Parse([]byte(c.header + behind))
				if err != nil || n != len(c.header) {
					t.Fatalf("%d of %d bytes, %v", n, len(c.header), err)
				}
				if got := source.String(); got != c.source && (source.IsValid() || c.source != "") {
					t.Errorf("source %s, want %s", got, c.source)
				}
			}
		})
	}
}

// What is no header is told apart at the byte that shows it.
func TestParseRefuses(t *testing.T) {
	for name, p := range map[string]string{
		"HTTP":                 "G",
		"TLS":                  "\x16\x03\x01",
		"v1 signature":         "PROXZ",
		"v1 in lower case":     "proxy",
		"v1 family":            "PROXY TCP5 192.0.2.1 192.0.2.2 40000 80\r\n",
		"v1 family in front":   "PROXY UNKNOWNX\r\n",
		"v1 without all":       "PROXY \r\n",
		"v1 bare LF":           "PROXY UNKNOWN\n",
		"v1 LF at once":        "PROXY \n",
		"v1 no addresses":      "PROXY TCP4\r\n",
		"v1 a field less":      "PROXY TCP4 192.0.2.1 192.0.2.2 40000\r\n",
		"v1 a field more":      "PROXY TCP4 192.0.2.1 192.0.2.2 40000 80 1\r\n",
		"v1 two blanks":        "PROXY TCP4  192.0.2.1 192.0.2.2 40000 80\r\n",
		"v1 address":           "PROXY TCP4 192.0.2.256 192.0.2.2 40000 80\r\n",
		"v1 leading zero":      "PROXY TCP4 192.0.02.1 192.0.2.2 40000 80\r\n",
		"v1 TCP4 with IPv6":    "PROXY TCP4 2001:db8::7 ::1 40000 80\r\n",
		"v1 TCP6 with IPv4":    "PROXY TCP6 192.0.2.1 192.0.2.2 40000 80\r\n",
		"v1 zone":              "PROXY TCP6 fe80::1%eth0 ::1 40000 80\r\n",
		"v1 port too high":     "PROXY TCP4 192.0.2.1 192.0.2.2 65536 80\r\n",
		"v1 port with zero":    "PROXY TCP4 192.0.2.1 192.0.2.2 040000 80\r\n",
		"v1 port with sign":    "PROXY TCP4 192.0.2.1 192.0.2.2 +4 80\r\n",
		"v1 destination":       "PROXY TCP4 192.0.2.1 x 40000 80\r\n",
		"v1 no end":            "PROXY UNKNOWN " + strings.Repeat("x", v1Max-14),
		"v1 end too late":      "PROXY UNKNOWN " + strings.Repeat("x", v1Max-15) + "\r\n",
		"v2 signature":         v2Signature[:11] + "\x0B",
		"v2 version 1":         v2Signature + "\x11",
		"v2 command 2":         v2Signature + "\x22",
		"v2 family":            v2(commandProxy, 0x41, inet),
		"v2 transport":         v2(commandProxy, 0x13, inet),
		"v2 TCP4 short":        v2(commandProxy, 0x11, inet[:11]),
		"v2 TCP6 short":        v2(commandProxy, 0x21, inet6[:35]),
		"v2 unix short":        v2(commandProxy, 0x31, paths[:215]),
		"v2 too long":          v2Signature + "\x21\x11\x02\x09",
		"v2 LOCAL too long":    v2Signature + "\x20\x00\xFF\xFF",
		"v2 declared too much": v2Signature + "\x21\x11\xFF\xFF",
	} {
		if source, n, err := Parse([]byte(p)); err == nil || n != 0 || source.IsValid() {
			t.Errorf("%s: %v, %d bytes, %v", name, source, n, err)
		}
	}
}

// FuzzParse: a header is the same wherever it is cut, is never longer than Max,
// and what was refused stays refused whatever follows.
func FuzzParse(f *testing.F) {
	for _, c := range good {
		f.Add([]byte(c.header + "GET"))
	}
	f.Add([]byte(v2Signature + "\x21\x11\x02\x09"))
	f.Fuzz(func(t *testing.T, p []byte) {
		source, n, err := Parse(p)
		switch {
		case n > Max || n > len(p) || n < 0:
			t.Fatalf("%d bytes of %d", n, len(p))
		case err != nil && (n != 0 || source.IsValid()):
			t.Fatalf("an error with %d bytes and %v", n, source)
		case err == nil && n == 0 && len(p) >= Max:
			t.Fatalf("not complete with %d bytes", len(p))
		}
		refused := false
		for cut := range p {
			s, m, e := Parse(p[:cut])
			switch {
			case refused && e == nil:
				t.Fatalf("refused, and at %d not any more", cut)
			case e == nil && m > 0 && (m != n || s != source):
				t.Fatalf("cut at %d: %v, %d; whole: %v, %d", cut, s, m, source, n)
			case err == nil && e != nil:
				t.Fatalf("refused at %d and good as a whole", cut)
			}
			refused = e != nil
		}
		if n > 0 && source.IsValid() {
			from := source.Addr().As16()
			addresses := append(from[:], make([]byte, 16)...)
			addresses = append(binary.BigEndian.AppendUint16(addresses, source.Port()), 0, 0)
			again, m, err := Parse([]byte(v2(commandProxy, familyInet6<<4|1, string(addresses))))
			if again != source || m == 0 || err != nil {
				t.Fatalf("%v becomes %v, %d, %v", source, again, m, err)
			}
		}
	})
}
