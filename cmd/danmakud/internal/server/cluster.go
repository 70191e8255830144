package server

import (
	"context"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/cluster"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/poller"
)

// joinCluster makes s.nodes, which stays nil where the settings know of no others.
func (s *Server) joinCluster(ctx context.Context, c *config.Config) (err error) {
	if len(c.NATS) == 0 {
		return nil
	}
	s.nodes, err = cluster.Join(ctx, cluster.Options{
		URLs: c.NATS, User: c.NATSUser, Password: c.NATSPassword, Token: c.NATSToken,
		CredsFile: c.NATSCreds, NKeyFile: c.NATSNKey, CAFile: c.NATSCA, CertFile: c.NATSCert, KeyFile: c.NATSKey,
		Cluster: c.Cluster, Shards: c.BusShards, Name: c.NodeName(), Advertise: c.Advertise, QueueMax: c.BusQueue,
		Log: s.log,
	})
	if err == nil {
		// Guests are numbered apart from those of other nodes.
		s.nextUID.Store(uint64(s.nodes.Number()) << 40)
	}
	return err
}

// clusterStatus is what other nodes are told of this one.
func (s *Server) clusterStatus() cluster.Status {
	return cluster.Status{
		Connections: s.reactor.Connections(), Most: s.settings().MaxConnections,
		Behind: s.behind.refuses(s.now()), Draining: s.draining.Load(),
	}
}

// phase is what the clock that all nodes have in common is ahead of the loops', ns.
func phase() int64 { return time.Now().UnixNano() - poller.Now() }
