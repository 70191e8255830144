package config

var defaultTokens = Tokens{Guests: "speak"}

func init() {
	settings["guests"] = setting{"watch", func(c *Config) any { return c.Guests }, "watch"}
}
