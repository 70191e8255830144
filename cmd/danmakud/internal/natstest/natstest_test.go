package natstest

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
)

// TestMain fails the run when goroutines are left behind; a server that was left would
// have one.
func TestMain(m *testing.M) {
	flag.Parse()
	before := runtime.NumGoroutine()
	status := m.Run()
	for range 500 {
		if runtime.NumGoroutine() <= before {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > before && status == 0 {
		buf := make([]byte, 1<<20)
		fmt.Printf("%d goroutines left, %d at start\n%s\n", n, before, buf[:runtime.Stack(buf, true)])
		status = 1
	}
	os.Exit(status)
}

// TestFound says which versions the tests of this machine run with.
func TestFound(t *testing.T) {
	all := Find()
	if len(all) == 0 {
		t.Skip(missing)
	}
	for _, b := range all {
		t.Log(b)
		if !b.AtLeast("2.9.0") {
			t.Errorf("%s is older than what danmakud supports", b)
		}
	}
	if newest := Newest(t); !newest.AtLeast(all[0].Version) {
		t.Errorf("%s is not the newest of %v", newest, all)
	}
}

func TestVersions(t *testing.T) {
	for _, tc := range []struct {
		own, other string
		want       bool
	}{{"2.9.10", "2.9.9", true}, {"2.9.9", "2.10.0", false}, {"2.10.0", "2.10.0", true}, {"2.10.0-RC.1", "2.9.99", true}, {"3", "2.99.99", true}} {
		if got := (Binary{Version: tc.own}).AtLeast(tc.other); got != tc.want {
			t.Errorf("%s at least %s: %v", tc.own, tc.other, got)
		}
	}
	for line, want := range map[string]string{"nats-server: v2.9.10\n": "2.9.10", "nats-server: v2.15.2-RC.1": "2.15.2-RC.1", "other 1.2.3": "", "": ""} {
		if got := versionOf(line); got != want {
			t.Errorf("versionOf(%q) = %q", line, got)
		}
	}
}

func connect(t *testing.T, s *Server, options ...nats.Option) (*nats.Conn, error) {
	t.Helper()
	c, err := nats.Connect(s.URL(), append(options, nats.Timeout(patience), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))...)
	if err == nil {
		t.Cleanup(c.Close)
	}
	return c, err
}

// echoes fails unless a message comes through.
func echoes(t *testing.T, from, to *nats.Conn) {
	t.Helper()
	sub, err := to.SubscribeSync("there")
	if err == nil {
		err = to.FlushTimeout(patience)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	// Interest takes a moment to reach another server of a cluster.
	for deadline := time.Now().Add(patience); ; {
		if err := from.Publish("there", []byte("hello")); err != nil {
			t.Fatal(err)
		}
		m, err := sub.NextMsg(100 * time.Millisecond)
		if err == nil && string(m.Data) == "hello" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing came through")
		}
	}
}

func TestKilledAndBack(t *testing.T) {
	Each(t, func(t *testing.T, b Binary) {
		s := b.Start(t, Options{JetStream: true})
		c, err := connect(t, s)
		if err != nil {
			t.Fatal(err)
		}
		echoes(t, c, c)
		if v := c.ConnectedServerVersion(); v != b.Version {
			t.Errorf("version %s", v)
		}
		js, err := c.JetStream(nats.MaxWait(patience))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.AddStream(&nats.StreamConfig{Name: "S", Subjects: []string{"s.*"}}); err != nil {
			t.Fatal(err)
		}
		if _, err := js.Publish("s.1", []byte("kept")); err != nil {
			t.Fatal(err)
		}
		var varz struct {
			In          int64 `json:"in_msgs"`
			Connections int   `json:"connections"`
		}
		for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
			if s.Monitor("/varz", &varz); varz.In > 0 && varz.Connections == 1 {
				break // the one that found it ready has gone
			}
			if time.Now().After(deadline) {
				t.Fatalf("/varz: %+v", varz)
			}
		}

		for _, end := range []func(){s.Kill, s.Term} {
			pid := s.Pid()
			end()
			if syscall.Kill(pid, 0) == nil {
				t.Errorf("process %d is still there", pid)
			}
			if s.Pid() != 0 {
				t.Error("a process that ended has a number")
			}
			s.Restart()
			echoes(t, c, c) // it has found the same port again
			if m, err := js.GetLastMsg("S", "s.1"); err != nil || string(m.Data) != "kept" {
				t.Errorf("after a restart: %v, %v", m, err)
			}
		}
		s.Kill()
		s.Kill() // for the second time
	})
}

func TestCluster(t *testing.T) {
	Each(t, func(t *testing.T, b Binary) {
		all := b.StartCluster(t, 3, Options{JetStream: true})
		if n := strings.Count(URLs(all), "nats://"); n != 3 {
			t.Errorf("URLs %q", URLs(all))
		}
		first, err := connect(t, all[0])
		if err != nil {
			t.Fatal(err)
		}
		last, err := connect(t, all[2])
		if err != nil {
			t.Fatal(err)
		}
		echoes(t, first, last)
		js, err := first.JetStream(nats.MaxWait(patience))
		if err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
			_, err := js.AddStream(&nats.StreamConfig{Name: "S", Subjects: []string{"s"}, Replicas: 3})
			if err == nil {
				break // the leader has heard of both others
			}
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
		all[1].Kill()
		echoes(t, first, last)
		all[1].Restart()
	})
}

// TestGuards: who has what is asked for comes in, others do not.
func TestGuards(t *testing.T) {
	public, seedFile := NewNKey(t)
	_, otherSeed := NewNKey(t)
	operator, stranger := NewOperator(t), NewOperator(t)
	nkey := func(file string) nats.Option {
		option, err := nats.NkeyOptionFromSeed(file)
		if err != nil {
			t.Fatal(err)
		}
		return option
	}
	for _, tc := range []struct {
		name      string
		options   Options
		good, bad nats.Option
	}{
		{"password", Options{Users: map[string]string{"joe": "secret"}}, nats.UserInfo("joe", "secret"), nats.UserInfo("joe", "wrong")},
		{"token", Options{Token: "secret"}, nats.Token("secret"), nats.Token("wrong")},
		{"nkey", Options{NKeys: []string{public}}, nkey(seedFile), nkey(otherSeed)},
		{"credentials", Options{Operator: operator, JetStream: true}, nats.UserCredentials(operator.Creds(t, nil)), nats.UserCredentials(stranger.Creds(t, nil))},
		{"expired", Options{Operator: operator}, nats.UserCredentials(operator.Creds(t, nil)), nats.UserCredentials(operator.Creds(t, func(c *jwt.UserClaims) {
			c.Expires = time.Now().Add(-time.Minute).Unix()
		}))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			Each(t, func(t *testing.T, b Binary) {
				s := b.Start(t, tc.options)
				c, err := connect(t, s, tc.good)
				if err != nil {
					t.Fatal(err)
				}
				echoes(t, c, c)
				if tc.options.JetStream {
					js, err := c.JetStream(nats.MaxWait(patience))
					if err != nil {
						t.Fatal(err)
					}
					if _, err := js.CreateKeyValue(&nats.KeyValueConfig{Bucket: "b"}); err != nil {
						t.Error(err)
					}
				}
				if _, err := connect(t, s, tc.bad); err == nil {
					t.Error("a stranger came in")
				}
			})
		})
	}
}

func TestTLS(t *testing.T) {
	authority, stranger := NewAuthority(t), NewAuthority(t)
	certificate, key := authority.Leaf(t, "node")
	Each(t, func(t *testing.T, b Binary) {
		s := b.Start(t, Options{TLS: authority, VerifyTLS: true})
		if !strings.HasPrefix(s.URL(), "tls://") {
			t.Errorf("URL %s", s.URL())
		}
		c, err := connect(t, s, nats.RootCAs(authority.File), nats.ClientCert(certificate, key))
		if err != nil {
			t.Fatal(err)
		}
		echoes(t, c, c)
		if _, err := connect(t, s, nats.RootCAs(stranger.File), nats.ClientCert(certificate, key)); err == nil {
			t.Error("a server of another authority is trusted")
		}
		foreign, foreignKey := stranger.Leaf(t, "node")
		if _, err := connect(t, s, nats.RootCAs(authority.File), nats.ClientCert(foreign, foreignKey)); err == nil {
			t.Error("a certificate of another authority came in")
		}
	})
}

// TestConfig: what is asked for reaches the server.
func TestConfig(t *testing.T) {
	Each(t, func(t *testing.T, b Binary) {
		s := b.Start(t, Options{MaxPayload: 2048, Config: map[string]any{"max_connections": 7}, Name: "named"})
		var varz struct {
			Name        string `json:"server_name"`
			MaxPayload  int    `json:"max_payload"`
			Connections int    `json:"max_connections"`
		}
		if s.Monitor("/varz", &varz); varz.Name != "named" || varz.MaxPayload != 2048 || varz.Connections != 7 {
			t.Errorf("%+v", varz)
		}
		s.Signal(syscall.SIGTERM)
		<-s.run.done
		if err := s.ready(); err == nil {
			t.Error("a server that ended is ready")
		}
	})
}

// TestPortsAreKept: the ports of a server are nobody else's while it is away.
func TestPortsAreKept(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is no way to keep them")
	}
	s := Newest(t).Start(t, Options{})
	s.Kill()
	addr := netip.MustParseAddrPort(s.Addr())
	if release, err := reserve(addr); err == nil {
		release()
		t.Error("somebody else got it")
	}
	s.Restart()
	if release, err := reserve(addr); err == nil {
		release()
		t.Error("somebody else got it from a server that runs")
	}
}

// TestStranger: what somebody says reaches who overhears it.
func TestStranger(t *testing.T) {
	s := Newest(t).Start(t, Options{})
	x := s.Stranger()
	all := x.Overhear("a.*")
	s.Stranger().Say("a.b", []byte("one"), []byte("two"))
	for _, want := range []string{"one", "two"} {
		if subject, p := all.Next(); subject != "a.b" || string(p) != want {
			t.Errorf("%s: %q, want %q", subject, p, want)
		}
	}
	if p := x.Ask("nobody", nil, time.Millisecond); p != nil {
		t.Errorf("nobody answered %q", p)
	}
}

// TestWhere: a server is started and reached where it is told to be.
func TestWhere(t *testing.T) {
	var asked int
	s := Newest(t).Start(t, Options{Host: "127.0.0.7", Where: func(f func() error) error {
		asked++
		return f()
	}})
	if asked < 3 || s.Addr()[:10] != "127.0.0.7:" {
		t.Errorf("at %s, %d times in its place", s.Addr(), asked)
	}
}
