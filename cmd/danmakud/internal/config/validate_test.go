package config

import (
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	long := "unix:/" + strings.Repeat("a", 103)
	for _, tc := range []struct {
		name   string
		change func(c *Config)
		want   string // part of the error; empty: valid
	}{
		{"port zero twice", func(c *Config) { c.Listen = []string{"127.0.0.1:0", "127.0.0.1:0"} }, ""},
		{"unix socket", func(c *Config) { c.Listen = []string{"unix:/run/danmakud.sock"} }, ""},
		{"no listener", func(c *Config) { c.Listen = nil }, "--listen"},
		{"listener twice", func(c *Config) { c.Listen = []string{":80", ":80"} }, "given twice"},
		{"no port", func(c *Config) { c.Listen = []string{"localhost"} }, `--listen "localhost": want HOST:PORT`},
		{"bare IPv6", func(c *Config) { c.Listen = []string{"::1:80"} }, "in brackets"},
		{"port too high", func(c *Config) { c.Listen = []string{":65536"} }, `port "65536"`},
		{"port below zero", func(c *Config) { c.Listen = []string{":-1"} }, `port "-1"`},
		{"port by name", func(c *Config) { c.Listen = []string{":http"} }, `port "http"`},
		{"unix without path", func(c *Config) { c.Listen = []string{"unix:"} }, "want unix:/path"},
		{"unix path too long", func(c *Config) { c.Listen = []string{long} }, "103 bytes"},
		{"control on unix", func(c *Config) { c.Control = "unix:/x" }, "--control"},
		{"control is public", func(c *Config) { c.Control = ":8080" }, "also a public address"},
		{"control on port zero", func(c *Config) { c.Control, c.Listen = "127.0.0.1:0", []string{"127.0.0.1:0"} }, ""},
		{"loops below zero", func(c *Config) { c.Loops = -1 }, "--loops -1"},
		{"loops most", func(c *Config) { c.Loops = 256 }, ""},
		{"loops too many", func(c *Config) { c.Loops = 257 }, "--loops 257: want 0 to 256"},
		{"connections", func(c *Config) { c.MaxConnections = 1<<24 + 1 }, "--max-connections"},
		{"connections of an address", func(c *Config) { c.MaxConnectionsPerAddress = -1 }, "--max-connections-per-address"},
		{"networks", func(c *Config) { c.ProxyProtocol = []string{"0.0.0.0/0", "::/0", "10.1.2.3", "fd00::1"} }, ""},
		{"network without a mask", func(c *Config) { c.ProxyProtocol = []string{"10.0.0.0/"} }, `--proxy-protocol "10.0.0.0/": want a network`},
		{"network by name", func(c *Config) { c.TrustedProxies = []string{"localhost"} }, `--trusted-proxy "localhost"`},
		{"network mask", func(c *Config) { c.TrustedProxies = []string{"10.0.0.0/33"} }, "--trusted-proxy"},
		{"network with host bits", func(c *Config) { c.TrustedProxies = []string{"10.0.0.1/8"} }, "did you mean 10.0.0.0/8?"},
		{"network with a zone", func(c *Config) { c.TrustedProxies = []string{"fe80::1%eth0"} }, "--trusted-proxy"},
		{"IPv4 network in IPv6", func(c *Config) { c.TrustedProxies = []string{"::ffff:10.0.0.0/104"} }, "as IPv4"},
		{"budget of less than two comments", func(c *Config) { c.BudgetBytes = 2111 }, "--budget-bytes 2111: want 2112"},
		{"budget of nothing", func(c *Config) { c.BudgetBytes, c.MaxText = 1023, 1 }, "--budget-bytes 1023: want 1024"},
		{"weight of nobody", func(c *Config) { c.RoleWeights = []string{"king=3"} }, `--role-weights "king=3": want guest, viewer or vip`},
		{"weight of who is never sampled", func(c *Config) { c.RoleWeights = []string{"admin=3"} }, `--role-weights "admin=3": want guest`},
		{"no weight", func(c *Config) { c.RoleWeights = []string{"vip"} }, `--role-weights "vip": want ROLE=WEIGHT`},
		{"weight of 0", func(c *Config) { c.RoleWeights = []string{"vip=0"} }, `--role-weights "vip=0": want ROLE=WEIGHT`},
		{"weight that is no number", func(c *Config) { c.RoleWeights = []string{"vip=NaN"} }, `--role-weights "vip=NaN": want ROLE=WEIGHT`},
		{"replay of nothing", func(c *Config) { c.DPlayer = true }, "--dplayer: there is nothing to replay without --archive"},
		{"archive file too small", func(c *Config) { c.ArchiveSize = 1 }, "--archive-size 1: want"},
		{"archive smaller than a file", func(c *Config) { c.ArchiveTotal = 1 << 20 }, "--archive-total 1048576: want 0"},
		{"archive kept too short", func(c *Config) { c.ArchiveKeep = time.Minute }, "--archive-keep 1m0s: want 1h"},
		{"user rate", func(c *Config) { c.UserRate = -1 }, "--user-rate -1: want 0"},
		{"user burst", func(c *Config) { c.UserBurst = 0 }, "--user-burst 0: want 1"},
		{"address rate", func(c *Config) { c.AddressRate = 1e7 }, "--address-rate"},
		{"address burst", func(c *Config) { c.AddressBurst = 0 }, "--address-burst"},
		{"duplicates", func(c *Config) { c.DuplicateWindow = -time.Second }, "--duplicate-window -1s: want 0s"},
		{"review", func(c *Config) { c.ReviewURL = "https://u:p@a.example:8443/x?y=z" }, ""},
		{"review without a scheme", func(c *Config) { c.ReviewURL = "127.0.0.1:80/x" }, "--review-url: want http://"},
		{"review elsewhere", func(c *Config) { c.ReviewURL = "ftp://a.example/x" }, "--review-url: want http://"},
		{"review timeout", func(c *Config) { c.ReviewTimeout = 0 }, "--review-timeout 0s: want 10ms"},
		{"review fail", func(c *Config) { c.ReviewFail = "maybe" }, `--review-fail "maybe": want one of open, closed`},
		{"no rooms", func(c *Config) { c.MaxRooms = 0 }, "--max-rooms"},
		{"accept rate", func(c *Config) { c.AcceptRate = -0.1 }, "--accept-rate"},
		{"never behind", func(c *Config) { c.RefuseBehind = 0 }, ""},
		{"behind", func(c *Config) { c.RefuseBehind = time.Millisecond }, "--refuse-behind 1ms: want 100ms"},
		{"tick least", func(c *Config) { c.Tick = 10 * time.Millisecond }, ""},
		{"tick too short", func(c *Config) { c.Tick = 9 * time.Millisecond }, "--tick 9ms: want 10ms to 5s"},
		{"tick most", func(c *Config) { c.Tick, c.MaxTick = 5*time.Second, 5*time.Second }, ""},
		{"tick too long", func(c *Config) { c.Tick, c.MaxTick = 6*time.Second, 6*time.Second }, "--tick 6s"},
		{"max tick below tick", func(c *Config) { c.MaxTick = 99 * time.Millisecond }, "--max-tick 99ms: must not be below --tick 100ms"},
		{"max tick too long", func(c *Config) { c.MaxTick = time.Hour }, "--max-tick"},
		{"comment rate off", func(c *Config) { c.CommentRate = 0 }, ""},
		{"comment rate", func(c *Config) { c.CommentRate = -1 }, "--comment-rate"},
		{"burst", func(c *Config) { c.CommentBurst = 0 }, "--comment-burst"},
		{"frame rate", func(c *Config) { c.FrameRate = -1 }, "--frame-rate"},
		{"frame burst", func(c *Config) { c.FrameBurst = 1<<24 + 1 }, "--frame-burst"},
		{"byte rate", func(c *Config) { c.ByteRate = 1 << 25 }, "--byte-rate"},
		{"byte burst least", func(c *Config) { c.ByteBurst = 65536 + 4096 }, ""},
		{"byte burst too small", func(c *Config) { c.ByteBurst = 65536 + 4095 }, "--byte-burst 69631: want 69632"},
		{"ping rate", func(c *Config) { c.PingRate = -0.5 }, "--ping-rate"},
		{"ping burst", func(c *Config) { c.PingBurst = -1 }, "--ping-burst"},
		{"text", func(c *Config) { c.MaxText = 0 }, "--max-text"},
		{"message too small", func(c *Config) { c.MaxMessage = 255 }, "--max-message 255"},
		{"message too large", func(c *Config) { c.MaxMessage, c.PendingBytes = 1<<20+1, 1<<30 }, "--max-message"},
		{"message below text", func(c *Config) { c.MaxText = 2000 }, "--max-text 2000 needs 8256 bytes"},
		{"partial bytes", func(c *Config) { c.PartialBytes = 1<<20 - 1 }, "--partial-bytes"},
		{"message timeout", func(c *Config) { c.MessageTimeout = 0 }, "--message-timeout"},
		{"pending comments", func(c *Config) { c.PendingComments = 0 }, "--pending-comments"},
		{"pending bytes", func(c *Config) { c.PendingBytes = 4*4096 - 1 }, "--pending-bytes"},
		{"pending bytes too many", func(c *Config) { c.PendingBytes = 1<<30 + 1 }, "--pending-bytes"},
		{"history", func(c *Config) { c.History = -1 }, "--history"},
		{"ring", func(c *Config) { c.Ring = 0 }, "--ring"},
		{"compression level", func(c *Config) { c.CompressionLevel = 10 }, "--compression-level 10: want 1 to 9"},
		{"no compression level", func(c *Config) { c.CompressionLevel = 0 }, "--compression-level"},
		{"compression least", func(c *Config) { c.CompressionMin = 1 }, ""},
		{"compression of nothing", func(c *Config) { c.CompressionMin = 0 }, "--compression-min"},
		{"handshake timeout", func(c *Config) { c.HandshakeTimeout = 0 }, "--handshake-timeout"},
		{"idle timeout off", func(c *Config) { c.IdleTimeout = 0 }, ""},
		{"idle timeout", func(c *Config) { c.IdleTimeout = time.Millisecond }, "--idle-timeout 1ms: want 1s to 24h0m0s, or 0"},
		{"pong timeout", func(c *Config) { c.PongTimeout = 0 }, "--pong-timeout"},
		{"stall timeout", func(c *Config) { c.StallTimeout = 0 }, "--stall-timeout"},
		{"user timeout off", func(c *Config) { c.UserTimeout = 0 }, ""},
		{"user timeout", func(c *Config) { c.UserTimeout = -time.Second }, "--user-timeout"},
		{"lowat", func(c *Config) { c.NotSentLowat = -1 }, "--tcp-notsent-lowat"},
		{"send buffer", func(c *Config) { c.SendBuffer = 100 }, "--tcp-send-buffer"},
		{"receive buffer", func(c *Config) { c.ReceiveBuffer = 1 << 30 }, "--tcp-receive-buffer"},
		{"drain at once", func(c *Config) { c.DrainTime = 0 }, ""},
		{"drain time", func(c *Config) { c.DrainTime = -1 }, "--drain-time"},
		{"http", func(c *Config) { c.HTTPConnections = 0 }, "--http-connections"},
		{"level", func(c *Config) { c.LogLevel = "loud" }, `--log-level "loud": want one of debug, info, warn, error`},
		{"format", func(c *Config) { c.LogFormat = "xml" }, "--log-format"},
		{"origins", func(c *Config) {
			c.Origins = []string{"*", "https://a.example", "http://a.example:8080", "*.a.example"}
		}, ""},
		{"origin without scheme", func(c *Config) { c.Origins = []string{"a.example"} }, `--origin "a.example"`},
		{"origin with path", func(c *Config) { c.Origins = []string{"https://a.example/"} }, "without a path"},
		{"origin star inside", func(c *Config) { c.Origins = []string{"https://*.a.example"} }, "--origin"},
		{"origin star only", func(c *Config) { c.Origins = []string{"*."} }, "--origin"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := Default()
			tc.change(&c)
			err := c.Validate()
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("error %v, want none", err)
			case tc.want != "" && err == nil:
				t.Errorf("no error, want one with %q", tc.want)
			case tc.want != "" && !strings.Contains(err.Error(), tc.want):
				t.Errorf("error %q, want one with %q", err, tc.want)
			case tc.want != "" && strings.Contains(err.Error(), "\n"):
				t.Errorf("one problem gives more than one line:\n%v", err)
			}
		})
	}
}

func TestValidateNamesEveryProblem(t *testing.T) {
	var c Config
	err := c.Validate()
	if err == nil {
		t.Fatal("the zero Config is valid")
	}
	for _, flag := range []string{"--listen", "--max-rooms", "--tick", "--comment-burst", "--ring", "--log-level"} {
		if !strings.Contains(err.Error(), flag) {
			t.Errorf("%s is not named in:\n%v", flag, err)
		}
	}
	c = Default()
	c.Listen = []string{"a", ":99999"}
	if err := c.Validate(); err == nil || strings.Count(err.Error(), "--listen") != 2 {
		t.Errorf("want both addresses named, got %v", err)
	}
}
