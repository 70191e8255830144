package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// ShardsMax bounds --bus-shards.
const ShardsMax = 4096

// Options are how a node joins the others.
type Options struct {
	URLs []string // of NATS servers, nats://, tls:// or ws://

	User, Password, Token string
	CredsFile             string // of a JWT and its NKey seed
	NKeyFile              string // of an NKey seed
	CAFile                string // PEM of who signs the servers' certificates
	CertFile, KeyFile     string // PEM of this node's own certificate

	Cluster   string // subjects begin with it: nodes of one name share their rooms
	Shards    int    // the same on all nodes
	Name      string // of this node, for people
	Advertise string // HOST:PORT at which viewers reach this node, "" = not said
	QueueMax  int    // bytes that wait for the bus

	HistoryBatches int           // a room's batches that JetStream keeps; 0 = it keeps none
	HistoryAge     time.Duration // for how long

	Log *slog.Logger
}

// Errors of Join that a restart with other settings mends.
var (
	// ErrRefused: the servers do not let this node in.
	ErrRefused = errors.New("the NATS server refuses this node")
	// ErrMismatch: the nodes that are there differ in what must be the same.
	ErrMismatch = errors.New("this node does not fit the others")
)

const (
	// A server that answers no ping within twice this is gone.
	pingEvery = 2 * time.Second
	// writeTimeout is how long the server may take in nothing. While it does not, the
	// library holds its lock, and sends no pings either.
	writeTimeout = 4 * time.Second
	// reconnectLeast and reconnectMost bound the wait between two attempts, which
	// doubles with each and is spread by chance.
	reconnectLeast = 100 * time.Millisecond
	reconnectMost  = 2 * time.Second
	connectTimeout = 2 * time.Second
)

// natsOptions are those of the connection, without what is to be called.
func (o *Options) natsOptions() ([]nats.Option, error) {
	list := []nats.Option{
		nats.Name("danmakud " + o.Name),
		nats.NoEcho(), // what a node says it knows
		nats.MaxReconnects(-1),
		nats.ReconnectBufSize(-1), // what waits waits in a queue of ours, and goes stale there
		nats.IgnoreAuthErrorAbort(),
		nats.PingInterval(pingEvery), nats.MaxPingsOutstanding(2),
		nats.FlusherTimeout(writeTimeout), nats.ReconnectOnFlusherError(),
		nats.Timeout(connectTimeout),
	}
	for _, f := range []struct{ flag, path string }{{"creds", o.CredsFile}, {"ca", o.CAFile}, {"cert", o.CertFile}, {"key", o.KeyFile}} {
		if f.path == "" {
			continue
		}
		if _, err := os.ReadFile(f.path); err != nil { // the library says it as if the server did
			return nil, fmt.Errorf("--nats-%s: %w", f.flag, err)
		}
	}
	if o.User != "" {
		list = append(list, nats.UserInfo(o.User, o.Password))
	}
	if o.Token != "" {
		list = append(list, nats.Token(o.Token))
	}
	if o.CredsFile != "" {
		list = append(list, nats.UserCredentials(o.CredsFile))
	}
	if o.NKeyFile != "" {
		key, err := nats.NkeyOptionFromSeed(o.NKeyFile)
		if err != nil {
			return nil, fmt.Errorf("--nats-nkey: %w", err)
		}
		list = append(list, key)
	}
	if o.CAFile != "" {
		list = append(list, nats.RootCAs(o.CAFile))
	}
	if o.CertFile != "" {
		list = append(list, nats.ClientCert(o.CertFile, o.KeyFile))
	}
	return list, nil
}

// unreachable reports whether an error of connecting is one that time may mend.
func unreachable(err error) bool {
	if errors.Is(err, nats.ErrTLS) { // a server that ends it there misses a certificate of ours
		return false
	}
	return errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) || isNetwork(err)
}

// redacted is an URL without the password that it may have.
func redacted(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "(no URL)"
	}
	return u.Redacted()
}

func (o *Options) servers() string { return strings.Join(o.URLs, ",") }
