package config

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"time"

	"github.com/spf13/pflag"
)

// Nodes is how the node joins others.
type Nodes struct {
	// NATS has the URLs of the servers that nodes meet at; empty: the node is by itself.
	NATS []string
	// How the servers are told who this is: at most one of a user, a token,
	// credentials and an NKey.
	NATSUser, NATSPassword, NATSToken string
	NATSCreds, NATSNKey               string
	// NATSCA signs the servers' certificates, NATSCert and NATSKey are this node's.
	NATSCA, NATSCert, NATSKey string

	// Cluster begins the subjects: nodes of one name share their rooms.
	Cluster string
	// BusShards is how many subjects rooms are divided among, the same on all nodes.
	BusShards int
	// BusQueue bounds what waits for the bus, in bytes.
	BusQueue int
	// BusHistory is how many batches of a room JetStream keeps; 0 = it keeps none.
	// BusHistoryAge is for how long.
	BusHistory    int
	BusHistoryAge time.Duration
	// Node names this node to people, see NodeName.
	Node string
	// Advertise is HOST:PORT at which viewers reach this node; empty: others send
	// nobody here.
	Advertise string
}

const (
	busShardsMax     = 4096
	busHistoryMax    = 10_000
	busHistoryAgeMin = time.Second
	busHistoryAgeMax = 365 * 24 * time.Hour
)

var tableCluster = []definition{
	{
		flag: "nats-url", def: "",
		help:  "`URL` of a NATS server at which nodes meet that share their rooms (repeatable); none = a node by itself",
		value: func(c *Config) pflag.Value { return newList(&c.NATS) },
		check: checkNATS,
	},
	{
		flag: "nats-user", def: "",
		help:  "`NAME` to tell the NATS servers",
		value: func(c *Config) pflag.Value { return textValue{&c.NATSUser} },
		check: checkNATSLogin,
	},
	{
		flag: "nats-password", def: "",
		help:  "`PASSWORD` of --nats-user",
		value: func(c *Config) pflag.Value { return textValue{&c.NATSPassword} }, secret: true,
	},
	{
		flag: "nats-token", def: "",
		help:  "`TOKEN` to tell the NATS servers",
		value: func(c *Config) pflag.Value { return textValue{&c.NATSToken} }, secret: true,
	},
	{
		flag: "nats-creds", def: "",
		help:  "`FILE` with a JWT and its seed to tell the NATS servers",
		value: func(c *Config) pflag.Value { return textValue{&c.NATSCreds} }, private: true,
	},
	{
		flag: "nats-nkey", def: "",
		help:  "`FILE` with the seed of an NKey to tell the NATS servers",
		value: func(c *Config) pflag.Value { return textValue{&c.NATSNKey} }, private: true,
	},
	{
		flag: "nats-ca", def: "",
		help:  "PEM `FILE` of who signs the NATS servers' certificates; empty = whom the system trusts",
		value: func(c *Config) pflag.Value { return textValue{&c.NATSCA} },
	},
	{
		flag: "nats-cert", def: "",
		help:  "PEM `FILE` with a certificate to show the NATS servers",
		value: func(c *Config) pflag.Value { return textValue{&c.NATSCert} },
		check: func(c *Config) error {
			if (c.NATSCert == "") != (c.NATSKey == "") {
				return errors.New("--nats-cert: goes with --nats-key")
			}
			return nil
		},
	},
	{
		flag: "nats-key", def: "",
		help:  "PEM `FILE` with the key of --nats-cert",
		value: func(c *Config) pflag.Value { return textValue{&c.NATSKey} }, private: true,
	},
	{
		flag: "cluster", def: "danmakud",
		help:  "`NAME` of the cluster, which begins all subjects on the NATS servers",
		value: func(c *Config) pflag.Value { return textValue{&c.Cluster} },
		check: func(c *Config) error {
			if !clusterName.MatchString(c.Cluster) {
				return errors.New("--cluster: want 1 to 32 of a-z A-Z 0-9 _ -")
			}
			return nil
		},
	},
	{
		flag: "bus-shards", def: "256",
		help:  "subjects that rooms are divided among; the same on all nodes",
		value: func(c *Config) pflag.Value { return countValue{&c.BusShards} },
		check: within("bus-shards", func(c *Config) int { return c.BusShards }, 1, busShardsMax),
	},
	{
		flag: "bus-queue", def: "16777216",
		help:  "bytes that may wait for the bus; beyond it the oldest chat is dropped first",
		value: func(c *Config) pflag.Value { return bytesValue{&c.BusQueue} },
		check: within("bus-queue", func(c *Config) int { return c.BusQueue }, 1<<20, 1<<30),
	},
	{
		flag: "bus-history", def: "0",
		help:  "batches of each room that JetStream keeps, for rooms that no node has; 0 = it keeps none",
		value: func(c *Config) pflag.Value { return countValue{&c.BusHistory} },
		check: within("bus-history", func(c *Config) int { return c.BusHistory }, 0, busHistoryMax),
	},
	{
		flag: "bus-history-age", def: "24h",
		help:  "for how long JetStream keeps them",
		value: func(c *Config) pflag.Value { return durationValue{&c.BusHistoryAge} },
		check: within("bus-history-age", func(c *Config) time.Duration { return c.BusHistoryAge }, busHistoryAgeMin, busHistoryAgeMax),
	},
	{
		flag: "node", def: "",
		help:  "`NAME` of this node among the others; empty = the host's name",
		value: func(c *Config) pflag.Value { return textValue{&c.Node} },
	},
	{
		flag: "advertise", def: "",
		help:  "address at which viewers reach this node, as `HOST:PORT`; nodes that drain send theirs there",
		value: func(c *Config) pflag.Value { return textValue{&c.Advertise} },
		check: func(c *Config) error {
			if c.Advertise == "" {
				return nil
			}
			if host, port, err := net.SplitHostPort(c.Advertise); err != nil || host == "" || port == "" || !hostPort.MatchString(c.Advertise) {
				return fmt.Errorf("--advertise %q: want HOST:PORT", c.Advertise)
			}
			return nil
		},
	},
}

// hostPort has the characters that an address may have, since it is told to viewers.
var hostPort = regexp.MustCompile(`^[A-Za-z0-9.:_\[\]-]{1,260}$`)

var clusterName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

// NodeName is Node, or the host's name where that is empty.
func (c *Nodes) NodeName() string {
	host, _ := os.Hostname()
	return cmp.Or(c.Node, host, "node")
}

// checkNATS never quotes an URL: it may have a password.
func checkNATS(c *Config) error {
	for i, text := range c.NATS {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" {
			return fmt.Errorf("--nats-url: number %d is no URL such as nats://host:4222", i+1)
		}
		if u.User != nil {
			return fmt.Errorf("--nats-url: number %d has a user or password, which belong into --nats-user and --nats-password", i+1)
		}
		switch u.Scheme {
		case "nats", "tls", "ws", "wss":
		default:
			return fmt.Errorf("--nats-url: number %d begins with %s://, want nats, tls, ws or wss", i+1, u.Scheme)
		}
	}
	return nil
}

func checkNATSLogin(c *Config) error {
	ways := 0
	for _, way := range []string{c.NATSUser, c.NATSToken, c.NATSCreds, c.NATSNKey} {
		if way != "" {
			ways++
		}
	}
	if ways > 1 {
		return errors.New("--nats-user, --nats-token, --nats-creds and --nats-nkey: want one of them at most")
	}
	if c.NATSPassword != "" && c.NATSUser == "" {
		return errors.New("--nats-password: goes with --nats-user")
	}
	return nil
}
