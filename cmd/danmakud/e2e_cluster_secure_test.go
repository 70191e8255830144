package main

import (
	"strings"
	"testing"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/natstest"
)

// refusal is a node that must not start.
type refusal struct {
	who   string
	flags []string
	want  string // in the line that says why
}

// refuses starts nodes that must not start, and checks that each ends and says why, in
// one line that has no secret.
func (b *bus) refuses(secret string, all ...refusal) {
	b.t.Helper()
	var nodes []*instance
	for _, r := range all {
		nodes = append(nodes, b.launch(here, "refused", r.flags...))
	}
	for i, r := range all {
		status := nodes[i].wait()
		said := nodes[i].stderr.String()
		lines := strings.Split(said, "\n")
		last := lines[len(lines)-1]
		if status != exitFailed || !strings.HasPrefix(last, "danmakud: ") || !strings.Contains(last, r.want) || strings.Contains(said, secret) {
			b.t.Errorf("%s: status %d, wanted %q:\n%s", r.who, status, r.want, said)
		}
		b.t.Logf("%s: %s", r.who, last)
	}
}

// Nodes with a credentials file, over TLS, share their rooms; whoever has another file,
// trusts another authority or differs in what must be the same does not start.
func TestClusterCredentialsAndTLS(t *testing.T) {
	t.Parallel()
	natstest.Each(t, func(t *testing.T, binary natstest.Binary) {
		operator, stranger := natstest.NewOperator(t), natstest.NewOperator(t)
		authority, otherAuthority := natstest.NewAuthority(t), natstest.NewAuthority(t)
		b := busOf(t, binary, natstest.Options{Operator: operator, TLS: authority, JetStream: true})
		// What docs/cluster.md says must be allowed, and no more.
		needed := operator.CredsFor(t, "danmakud.>", "_INBOX.>", "$JS.>", "$KV.danmakud-decided.>")
		ca, creds := "--nats-ca="+authority.File, "--nats-creds="+needed
		all := b.nodes(2, ca, creds)
		refused := []refusal{
			{"another operator's credentials", []string{ca, "--nats-creds=" + stranger.Creds(t, nil)}, "the NATS server refuses this node: nats: Authorization Violation"},
			{"credentials for other subjects", []string{ca, "--nats-creds=" + operator.CredsFor(t, "weather.>")}, `the NATS server refuses this node: nats: permissions violation: Permissions Violation for Subscription to "danmakud.all"`},
			{"another authority", []string{"--nats-ca=" + otherAuthority.File, creds}, "certificate signed by unknown authority"},
		}
		if binary == natstest.Newest(t) {
			refused = append(refused,
				refusal{"no credentials", []string{ca}, "the NATS server refuses this node: nats: Authorization Violation"},
				refusal{"credentials that may not be asked", []string{ca, "--nats-creds=" + operator.CredsFor(t, "danmakud.>")}, "Permissions Violation for Subscription to \"_INBOX."},
				refusal{"a file that is not there", []string{ca, "--nats-creds=none.creds"}, "--nats-creds: open none.creds: no such file or directory"},
				refusal{"no authority", []string{creds}, "certificate signed by unknown authority"},
				refusal{"other shards", []string{ca, creds, "--bus-shards=128"}, `this node does not fit the others: --bus-shards is 128, the others of cluster "danmakud" have 256`},
			)
		}
		b.refuses("SEED", refused...)
		viewers := []*viewer{all[0].join("r"), all[1].join("r")}
		for i, v := range viewers {
			v.send(say([]string{"one", "two"}[i], ""))
			for _, w := range viewers {
				w.hears([]string{"one", "two"}[i])
			}
		}
		if status, body := all[0].api("PUT", "/v1/words/w", `{"action":"reject","words":["blocked"]}`); status >= 300 {
			t.Errorf("%d %s", status, body)
		}
		await(t, "the words on the other node", func() bool {
			_, body := all[1].api("GET", "/v1/words", "")
			return strings.Contains(body, `"w"`)
		})
		for _, s := range all {
			s.awaitMetric("danmakud_cluster_nodes", 1) // who was refused was never there
			if _, err := s.stderr.record("bus: what is decided is kept in JetStream"); err != nil || strings.Contains(s.stderr.String(), "permissions") || s.metrics()[`danmakud_bus_dropped_total{reason="unkept"}`] != 0 {
				t.Errorf("%v:\n%s", err, s.stderr)
			}
		}
	})
}

// The same by name and password.
func TestClusterPassword(t *testing.T) {
	t.Parallel()
	b := startBus(t, natstest.Options{Users: map[string]string{"joe": "opensesame"}})
	b.node("a", "--nats-user=joe", "--nats-password=opensesame")
	b.refuses("sesame",
		refusal{"a wrong password", []string{"--nats-user=joe", "--nats-password=closesesame"}, "the NATS server refuses this node: nats: Authorization Violation"},
		refusal{"no password", nil, "the NATS server refuses this node: nats: Authorization Violation"},
		refusal{"other shards", []string{"--nats-user=joe", "--nats-password=opensesame", "--bus-shards=128"}, "--bus-shards is 128"},
	)
}
