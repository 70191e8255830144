package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// Packets is how the server speaks with clients of Bilibili and of goim.
type Packets struct {
	// PacketListen has addresses for clients that speak packets over plain TCP.
	PacketListen []string
	// PacketHeartbeat is how long a client of Bilibili may go without a heartbeat,
	// GoimHeartbeat how long one of goim may.
	PacketHeartbeat, GoimHeartbeat time.Duration
}

var tablePackets = []definition{
	{
		flag: "packet-listen", def: "",
		help:  "address for Bilibili and goim clients over plain TCP as `HOST:PORT` (repeatable); over WebSocket they use /sub of --listen",
		value: func(c *Config) pflag.Value { return newList(&c.PacketListen) },
		check: func(c *Config) error {
			for _, address := range c.PacketListen {
				if err := checkAddress(address, false); err != nil {
					return fmt.Errorf("--packet-listen %q: %w", address, err)
				}
				if !strings.HasSuffix(address, ":0") && (address == c.Control || slices.Contains(c.Listen, address)) {
					return fmt.Errorf("--packet-listen %q: is also the address of another listener", address)
				}
			}
			return nil
		},
	},
	{
		flag: "packet-heartbeat", def: "1m10s",
		help:   "time without a heartbeat after which a Bilibili client is closed; they send one every 30s",
		value:  func(c *Config) pflag.Value { return durationValue{&c.PacketHeartbeat} },
		check:  within("packet-heartbeat", func(c *Config) time.Duration { return c.PacketHeartbeat }, clockMin, clockMax),
		reload: true,
	},
	{
		flag: "goim-heartbeat", def: "8m0s",
		help:   "time without a heartbeat after which a goim client is closed; they send one at least every 4m",
		value:  func(c *Config) pflag.Value { return durationValue{&c.GoimHeartbeat} },
		check:  within("goim-heartbeat", func(c *Config) time.Duration { return c.GoimHeartbeat }, clockMin, clockMax),
		reload: true,
	},
}
