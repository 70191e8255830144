package config

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// bound returns a Config bound to a FlagSet that has parsed args.
func bound(t *testing.T, args ...string) (*Config, *pflag.FlagSet) {
	t.Helper()
	var c Config
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	c.Bind(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatalf("parse %q: %v", args, err)
	}
	return &c, fs
}

func lookupIn(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}
}

// TestDefaults spells out every default, so that one changed by accident is
// noticed, and so is a field that no entry of the table fills.
func TestDefaults(t *testing.T) {
	want := Config{
		API:              defaultAPI,
		Tokens:           defaultTokens,
		Nodes:            Nodes{Cluster: "danmakud", BusShards: 256, BusQueue: 16 << 20, BusHistoryAge: 24 * time.Hour},
		Governor:         Governor{BudgetBytes: 256 << 10},
		Moderation:       defaultModeration,
		Listen:           []string{":8080"},
		Control:          "127.0.0.1:8081",
		MaxRooms:         100000,
		Tick:             100 * time.Millisecond,
		MaxTick:          time.Second,
		RefuseBehind:     5 * time.Second,
		CommentRate:      3,
		CommentBurst:     10,
		MaxText:          200,
		MaxMessage:       4096,
		PartialBytes:     33554432,
		PendingComments:  20000,
		PendingBytes:     2097152,
		History:          20,
		Ring:             16,
		Compression:      true,
		CompressionLevel: 6,
		CompressionMin:   1024,
		HandshakeTimeout: 10 * time.Second,
		MessageTimeout:   30 * time.Second,
		IdleTimeout:      30 * time.Second,
		PongTimeout:      30 * time.Second,
		StallTimeout:     35 * time.Second,
		UserTimeout:      40 * time.Second,
		NoDelay:          true,
		NotSentLowat:     131072,
		DrainTime:        10 * time.Second,
		Watchdog:         10 * time.Second,
		HTTPConnections:  256,
		Replay:           Replay{ArchiveSize: 64 << 20, ResumeAge: 30 * time.Second, ResumeBytes: 4 << 20, ResumeTotal: 64 << 20},
		Packets:          Packets{PacketHeartbeat: 70 * time.Second, GoimHeartbeat: 8 * time.Minute},
		LogLevel:         "info",
		LogFormat:        "auto",
	}
	if got := Default(); !reflect.DeepEqual(got, want) {
		t.Errorf("Default() =\n%+v, want\n%+v", got, want)
	}
	if err := want.Validate(); err != nil {
		t.Errorf("the defaults do not validate: %v", err)
	}
	if c, _ := bound(t); !reflect.DeepEqual(*c, want) {
		t.Errorf("bound without arguments =\n%+v, want\n%+v", *c, want)
	}
}

// setting is a value other than the default: as text, and where it is then.
type setting struct {
	text string
	read func(c *Config) any
	want any
}

// settings has one for every entry of the table. The files of the other subjects
// add theirs.
var settings = map[string]setting{
	"listen":          {"127.0.0.1:1,[::1]:2,unix:/run/d.sock", func(c *Config) any { return c.Listen }, []string{"127.0.0.1:1", "[::1]:2", "unix:/run/d.sock"}},
	"control":         {"[::1]:9", func(c *Config) any { return c.Control }, "[::1]:9"},
	"origin":          {"https://a.example, *.b.example", func(c *Config) any { return c.Origins }, []string{"https://a.example", "*.b.example"}},
	"loops":           {"3", func(c *Config) any { return c.Loops }, 3},
	"max-connections": {"77", func(c *Config) any { return c.MaxConnections }, 77},

	"max-connections-per-address": {"5", func(c *Config) any { return c.MaxConnectionsPerAddress }, 5},

	"proxy-protocol":     {"10.0.0.0/8,::1", func(c *Config) any { return c.ProxyProtocol }, []string{"10.0.0.0/8", "::1"}},
	"trusted-proxy":      {"127.0.0.1", func(c *Config) any { return c.TrustedProxies }, []string{"127.0.0.1"}},
	"max-rooms":          {"12", func(c *Config) any { return c.MaxRooms }, 12},
	"accept-rate":        {"250.5", func(c *Config) any { return c.AcceptRate }, 250.5},
	"refuse-behind":      {"0s", func(c *Config) any { return c.RefuseBehind }, time.Duration(0)},
	"tick":               {"250ms", func(c *Config) any { return c.Tick }, 250 * time.Millisecond},
	"max-tick":           {"2s", func(c *Config) any { return c.MaxTick }, 2 * time.Second},
	"comment-rate":       {"0.5", func(c *Config) any { return c.CommentRate }, 0.5},
	"comment-burst":      {"4", func(c *Config) any { return c.CommentBurst }, 4},
	"frame-rate":         {"7.5", func(c *Config) any { return c.FrameRate }, 7.5},
	"frame-burst":        {"70", func(c *Config) any { return c.FrameBurst }, 70},
	"byte-rate":          {"1000", func(c *Config) any { return c.ByteRate }, 1000.0},
	"byte-burst":         {"1MiB", func(c *Config) any { return c.ByteBurst }, 1 << 20},
	"ping-rate":          {"0.25", func(c *Config) any { return c.PingRate }, 0.25},
	"ping-burst":         {"4", func(c *Config) any { return c.PingBurst }, 4},
	"max-text":           {"80", func(c *Config) any { return c.MaxText }, 80},
	"max-message":        {"8KiB", func(c *Config) any { return c.MaxMessage }, 8192},
	"partial-bytes":      {"2MiB", func(c *Config) any { return c.PartialBytes }, 2 << 20},
	"message-timeout":    {"2s", func(c *Config) any { return c.MessageTimeout }, 2 * time.Second},
	"pending-comments":   {"500", func(c *Config) any { return c.PendingComments }, 500},
	"pending-bytes":      {"4 MiB", func(c *Config) any { return c.PendingBytes }, 4 << 20},
	"budget-bytes":       {"4KiB", func(c *Config) any { return c.BudgetBytes }, 4096},
	"budget-comments":    {"40", func(c *Config) any { return c.BudgetComments }, 40},
	"role-weights":       {"vip=3,guest=0.5", func(c *Config) any { return c.RoleWeights }, []string{"vip=3", "guest=0.5"}},
	"history":            {"0", func(c *Config) any { return c.History }, 0},
	"ring":               {"32", func(c *Config) any { return c.Ring }, 32},
	"compression":        {"false", func(c *Config) any { return c.Compression }, false},
	"compression-level":  {"1", func(c *Config) any { return c.CompressionLevel }, 1},
	"compression-min":    {"2KiB", func(c *Config) any { return c.CompressionMin }, 2048},
	"handshake-timeout":  {"3s", func(c *Config) any { return c.HandshakeTimeout }, 3 * time.Second},
	"idle-timeout":       {"0", func(c *Config) any { return c.IdleTimeout }, time.Duration(0)},
	"pong-timeout":       {"7s", func(c *Config) any { return c.PongTimeout }, 7 * time.Second},
	"stall-timeout":      {"1m30s", func(c *Config) any { return c.StallTimeout }, 90 * time.Second},
	"user-timeout":       {"9s", func(c *Config) any { return c.UserTimeout }, 9 * time.Second},
	"tcp-nodelay":        {"false", func(c *Config) any { return c.NoDelay }, false},
	"tcp-notsent-lowat":  {"16KiB", func(c *Config) any { return c.NotSentLowat }, 16384},
	"tcp-send-buffer":    {"65536", func(c *Config) any { return c.SendBuffer }, 65536},
	"tcp-receive-buffer": {"32768", func(c *Config) any { return c.ReceiveBuffer }, 32768},
	"config":             {"/etc/d.toml", func(c *Config) any { return c.File }, "/etc/d.toml"},
	"reuse-port":         {"true", func(c *Config) any { return c.ReusePort }, true},
	"drain-grace":        {"5s", func(c *Config) any { return c.DrainGrace }, 5 * time.Second},
	"watchdog":           {"30s", func(c *Config) any { return c.Watchdog }, 30 * time.Second},
	"drain-time":         {"0s", func(c *Config) any { return c.DrainTime }, time.Duration(0)},
	"http-connections":   {"16", func(c *Config) any { return c.HTTPConnections }, 16},
	"packet-listen":      {"127.0.0.1:5,[::1]:6", func(c *Config) any { return c.PacketListen }, []string{"127.0.0.1:5", "[::1]:6"}},
	"packet-heartbeat":   {"90s", func(c *Config) any { return c.PacketHeartbeat }, 90 * time.Second},
	"goim-heartbeat":     {"90s", func(c *Config) any { return c.GoimHeartbeat }, 90 * time.Second},

	"nats-url":        {"nats://a:4222,tls://b", func(c *Config) any { return len(c.NATS) }, 2},
	"nats-user":       {"joe", func(c *Config) any { return c.NATSUser }, "joe"},
	"nats-password":   {"secret", func(c *Config) any { return c.NATSPassword }, "secret"},
	"nats-token":      {"secret", func(c *Config) any { return c.NATSToken }, "secret"},
	"nats-creds":      {"/k/d.creds", func(c *Config) any { return c.NATSCreds }, "/k/d.creds"},
	"nats-nkey":       {"/k/d.nk", func(c *Config) any { return c.NATSNKey }, "/k/d.nk"},
	"nats-ca":         {"/k/ca.pem", func(c *Config) any { return c.NATSCA }, "/k/ca.pem"},
	"nats-cert":       {"/k/d.pem", func(c *Config) any { return c.NATSCert }, "/k/d.pem"},
	"nats-key":        {"/k/d.key", func(c *Config) any { return c.NATSKey }, "/k/d.key"},
	"cluster":         {"live", func(c *Config) any { return c.Cluster }, "live"},
	"bus-shards":      {"128", func(c *Config) any { return c.BusShards }, 128},
	"bus-queue":       {"2MiB", func(c *Config) any { return c.BusQueue }, 2 << 20},
	"bus-history":     {"100", func(c *Config) any { return c.BusHistory }, 100},
	"bus-history-age": {"2h", func(c *Config) any { return c.BusHistoryAge }, 2 * time.Hour},
	"node":            {"a1", func(c *Config) any { return c.Node }, "a1"},
	"advertise":       {"live1.example:443", func(c *Config) any { return c.Advertise }, "live1.example:443"},
	"resume-age":      {"0s", func(c *Config) any { return c.ResumeAge }, time.Duration(0)},
	"resume-bytes":    {"1MiB", func(c *Config) any { return c.ResumeBytes }, 1 << 20},
	"resume-total":    {"512MiB", func(c *Config) any { return c.ResumeTotal }, 512 << 20},
	"archive":         {"/srv/said", func(c *Config) any { return c.Archive }, "/srv/said"},
	"archive-size":    {"1GiB", func(c *Config) any { return c.ArchiveSize }, int64(1 << 30)},
	"archive-keep":    {"720h", func(c *Config) any { return c.ArchiveKeep }, 720 * time.Hour},
	"archive-total":   {"2 TiB", func(c *Config) any { return c.ArchiveTotal }, int64(2 << 40)},
	"dplayer":         {"true", func(c *Config) any { return c.DPlayer }, true},
	"log-level":       {"debug", func(c *Config) any { return c.LogLevel }, "debug"},
	"log-format":      {"json", func(c *Config) any { return c.LogFormat }, "json"},
}

func TestEverySettingFromFlagAndEnvironment(t *testing.T) {
	if len(settings) != len(table) {
		t.Errorf("%d settings are tested, the table has %d", len(settings), len(table))
	}
	for _, d := range table {
		s, ok := settings[d.flag]
		if !ok {
			t.Errorf("--%s has no case here", d.flag)
			continue
		}
		c, fs := bound(t, "--"+d.flag+"="+s.text)
		if _, err := newLoader(c, fs).finish(); err != nil {
			t.Errorf("--%s=%s: %v", d.flag, s.text, err)
		}
		if got := s.read(c); !reflect.DeepEqual(got, s.want) {
			t.Errorf("--%s=%s gives %v, want %v", d.flag, s.text, got, s.want)
		}
		if def := Default(); reflect.DeepEqual(s.read(&def), s.want) {
			t.Errorf("--%s: the case uses the default, so it shows nothing", d.flag)
		}
		name := "DANMAKUD_" + strings.ToUpper(strings.ReplaceAll(d.flag, "-", "_"))
		c, fs = bound(t)
		l := newLoader(c, fs)
		if err := l.environment(lookupIn(map[string]string{name: s.text})); err != nil {
			t.Errorf("%s=%s: %v", name, s.text, err)
		}
		if _, err := l.finish(); err != nil {
			t.Errorf("%s=%s: %v", name, s.text, err)
		}
		if got := s.read(c); !reflect.DeepEqual(got, s.want) {
			t.Errorf("%s=%s gives %v, want %v", name, s.text, got, s.want)
		}
		switch d.flag { // what each needs
		case "dplayer":
			c.Archive = "/srv/said"
		case "nats-password":
			c.NATSUser = "joe"
		case "nats-cert":
			c.NATSKey = "/k/d.key"
		case "nats-key":
			c.NATSCert = "/k/d.pem"
		}
		if err := c.Validate(); err != nil {
			t.Errorf("%s=%s: %v", name, s.text, err)
		}
	}
}

func TestCommandLineWinsOverEnvironment(t *testing.T) {
	c, fs := bound(t, "--tick=50ms", "--listen=:1", "--listen=:2")
	env := map[string]string{
		"DANMAKUD_TICK":   "70ms",
		"DANMAKUD_LISTEN": ":3",
		"DANMAKUD_RING":   "5",
		"DANMAKUD_LOOPS":  "",
	}
	if err := newLoader(c, fs).environment(lookupIn(env)); err != nil {
		t.Fatal(err)
	}
	if c.Tick != 50*time.Millisecond {
		t.Errorf("tick %v, want that of the command line", c.Tick)
	}
	if want := []string{":1", ":2"}; !reflect.DeepEqual(c.Listen, want) {
		t.Errorf("listen %q, want %q", c.Listen, want)
	}
	if c.Ring != 5 {
		t.Errorf("ring %d, want that of the environment", c.Ring)
	}
	if c.Loops != 0 {
		t.Errorf("loops %d: an empty variable must count as absent", c.Loops)
	}
}

// TestSourcesAfterTheEnvironment shows the place of a later source: whatever
// has a value is marked as set.
func TestSourcesAfterTheEnvironment(t *testing.T) {
	c, fs := bound(t, "--tick=50ms")
	if err := newLoader(c, fs).environment(lookupIn(map[string]string{"DANMAKUD_RING": "5"})); err != nil {
		t.Fatal(err)
	}
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Changed != (f.Name == "tick" || f.Name == "ring") {
			t.Errorf("--%s: changed is %v", f.Name, f.Changed)
		}
	})
}

func TestControlOff(t *testing.T) {
	c, _ := bound(t, "--control=off")
	if c.Control != "" {
		t.Errorf("control %q, want none", c.Control)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if c, _ = bound(t, "--control="); c.Control != "" {
		t.Errorf("control %q, want none", c.Control)
	}
}

func TestEnvironmentErrorsNameEveryVariable(t *testing.T) {
	c, fs := bound(t)
	err := newLoader(c, fs).environment(lookupIn(map[string]string{
		"DANMAKUD_TICK":         "100",
		"DANMAKUD_LOOPS":        "many",
		"DANMAKUD_COMMENT_RATE": "NaN",
		"DANMAKUD_TCP_NODELAY":  "perhaps",
		"DANMAKUD_MAX_MESSAGE":  "99999999999MiB",
		"DANMAKUD_ORIGIN":       " , ",
	}))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`DANMAKUD_TICK="100": want a time`, `DANMAKUD_LOOPS="many"`, `DANMAKUD_COMMENT_RATE="NaN"`,
		`DANMAKUD_TCP_NODELAY="perhaps"`, `DANMAKUD_MAX_MESSAGE="99999999999MiB"`, `DANMAKUD_ORIGIN=" , "`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not have %q:\n%v", want, err)
		}
	}
	if !reflect.DeepEqual(*c, Default()) {
		t.Errorf("values that failed left a trace: %+v", *c)
	}
}

func TestBadFlagNamesTheFlag(t *testing.T) {
	var c Config
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	c.Bind(fs)
	err := fs.Parse([]string{"--tick=5"})
	if err == nil || !strings.Contains(err.Error(), "--tick") || !strings.Contains(err.Error(), "unit") {
		t.Errorf("error %v, want one that names --tick and the missing unit", err)
	}
}

func TestUnknownEnv(t *testing.T) {
	got := UnknownEnv([]string{
		"HOME=/home/a", "DANMAKUD_TICK=1s", "DANMAKUD_TICKS=1s", "DANMAKUD_", "DANMAKUD_MAXROOMS=3",
		"DANMAKUD_PORT=tcp://10.0.0.1:80", "DANMAKUD_PORT_80_TCP_ADDR=10.0.0.1", "DANMAKUD_SERVICE_HOST=10.0.0.1",
	})
	want := []string{"DANMAKUD_", "DANMAKUD_MAXROOMS", "DANMAKUD_TICKS"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("unknown %q, want %q", got, want)
	}
}

func TestHelpShowsEverySettingWithItsDefault(t *testing.T) {
	_, fs := bound(t)
	help := fs.FlagUsages()
	for _, want := range []string{
		"--listen HOST:PORT", "(default :8080)", "--tick duration", "(default 100ms)",
		"--tcp-nodelay ", "--max-message bytes", "(default 4096)", "--comment-rate rate",
	} {
		if !strings.Contains(help, want) {
			t.Errorf("help does not have %q:\n%s", want, help)
		}
	}
	if strings.Index(help, "--listen") > strings.Index(help, "--accept-rate") {
		t.Error("help is sorted by letter, want the order of the table")
	}
}

func TestTableIsWellFormed(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range table {
		if seen[d.flag] {
			t.Errorf("--%s stands twice", d.flag)
		}
		seen[d.flag] = true
		if d.help == "" || strings.HasSuffix(d.help, ".") || strings.ToLower(d.flag) != d.flag {
			t.Errorf("--%s: help %q: want a phrase without a full stop", d.flag, d.help)
		}
	}
}

// TestStalledBeforeCutOff: the kernel counts a peer with a full receive buffer
// against TCP_USER_TIMEOUT as it does one that is gone. By default the stall clock
// comes first, and the longest silence and either clock together are over before
// 75 seconds, when a vanished viewer must not be counted any more.
func TestStalledBeforeCutOff(t *testing.T) {
	c := Default()
	const sweeps = 3 * time.Second // clocks are looked at once a second
	if c.UserTimeout < c.StallTimeout+sweeps {
		t.Errorf("user timeout %v ends a viewer before the stall timeout %v does", c.UserTimeout, c.StallTimeout)
	}
	if most := c.IdleTimeout + max(c.PongTimeout, c.UserTimeout) + sweeps; most > 75*time.Second {
		t.Errorf("a vanished viewer may be counted for %v", most)
	}
}
