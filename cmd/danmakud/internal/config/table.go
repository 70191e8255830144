package config

import (
	"time"

	"github.com/spf13/pflag"
)

// definition is one setting: everything that is known about it, in one place.
type definition struct {
	flag  string // name on the command line; Env gives the variable's
	def   string // default, as it would be typed
	help  string // one sentence; `backquotes` name the value in help
	value func(c *Config) pflag.Value
	check func(c *Config) error // nil: every value that parses is fine

	// reload: SIGHUP takes a new value over. Otherwise it needs a restart, because
	// sockets, loops or rooms were made with it.
	reload bool

	// opens: it names a file or directory that SIGHUP opens again, also where no file
	// has settings.
	opens bool

	// secret: the value is nowhere shown, and file:PATH stands for what is in a file.
	// The check must not quote it.
	secret bool

	// private: the value is the path of a file that has secrets, which others should
	// not be able to read.
	private bool

	// advise says in a sentence why a valid value is unwise, "" if it is not; nil:
	// no value is.
	advise func(c *Config) string
}

// The bounds that a check compares against, and why they are what they are.
const (
	loopsMax       = 256     // a Handle has 8 bits for the loop
	connectionsMax = 1 << 24 // a Handle has 24 bits for the slot
	tickMin        = 10 * time.Millisecond
	tickMax        = 5 * time.Second
	clockMin       = time.Second            // all connection clocks are swept once a second
	behindMin      = 100 * time.Millisecond // turns of a busy loop may take tens of milliseconds
	clockMax       = 24 * time.Hour
	watchdogMin    = 3 * time.Second // a loop that sleeps turns once a second
	textMax        = 10_000          // code points: beyond this it is no comment
	messageMin     = 256             // a comment's field names and a short text
	messageMax     = 1 << 20
	partialMin     = 1 << 20 // some viewers' half frames must find a place
	floodMax       = 1 << 24 // tokens are counted exactly up to here
	ringMax        = 1024
	historyMax     = 1000
	bufferMin      = 4 << 10 // below this the kernel rounds up on its own
	bufferMax      = 64 << 20
)

// fileFlag is the one setting that a file cannot have.
const fileFlag = "config"

// section is a subject of the settings.
type section struct {
	title       string
	definitions []definition
}

// sections has every setting, in the order in which help, the example file and
// docs/configuration.md show them.
var sections = []section{
	{"Listeners and connections", tableConnections},
	{"Rooms and comments", tableRooms},
	{"Compression", tableCompression},
	{"Clocks of a connection", tableClocks},
	{"Sockets", tableSockets},
	{"Process and log", tableProcess},
	{"Control API", tableAPI},
	{"Tokens", tableTokens},
	{"Moderation", tableModeration},
	{"Governor", tableGovernor},
	{"History, resume and archive", tableReplay},
	{"Packets of Bilibili and goim", tablePackets},
	{"Other nodes", tableCluster},
}

// table is all of them in a row.
var table = allDefinitions()

func allDefinitions() []definition {
	var all []definition
	for _, s := range sections {
		all = append(all, s.definitions...)
	}
	return all
}

var tableConnections = []definition{
	{
		flag: fileFlag, def: "",
		help:  "TOML `FILE` with any of these settings by the names of their flags; SIGHUP reads it again",
		value: func(c *Config) pflag.Value { return textValue{&c.File} },
	},
	{
		flag: "listen", def: ":8080",
		help:  "public address as `HOST:PORT`, :PORT or unix:/path (repeatable, or separated by commas)",
		value: func(c *Config) pflag.Value { return newList(&c.Listen) },
		check: checkListen,
	},
	{
		flag: "control", def: "127.0.0.1:8081",
		help:   "address of the control listener (metrics, API, pprof) as `HOST:PORT`; \"off\" for none",
		value:  func(c *Config) pflag.Value { return offValue{&c.Control} },
		check:  checkControl,
		advise: adviseControl,
	},
	{
		flag: "origin", def: "",
		help:   "allowed Origin of a browser besides the same host: https://a.example, *.a.example or * (repeatable)",
		value:  func(c *Config) pflag.Value { return newList(&c.Origins) },
		check:  checkOrigins,
		reload: true,
		advise: adviseOrigins,
	},
	{
		flag: "loops", def: "0",
		help:  "event loops; 0 = one for each CPU",
		value: func(c *Config) pflag.Value { return countValue{&c.Loops} },
		check: within("loops", func(c *Config) int { return c.Loops }, 0, loopsMax),
	},
	{
		flag: "max-connections", def: "0",
		help:   "connections at one time; 0 = what the limit of open files allows",
		value:  func(c *Config) pflag.Value { return countValue{&c.MaxConnections} },
		check:  within("max-connections", func(c *Config) int { return c.MaxConnections }, 0, connectionsMax),
		reload: true,
	},
	{
		flag: "max-connections-per-address", def: "0",
		help:   "connections of one address at one time, IPv6 counted by /64; 0 = no limit",
		value:  func(c *Config) pflag.Value { return countValue{&c.MaxConnectionsPerAddress} },
		check:  within("max-connections-per-address", func(c *Config) int { return c.MaxConnectionsPerAddress }, 0, connectionsMax),
		reload: true,
	},
	{
		flag: "proxy-protocol", def: "",
		help:   "`NETWORK` of proxies whose connections begin with a PROXY protocol header, version 1 or 2 (repeatable)",
		value:  func(c *Config) pflag.Value { return newList(&c.ProxyProtocol) },
		check:  checkNetworks("proxy-protocol", func(c *Config) []string { return c.ProxyProtocol }),
		reload: true,
		advise: adviseNetworks(func(c *Config) []string { return c.ProxyProtocol }),
	},
	{
		flag: "trusted-proxy", def: "",
		help:   "`NETWORK` of proxies whose X-Forwarded-For is believed (repeatable)",
		value:  func(c *Config) pflag.Value { return newList(&c.TrustedProxies) },
		check:  checkNetworks("trusted-proxy", func(c *Config) []string { return c.TrustedProxies }),
		reload: true,
		advise: adviseNetworks(func(c *Config) []string { return c.TrustedProxies }),
	},
	{
		flag: "max-rooms", def: "100000",
		help:   "rooms at one time",
		value:  func(c *Config) pflag.Value { return countValue{&c.MaxRooms} },
		check:  within("max-rooms", func(c *Config) int { return c.MaxRooms }, 1, 1<<24),
		reload: true,
	},
	{
		flag: "accept-rate", def: "0",
		help:   "accepted connections a second; 0 = no limit",
		value:  func(c *Config) pflag.Value { return rateValue{&c.AcceptRate} },
		check:  checkRate("accept-rate", func(c *Config) float64 { return c.AcceptRate }),
		reload: true,
	},
	{
		flag: "refuse-behind", def: "5s",
		help:   "new connections are refused while a loop lags further than this; 0 = never",
		value:  func(c *Config) pflag.Value { return durationValue{&c.RefuseBehind} },
		check:  withinOrZero("refuse-behind", func(c *Config) time.Duration { return c.RefuseBehind }, behindMin, clockMax),
		reload: true,
	},
}

var tableRooms = []definition{
	{
		flag: "tick", def: "100ms",
		help:   "least time between two batches of one room, 10ms to 5s",
		value:  func(c *Config) pflag.Value { return durationValue{&c.Tick} },
		check:  within("tick", func(c *Config) time.Duration { return c.Tick }, tickMin, tickMax),
		reload: true,
	},
	{
		flag: "max-tick", def: "1s",
		help:   "longest a room's tick may stretch under overload",
		value:  func(c *Config) pflag.Value { return durationValue{&c.MaxTick} },
		check:  checkMaxTick,
		reload: true,
	},
	{
		flag: "comment-rate", def: "3",
		help:   "comments a second of one connection; 0 = no limit",
		value:  func(c *Config) pflag.Value { return rateValue{&c.CommentRate} },
		check:  checkRate("comment-rate", func(c *Config) float64 { return c.CommentRate }),
		reload: true,
		advise: adviseCommentRate,
	},
	{
		flag: "comment-burst", def: "10",
		help:   "comments one connection may send at once",
		value:  func(c *Config) pflag.Value { return countValue{&c.CommentBurst} },
		check:  within("comment-burst", func(c *Config) int { return c.CommentBurst }, 1, 1_000_000),
		reload: true,
	},
	{
		flag: "frame-rate", def: "0",
		help:   "frames a second from one connection, beyond which it is closed; 0 = 20 + 10 x comment-rate, or no limit when that is 0",
		value:  func(c *Config) pflag.Value { return rateValue{&c.FrameRate} },
		check:  within("frame-rate", func(c *Config) float64 { return c.FrameRate }, 0, floodMax),
		reload: true,
	},
	{
		flag: "frame-burst", def: "0",
		help:   "frames one connection may send at once; 0 = four seconds, at least 200",
		value:  func(c *Config) pflag.Value { return countValue{&c.FrameBurst} },
		check:  within("frame-burst", func(c *Config) int { return c.FrameBurst }, 0, floodMax),
		reload: true,
	},
	{
		flag: "byte-rate", def: "0",
		help:   "bytes a second from one connection, beyond which it is closed (compressed ones count 16-fold); 0 = 1024 x the frame rate",
		value:  func(c *Config) pflag.Value { return rateValue{&c.ByteRate} },
		check:  within("byte-rate", func(c *Config) float64 { return c.ByteRate }, 0, floodMax),
		reload: true,
	},
	{
		flag: "byte-burst", def: "0",
		help:   "bytes one connection may send at once; 0 = four seconds, at least 256 KiB and four of the longest messages",
		value:  func(c *Config) pflag.Value { return bytesValue{&c.ByteBurst} },
		check:  checkByteBurst,
		reload: true,
	},
	{
		flag: "ping-rate", def: "0",
		help:   "ping frames a second from one connection, beyond which it is closed; 0 = a fifth of the frame rate",
		value:  func(c *Config) pflag.Value { return rateValue{&c.PingRate} },
		check:  within("ping-rate", func(c *Config) float64 { return c.PingRate }, 0, floodMax),
		reload: true,
	},
	{
		flag: "ping-burst", def: "0",
		help:   "ping frames one connection may send at once; 0 = four seconds, at least 100",
		value:  func(c *Config) pflag.Value { return countValue{&c.PingBurst} },
		check:  within("ping-burst", func(c *Config) int { return c.PingBurst }, 0, floodMax),
		reload: true,
	},
	{
		flag: "max-text", def: "200",
		help:   "longest comment in code points",
		value:  func(c *Config) pflag.Value { return countValue{&c.MaxText} },
		check:  within("max-text", func(c *Config) int { return c.MaxText }, 1, textMax),
		reload: true,
	},
	{
		flag: "max-message", def: "4KiB",
		help:   "longest inbound message",
		value:  func(c *Config) pflag.Value { return bytesValue{&c.MaxMessage} },
		check:  checkMaxMessage,
		reload: true,
	},
	{
		flag: "partial-bytes", def: "32MiB",
		help:   "memory for unfinished request heads and messages of all connections together",
		value:  func(c *Config) pflag.Value { return bytesValue{&c.PartialBytes} },
		check:  within("partial-bytes", func(c *Config) int { return c.PartialBytes }, partialMin, 1<<30),
		reload: true,
	},
	{
		flag: "pending-comments", def: "20000",
		help:   "comments one room collects in one tick",
		value:  func(c *Config) pflag.Value { return countValue{&c.PendingComments} },
		check:  within("pending-comments", func(c *Config) int { return c.PendingComments }, 1, 10_000_000),
		reload: true,
	},
	{
		flag: "pending-bytes", def: "2MiB",
		help:   "encoded comments one room collects in one tick",
		value:  func(c *Config) pflag.Value { return bytesValue{&c.PendingBytes} },
		check:  checkPendingBytes,
		reload: true,
	},
	{
		flag: "history", def: "20",
		help:   "recent comments a viewer gets on joining; 0 = none",
		value:  func(c *Config) pflag.Value { return countValue{&c.History} },
		check:  within("history", func(c *Config) int { return c.History }, 0, historyMax),
		reload: true,
	},
	{
		flag: "ring", def: "16",
		help:  "batches a room keeps for viewers that lag",
		value: func(c *Config) pflag.Value { return countValue{&c.Ring} },
		check: within("ring", func(c *Config) int { return c.Ring }, 1, ringMax),
	},
}

var tableCompression = []definition{
	{
		flag: "compression", def: "true",
		help:   "permessage-deflate for viewers that offer it: each batch is compressed once for all of them",
		value:  func(c *Config) pflag.Value { return boolValue{&c.Compression} },
		reload: true,
	},
	{
		flag: "compression-level", def: "6",
		help:   "1 (fastest) to 9 (smallest)",
		value:  func(c *Config) pflag.Value { return countValue{&c.CompressionLevel} },
		check:  within("compression-level", func(c *Config) int { return c.CompressionLevel }, 1, 9),
		reload: true,
	},
	{
		flag: "compression-min", def: "1024",
		help:   "smallest frame of a batch that is compressed",
		value:  func(c *Config) pflag.Value { return bytesValue{&c.CompressionMin} },
		check:  within("compression-min", func(c *Config) int { return c.CompressionMin }, 1, 1<<30),
		reload: true,
	},
}

var tableClocks = []definition{
	{
		flag: "handshake-timeout", def: "10s",
		help:   "time for a connection to send its whole request head",
		value:  func(c *Config) pflag.Value { return durationValue{&c.HandshakeTimeout} },
		check:  within("handshake-timeout", func(c *Config) time.Duration { return c.HandshakeTimeout }, clockMin, clockMax),
		reload: true,
	},
	{
		flag: "message-timeout", def: "30s",
		help:   "time for a viewer to finish a message it has begun",
		value:  func(c *Config) pflag.Value { return durationValue{&c.MessageTimeout} },
		check:  within("message-timeout", func(c *Config) time.Duration { return c.MessageTimeout }, clockMin, clockMax),
		reload: true,
	},
	{
		flag: "idle-timeout", def: "30s",
		help:   "silence in both directions after which a viewer is pinged; 0 = never",
		value:  func(c *Config) pflag.Value { return durationValue{&c.IdleTimeout} },
		check:  withinOrZero("idle-timeout", func(c *Config) time.Duration { return c.IdleTimeout }, clockMin, clockMax),
		reload: true,
		advise: adviseIdleTimeout,
	},
	{
		flag: "pong-timeout", def: "30s",
		help:   "time for the answer to a ping",
		value:  func(c *Config) pflag.Value { return durationValue{&c.PongTimeout} },
		check:  within("pong-timeout", func(c *Config) time.Duration { return c.PongTimeout }, clockMin, clockMax),
		reload: true,
	},
	{
		flag: "stall-timeout", def: "35s",
		help:   "time a viewer may take for one frame before it is closed as too slow",
		value:  func(c *Config) pflag.Value { return durationValue{&c.StallTimeout} },
		check:  within("stall-timeout", func(c *Config) time.Duration { return c.StallTimeout }, clockMin, clockMax),
		reload: true,
	},
	{
		flag: "user-timeout", def: "40s",
		help:   "TCP_USER_TIMEOUT, after which a peer that acknowledges or takes nothing is cut off; should be above --stall-timeout; 0 = the system's own",
		value:  func(c *Config) pflag.Value { return durationValue{&c.UserTimeout} },
		check:  withinOrZero("user-timeout", func(c *Config) time.Duration { return c.UserTimeout }, clockMin, clockMax),
		advise: adviseUserTimeout,
	},
}

var tableSockets = []definition{
	{
		flag: "tcp-nodelay", def: "true",
		help:  "TCP_NODELAY on viewers' sockets",
		value: func(c *Config) pflag.Value { return boolValue{&c.NoDelay} },
	},
	{
		flag: "tcp-notsent-lowat", def: "128KiB",
		help:  "TCP_NOTSENT_LOWAT: unsent data the kernel takes for one viewer; 0 = the system's own",
		value: func(c *Config) pflag.Value { return bytesValue{&c.NotSentLowat} },
		check: withinOrZero("tcp-notsent-lowat", func(c *Config) int { return c.NotSentLowat }, 1, bufferMax),
	},
	{
		flag: "tcp-send-buffer", def: "0",
		help:  "SO_SNDBUF of viewers' sockets; 0 = tuned by the system",
		value: func(c *Config) pflag.Value { return bytesValue{&c.SendBuffer} },
		check: withinOrZero("tcp-send-buffer", func(c *Config) int { return c.SendBuffer }, bufferMin, bufferMax),
	},
	{
		flag: "tcp-receive-buffer", def: "0",
		help:  "SO_RCVBUF of viewers' sockets; 0 = tuned by the system",
		value: func(c *Config) pflag.Value { return bytesValue{&c.ReceiveBuffer} },
		check: withinOrZero("tcp-receive-buffer", func(c *Config) int { return c.ReceiveBuffer }, bufferMin, bufferMax),
	},
}

var tableProcess = []definition{
	{
		flag: "reuse-port", def: "false",
		help:  "SO_REUSEPORT: a new process can take the ports while the old one drains",
		value: func(c *Config) pflag.Value { return boolValue{&c.ReusePort} },
	},
	{
		flag: "drain-grace", def: "0s",
		help:   "time after SIGTERM in which /readyz fails and viewers are still taken, for load balancers to notice",
		value:  func(c *Config) pflag.Value { return durationValue{&c.DrainGrace} },
		check:  within("drain-grace", func(c *Config) time.Duration { return c.DrainGrace }, 0, time.Hour),
		reload: true,
	},
	{
		flag: "drain-time", def: "10s",
		help:   "time over which viewers are sent away after SIGTERM",
		value:  func(c *Config) pflag.Value { return durationValue{&c.DrainTime} },
		check:  within("drain-time", func(c *Config) time.Duration { return c.DrainTime }, 0, time.Hour),
		reload: true,
	},
	{
		flag: "http-connections", def: "256",
		help:   "plain HTTP connections on the public port at one time",
		value:  func(c *Config) pflag.Value { return countValue{&c.HTTPConnections} },
		check:  within("http-connections", func(c *Config) int { return c.HTTPConnections }, 1, 1<<20),
		reload: true,
	},
	{
		flag: "watchdog", def: "10s",
		help:   "time after which a loop that does not turn counts as stuck; 0 = never",
		value:  func(c *Config) pflag.Value { return durationValue{&c.Watchdog} },
		check:  withinOrZero("watchdog", func(c *Config) time.Duration { return c.Watchdog }, watchdogMin, clockMax),
		reload: true,
		advise: adviseWatchdog,
	},
	{
		flag: "log-level", def: "info",
		help:   "debug, info, warn or error",
		value:  func(c *Config) pflag.Value { return textValue{&c.LogLevel} },
		check:  oneOf("log-level", func(c *Config) string { return c.LogLevel }, "debug", "info", "warn", "error"),
		reload: true,
	},
	{
		flag: "log-format", def: "auto",
		help:  "auto, text or json; auto = text on a terminal, json otherwise",
		value: func(c *Config) pflag.Value { return textValue{&c.LogFormat} },
		check: oneOf("log-format", func(c *Config) string { return c.LogFormat }, "auto", "text", "json"),
	},
}
