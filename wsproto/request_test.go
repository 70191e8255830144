package wsproto

import (
	"net/url"
	"strings"
	"testing"
)

func TestParseRequest(t *testing.T) {
	cases := []struct {
		name string
		head string
		want Request // exported fields
	}{
		{
			name: "all fields",
			head: request("GET /ws/r%31?token=a&b HTTP/1.1", "host: live.example:8080", "ORIGIN: https://a.example", "authorization: Bearer x.y",
				"User-Agent:  test/1 ", "X-Forwarded-For: 192.0.2.1", "x-forwarded-for: 198.51.100.7, 203.0.113.9", "Upgrade: h2c, WebSocket"),
			want: Request{
				Method:        "GET",
				Path:          "/ws/r%31",
				Query:         "token=a&b",
				Host:          "live.example:8080",
				Origin:        "https://a.example",
				Authorization: "Bearer x.y",
				UserAgent:     "test/1",
				ForwardedFor:  "192.0.2.1, 198.51.100.7, 203.0.113.9",
				Upgrade:       true,
			},
		},
		{
			name: "plain",
			head: request("DELETE /?? HTTP/1.0", "Upgrade: h2c"),
			want: Request{Method: "DELETE", Path: "/", Query: "?"},
		},
		{
			name: "absolute target wins over Host",
			head: request("GET HTTPS://live.example:443/a?b HTTP/1.1", "Host: other.example"),
			want: Request{Method: "GET", Path: "/a", Query: "b", Host: "live.example:443"},
		},
		{
			name: "absolute target without a path",
			head: request("GET http://live.example HTTP/1.1", "Host: live.example"),
			want: Request{Method: "GET", Path: "/", Host: "live.example"},
		},
		{
			name: "absolute target with a query only",
			head: request("GET http://live.example?a=/b HTTP/1.1", "Host: live.example"),
			want: Request{Method: "GET", Path: "/", Query: "a=/b", Host: "live.example"},
		},
		{
			name: "foreign scheme",
			head: request("GET ftp://live.example/ HTTP/1.1", "Host: live.example"),
			want: Request{Method: "GET", Host: "live.example"},
		},
		{
			name: "authority target",
			head: request("CONNECT live.example:443 HTTP/1.1", "Host: live.example"),
			want: Request{Method: "CONNECT", Host: "live.example"},
		},
	}
	for _, c := range cases {
		head := []byte(c.head)
		r, err := ParseRequest(head)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		clear(head) // the strings must not care
		got := Request{
			Method:        r.Method,
			Path:          r.Path,
			Query:         r.Query,
			Host:          r.Host,
			Origin:        r.Origin,
			Authorization: r.Authorization,
			UserAgent:     r.UserAgent,
			ForwardedFor:  r.ForwardedFor,
			Upgrade:       r.Upgrade,
		}
		if got != c.want {
			t.Errorf("%s:\n got  %+v\n want %+v", c.name, got, c.want)
		}
	}
}

func TestQueryValue(t *testing.T) {
	const query = "room=r1&token=a%2Bb+c&empty=&flag&room=r2&%74ype=x&bad=%zz&bad=good&worse=%&a;b=1&=noname&eq=a=b"
	cases := []struct {
		name, want string
		ok         bool
	}{
		{"room", "r1", true},
		{"token", "a+b c", true},
		{"empty", "", true},
		{"flag", "", true},
		{"type", "x", true},
		{"bad", "good", true},
		{"worse", "", false},
		{"Room", "", false},
		{"absent", "", false},
		{"a;b", "1", true},
		{"eq", "a=b", true},
		{"", "noname", true},
	}
	r := Request{Query: query}
	for _, c := range cases {
		if got, ok := r.QueryValue(c.name); got != c.want || ok != c.ok {
			t.Errorf("%q: %q %v, want %q %v", c.name, got, ok, c.want, c.ok)
		}
	}
	for _, empty := range []string{"", "&", "&&"} {
		r := Request{Query: empty}
		if got, ok := r.QueryValue(""); ok {
			t.Errorf("query %q has a value %q", empty, got)
		}
	}
	if n := testing.AllocsPerRun(100, func() { r.QueryValue("room") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestQueryValueAgainstLibrary compares with net/url where both decode.
func TestQueryValueAgainstLibrary(t *testing.T) {
	for _, query := range []string{"a=1&b=2&a=3", "a=%e5%bc%b9&b=x+y", "a&b", "a==&b=%26", "b=&a=%00"} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		r := Request{Query: query}
		for _, name := range []string{"a", "b", "c"} {
			got, ok := r.QueryValue(name)
			if ok != values.Has(name) || got != values.Get(name) {
				t.Errorf("%s of %s: %q %v, want %q", name, query, got, ok, values.Get(name))
			}
		}
	}
}

func TestOrigin(t *testing.T) {
	cases := []struct {
		allow        string // blanks between; empty: none
		origin, host string
		want         bool
	}{
		{"", "", "live.example", true},
		{"", "https://live.example", "live.example", true},
		{"", "http://live.example", "live.example", true},
		{"", "https://LIVE.example", "live.Example", true},
		{"", "http://live.example:8080", "live.example:8080", true},
		{"", "http://live.example:8080", "live.example", false},
		{"", "http://live.example", "live.example:8080", false},
		{"", "https://live.example", "live.example:443", true},
		{"", "http://live.example:80", "live.example", true},
		{"", "http://live.example", "live.example:443", false},
		{"", "http://[::1]:8080", "[::1]:8080", true},
		{"", "https://evil.example", "live.example", false},
		{"", "https://live.example.evil.example", "live.example", false},
		{"", "https://evil-live.example", "live.example", false},
		{"", "null", "live.example", false},
		{"", "live.example", "live.example", false},
		{"", "://live.example", "live.example", false},
		{"", "https://live.example/", "live.example", false},
		{"", "https://u@live.example", "live.example", false},
		{"", "https://", "live.example", false},

		{"*", "null", "live.example", true},
		{"*", "https://evil.example", "live.example", true},
		{"*", "", "live.example", true},

		{"https://a.example", "", "live.example", true},
		{"https://a.example", "https://a.example", "live.example", true},
		{"https://a.example", "HTTPS://A.example", "live.example", true},
		{"https://a.example", "https://a.example:443", "live.example", true},
		{"https://a.example:443", "https://a.example", "live.example", true},
		{"https://a.example", "http://a.example", "live.example", false},
		{"https://a.example", "https://a.example:8443", "live.example", false},
		{"https://a.example", "https://b.a.example", "live.example", false},
		{"https://a.example", "https://live.example", "live.example", false},
		{"https://a.example", "null", "live.example", false},
		{"https://a.example http://localhost:3000", "http://localhost:3000", "live.example", true},

		{"a.example", "https://a.example", "live.example", true},
		{"a.example", "http://a.example", "live.example", true},
		{"a.example:8080", "http://a.example:8080", "live.example", true},
		{"a.example", "http://a.example:8080", "live.example", false},

		{"*.a.example", "https://b.a.example", "live.example", true},
		{"*.a.example", "http://c.b.a.example", "live.example", true},
		{"*.a.example", "https://B.A.example", "live.example", true},
		{"*.a.example", "https://a.example", "live.example", false},
		{"*.a.example", "https://.a.example", "live.example", false},
		{"*.a.example", "https://evila.example", "live.example", false},
		{"*.a.example", "https://a.example.evil.example", "live.example", false},
		{"*.a.example", "https://evil.example/.a.example", "live.example", false},
		{"https://*.a.example", "https://b.a.example", "live.example", true},
		{"https://*.a.example", "http://b.a.example", "live.example", false},
		{"*.a.example:8443", "https://b.a.example:8443", "live.example", true},
		{"*.a.example:8443", "https://b.a.example", "live.example", false},
	}
	for _, c := range cases {
		policy, err := OriginPolicy(strings.Fields(c.allow))
		if err != nil {
			t.Errorf("%q: %v", c.allow, err)
			continue
		}
		if got := policy(c.origin, c.host); got != c.want {
			t.Errorf("allow %q: %q to %q: %v", c.allow, c.origin, c.host, got)
		}
	}
	for _, bad := range []string{"", "https://", "://a.example", "https://a.example/", "https://a.example/path", "**.a", "a.*", "*.", "*a.example", "a b", "https://a?b", "*.*.a"} {
		if _, err := OriginPolicy([]string{"https://good.example", bad}); err == nil {
			t.Errorf("%q is taken as an origin", bad)
		} else if !strings.Contains(err.Error(), `"`+bad+`"`) {
			t.Errorf("%q: the error does not name it: %v", bad, err)
		}
	}
}
