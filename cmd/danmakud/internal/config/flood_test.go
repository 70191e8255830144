package config

import "testing"

func TestFlood(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(c *Config)
		want   Flood
	}{
		{"defaults", func(c *Config) {}, Flood{Bucket{50, 200}, Bucket{51200, 262144}, Bucket{10, 100}}},
		{"many comments", func(c *Config) { c.CommentRate = 100 }, Flood{Bucket{1020, 4080}, Bucket{1020 << 10, 4080 << 10}, Bucket{204, 816}}},
		{"no limit on comments", func(c *Config) { c.CommentRate = 0 }, Flood{Bucket{0, 200}, Bucket{0, 262144}, Bucket{0, 100}}},
		{"pings alone", func(c *Config) { c.CommentRate, c.PingRate, c.PingBurst = 0, 1, 3 },
			Flood{Bucket{0, 200}, Bucket{0, 262144}, Bucket{1, 3}}},
		{"frames set", func(c *Config) { c.FrameRate, c.FrameBurst = 5, 7 }, Flood{Bucket{5, 7}, Bucket{5120, 262144}, Bucket{1, 100}}},
		{"bytes set", func(c *Config) { c.ByteRate, c.ByteBurst = 100, 1<<17 }, Flood{Bucket{50, 200}, Bucket{100, 1 << 17}, Bucket{10, 100}}},
		{"a million comments", func(c *Config) { c.CommentRate = 1e6 }, Flood{Bucket{10_000_020, floodMax}, Bucket{10_000_020 << 10, floodMax}, Bucket{2_000_004, 4 * 2_000_004}}},
		{"long messages", func(c *Config) { c.MaxMessage = 1 << 20 }, Flood{Bucket{50, 200}, Bucket{51200, 4 << 20}, Bucket{10, 100}}},
	} {
		c := Default()
		tc.change(&c)
		if got := c.Flood(); got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
	}
}
