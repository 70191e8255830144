package config

import "time"

var defaultModeration = Moderation{
	UserBurst: 10, AddressBurst: 50, ReviewTimeout: 2 * time.Second, ReviewFail: "open",
}

func init() {
	settings["data"] = setting{"/var/lib/d", func(c *Config) any { return c.Data }, "/var/lib/d"}
	settings["words"] = setting{"/etc/d/words", func(c *Config) any { return c.Words }, "/etc/d/words"}
	settings["user-rate"] = setting{"0.6", func(c *Config) any { return c.UserRate }, 0.6}
	settings["user-burst"] = setting{"4", func(c *Config) any { return c.UserBurst }, 4}
	settings["address-rate"] = setting{"30", func(c *Config) any { return c.AddressRate }, 30.0}
	settings["address-burst"] = setting{"90", func(c *Config) any { return c.AddressBurst }, 90}
	settings["duplicate-window"] = setting{"20s", func(c *Config) any { return c.DuplicateWindow }, 20 * time.Second}
	settings["review-url"] = setting{"http://127.0.0.1:9/review", func(c *Config) any { return c.ReviewURL }, "http://127.0.0.1:9/review"}
	settings["review-timeout"] = setting{"300ms", func(c *Config) any { return c.ReviewTimeout }, 300 * time.Millisecond}
	settings["review-fail"] = setting{"closed", func(c *Config) any { return c.ReviewFail }, "closed"}
	settings["audit-log"] = setting{"/var/log/d.ndjson", func(c *Config) any { return c.AuditLog }, "/var/log/d.ndjson"}
}
