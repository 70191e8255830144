// Package config holds everything an operator can set on the server.
//
//	command line   ─┐
//	DANMAKUD_… env ─┤
//	credentials    ─┤
//	TOML file      ─┼─► one table of definitions ─► Config ─► Validate
//	defaults       ─┘    (name, default, help,
//	                      place in Config, check,
//	                      whether SIGHUP changes it)
//
// The table (table.go) is the only list of settings: a flag, its environment
// variable, its default, its help and its check come from one entry, and so do the
// example file, the page of the documentation and the listing with origins. Values
// reach a Config as text through one path, FlagSet.Set, and a setting that has
// been set is left alone by the sources after it (load.go). SIGHUP makes everything
// anew by the same path (reload.go).
package config

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// Config is what the server is run with. Bind fills it with defaults; after
// Validate it is only read, by any goroutine.
type Config struct {
	API
	Tokens
	Moderation
	Governor
	Replay
	Packets
	Nodes

	// File is the TOML file the other settings were read from; empty: none.
	File string

	// Listen has the public addresses: HOST:PORT, :PORT or unix:/path.
	Listen []string
	// Control is HOST:PORT of the control listener; empty means there is none.
	// The flag's "off" is stored as empty.
	Control string

	// Loops is the number of event loops; 0 means GOMAXPROCS.
	Loops int
	// MaxConnections bounds connections over all loops; 0 means what the limit
	// of open files allows.
	MaxConnections int
	// MaxConnectionsPerAddress bounds those of one viewer's address, IPv6 taken by
	// its /64; 0 means no limit.
	MaxConnectionsPerAddress int
	// ProxyProtocol has the networks (CIDR) from which every connection begins with
	// a PROXY protocol header; TrustedProxies those whose X-Forwarded-For counts.
	ProxyProtocol, TrustedProxies []string
	// MaxRooms bounds the rooms that exist at one time.
	MaxRooms int
	// AcceptRate is accepted connections a second; 0 means no limit.
	AcceptRate float64

	// RefuseBehind is the lag of a loop beyond which new connections are refused; 0
	// means never.
	RefuseBehind time.Duration

	// Tick is the least time between two batches of one room. Under overload
	// a room stretches it, to at most MaxTick.
	Tick, MaxTick time.Duration

	// CommentRate is comments a second of one connection, CommentBurst how many
	// it may send at once. A rate of 0 means no limit.
	CommentRate  float64
	CommentBurst int
	// FrameRate, ByteRate and PingRate are what one connection may send a second,
	// the bursts what at once, before it is closed as a flood; 0 means derived from
	// CommentRate. [Config.Flood] has the limits in force.
	FrameRate, ByteRate, PingRate    float64
	FrameBurst, ByteBurst, PingBurst int
	// MaxText is the longest comment in code points, MaxMessage the longest
	// inbound message in bytes.
	MaxText, MaxMessage int
	// PartialBytes bounds the memory for request heads and messages that have
	// begun and are not complete, over all connections.
	PartialBytes int
	// PendingComments and PendingBytes bound what one room collects in one tick.
	PendingComments, PendingBytes int

	// History is how many recent comments a viewer gets on joining; 0 means none.
	History int
	// Compression offers permessage-deflate to viewers. CompressionLevel is 1 to
	// 9; batches whose plain frame has fewer than CompressionMin bytes go plain.
	Compression                      bool
	CompressionLevel, CompressionMin int
	// Ring is how many batches a room keeps for viewers that lag.
	Ring int

	// Origins has the allowed Origin values besides the same host.
	Origins []string

	// HandshakeTimeout is the time from accept to a complete request head.
	HandshakeTimeout time.Duration
	// MessageTimeout is the time from the first byte of a message to its last.
	MessageTimeout time.Duration
	// IdleTimeout is the silence in both directions after which a ping is sent;
	// PongTimeout is how long the answer may take. IdleTimeout 0: no pings.
	IdleTimeout, PongTimeout time.Duration
	// StallTimeout is how long a viewer may take for one frame.
	StallTimeout time.Duration
	// UserTimeout is TCP_USER_TIMEOUT; 0 leaves the system's own. It also ends a
	// peer that is alive but takes nothing, so it should be above StallTimeout,
	// which tells the viewer why.
	UserTimeout time.Duration

	// NoDelay sets TCP_NODELAY; the three sizes are in bytes, 0 leaves the
	// system's default.
	NoDelay                                 bool
	NotSentLowat, SendBuffer, ReceiveBuffer int

	// ReusePort sets SO_REUSEPORT on the listeners, so that a new process can
	// bind the same ports before the old one is gone.
	ReusePort bool
	// DrainGrace is the time from SIGTERM, when /readyz fails, to the closing of
	// the listeners; DrainTime is how long the viewers' goodbye is spread after it.
	DrainGrace, DrainTime time.Duration
	// Watchdog is how long one turn of a loop may last before the loop counts as
	// stuck; 0: nobody looks.
	Watchdog time.Duration
	// HTTPConnections bounds connections handed to net/http at one time.
	HTTPConnections int

	// LogLevel is debug, info, warn or error; LogFormat auto, text or json.
	LogLevel, LogFormat string

	// origins says where the settings came from that are not at their defaults. Never
	// changed in place, since copies of a Config share it.
	origins map[string]Origin
}

// envPrefix begins every environment variable of the server.
const envPrefix = "DANMAKUD_"

// Env returns the environment variable of a flag: max-rooms is
// DANMAKUD_MAX_ROOMS.
func Env(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Default returns the configuration of a server that was told nothing.
func Default() Config {
	var c Config
	for _, d := range table {
		if err := d.value(&c).Set(d.def); err != nil {
			panic(fmt.Sprintf("config: default of --%s: %v", d.flag, err))
		}
	}
	return c
}

// Bind fills c with the defaults and adds one flag to fs for every setting.
// Parsing fs then writes into c, which must outlive fs; secrets are written by
// Load.
func (c *Config) Bind(fs *pflag.FlagSet) {
	*c = Default()
	for _, d := range table {
		v := d.value(c)
		if d.secret {
			v = &secretText{kind: v.Type()}
		}
		f := fs.VarPF(v, d.flag, "", d.help)
		if _, ok := v.(boolValue); ok {
			f.NoOptDefVal = "true"
		}
	}
	fs.SortFlags = false // the table's order keeps related settings together
}

// UnknownEnv returns the names in environ (NAME=value, as of os.Environ) that
// look like settings of the server and are none, sorted: most likely typing
// errors. Names that Kubernetes gives to every container beside a service
// called danmakud are left out.
func UnknownEnv(environ []string) []string {
	known := make(map[string]bool, len(table))
	for _, d := range table {
		known[Env(d.flag)] = true
	}
	var unknown []string
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		rest, ours := strings.CutPrefix(name, envPrefix)
		if !ours || known[name] || rest == "PORT" ||
			strings.HasPrefix(rest, "PORT_") || strings.HasPrefix(rest, "SERVICE_") {
			continue
		}
		unknown = append(unknown, name)
	}
	sort.Strings(unknown)
	return unknown
}
