package cluster

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/natstest"
	"github.com/nats-io/jwt/v2"
)

// join is Join with what all tests have in common, ended with the test.
func join(t *testing.T, o Options) (*Node, error) {
	t.Helper()
	o.Shards, o.Cluster, o.QueueMax, o.Log = 16, "t", 1<<20, slog.New(slog.DiscardHandler)
	n, err := Join(context.Background(), o)
	if err == nil {
		t.Cleanup(func() { n.finish(); n.link.close() })
	}
	return n, err
}

// TestJoinsWhereItMay: each way of saying who one is, on each version of the server,
// with and without TLS. Whoever is another is refused, and not as one for whom no server
// is there.
func TestJoinsWhereItMay(t *testing.T) {
	public, seed := natstest.NewNKey(t)
	_, otherSeed := natstest.NewNKey(t)
	operator, stranger := natstest.NewOperator(t), natstest.NewOperator(t)
	authority, otherAuthority := natstest.NewAuthority(t), natstest.NewAuthority(t)
	cert, key := authority.Leaf(t, "node")
	otherCert, otherKey := otherAuthority.Leaf(t, "node")
	expired := func(c *jwt.UserClaims) { c.Expires = time.Now().Add(-time.Hour).Unix() }
	ca := authority.File
	for _, tc := range []struct {
		name    string
		server  natstest.Options
		good    Options
		refused map[string]Options
	}{
		{"password", natstest.Options{Users: map[string]string{"joe": "secret"}}, Options{User: "joe", Password: "secret"}, map[string]Options{
			"a wrong password": {User: "joe", Password: "wrong"}, "another user": {User: "jim", Password: "secret"}, "nothing": {}}},
		{"token", natstest.Options{Token: "secret"}, Options{Token: "secret"}, map[string]Options{"a wrong token": {Token: "wrong"}, "nothing": {}}},
		{"nkey", natstest.Options{NKeys: []string{public}}, Options{NKeyFile: seed}, map[string]Options{"another key": {NKeyFile: otherSeed}, "nothing": {}}},
		{"credentials and TLS", natstest.Options{Operator: operator, TLS: authority}, Options{CredsFile: operator.Creds(t, nil), CAFile: ca}, map[string]Options{
			"another operator's": {CredsFile: stranger.Creds(t, nil), CAFile: ca}, "expired": {CredsFile: operator.Creds(t, expired), CAFile: ca}, "nothing": {CAFile: ca},
			"a server of another authority": {CredsFile: operator.Creds(t, nil), CAFile: otherAuthority.File}}},
		{"certificates", natstest.Options{TLS: authority, VerifyTLS: true}, Options{CAFile: ca, CertFile: cert, KeyFile: key}, map[string]Options{
			"a server of another authority": {CAFile: otherAuthority.File, CertFile: cert, KeyFile: key},
			"a certificate of another":      {CAFile: ca, CertFile: otherCert, KeyFile: otherKey}, "no certificate": {CAFile: ca}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			natstest.Each(t, func(t *testing.T, b natstest.Binary) {
				urls := []string{b.Start(t, tc.server).URL()}
				tc.good.URLs = urls
				n, err := join(t, tc.good)
				if err != nil {
					t.Fatalf("not let in: %v", err)
				}
				await(t, "the server is reached", n.Up)
				for who, o := range tc.refused {
					o.URLs = urls
					await(t, "an answer to who has "+who, func() bool { // a server that does not answer in time is one that is not there
						n, err := join(t, o)
						if err == nil && n.Up() {
							t.Errorf("with %s: let in", who)
							return true
						}
						if err != nil && !errors.Is(err, ErrRefused) {
							t.Errorf("with %s: %v", who, err)
						}
						return err != nil
					})
				}
			})
		})
	}
}

// Files that are not there are an error, too.
func TestJoinNeedsItsFiles(t *testing.T) {
	urls := []string{natstest.Newest(t).Start(t, natstest.Options{}).URL()}
	for _, o := range []Options{{NKeyFile: "none"}, {CredsFile: "none"}, {CAFile: "none"}, {CertFile: "none", KeyFile: "none"}} {
		o.URLs = urls
		if _, err := join(t, o); err == nil || errors.Is(err, ErrRefused) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// Servers that are not there at present are no reason not to start.
func TestJoinWithoutServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	n, err := join(t, Options{URLs: []string{"nats://" + l.Addr().String()}})
	if err != nil || n.Up() || n.Number() == 0 {
		t.Fatalf("%v", err)
	}
	if err := n.Tell("anything", nil); !errors.Is(err, ErrAlone) {
		t.Errorf("told whom? %v", err)
	}
}
