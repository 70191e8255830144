package config

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// What is valid and yet unwise. The texts are sentences without a subject: the
// setting's name stands before them.

// Advice is what speaks against a valid value.
type Advice struct{ Flag, Text string }

func (a Advice) String() string { return a.Flag + ": " + a.Text }

// Advice returns what is unwise in c, in the order of the table.
func (c *Config) Advice() []Advice {
	var list []Advice
	for _, d := range table {
		if d.advise == nil {
			continue
		}
		if text := d.advise(c); text != "" {
			list = append(list, Advice{d.flag, text})
		}
	}
	return list
}

func adviseControl(c *Config) string {
	host, _, err := net.SplitHostPort(c.Control)
	if err != nil || host == "localhost" {
		return ""
	}
	if address, err := netip.ParseAddr(host); err == nil && address.IsLoopback() {
		return ""
	}
	return fmt.Sprintf("%s can be reached from other hosts: metrics are open to them, and keys travel unencrypted; let only operators and probes through", c.Control)
}

func adviseOrigins(c *Config) string {
	if slices.Contains(c.Origins, "*") {
		return `"*" lets any page on the web connect its visitors, who then comment under their own addresses`
	}
	return ""
}

func adviseNetworks(value func(*Config) []string) func(*Config) string {
	return func(c *Config) string {
		for _, text := range value(c) {
			if network, err := parseNetwork(text); err == nil && network.Bits() == 0 {
				return text + " is everybody: any viewer can then claim any address"
			}
		}
		return ""
	}
}

func adviseCommentRate(c *Config) string {
	if c.CommentRate == 0 {
		return "0 lets one viewer fill a room, and no limit on floods is derived from it"
	}
	return ""
}

func adviseIdleTimeout(c *Config) string {
	switch {
	case c.IdleTimeout == 0:
		return "0: viewers who vanish are counted until something is sent to them"
	case c.IdleTimeout > time.Minute:
		return fmt.Sprintf("%v: many proxies and home routers cut off what is silent for a minute", c.IdleTimeout)
	}
	return ""
}

// sweepTime is how much later than it should a clock may be looked at.
const sweepTime = 3 * time.Second

func adviseUserTimeout(c *Config) string {
	if c.UserTimeout != 0 && c.UserTimeout < c.StallTimeout+sweepTime {
		return fmt.Sprintf("%v should be above --stall-timeout %v by %v: slow viewers are cut off before they can be told why", c.UserTimeout, c.StallTimeout, sweepTime)
	}
	return ""
}

func adviseWatchdog(c *Config) string {
	if c.Watchdog == 0 {
		return "0: nobody notices a loop that is stuck"
	}
	return ""
}
