package config

import (
	"strings"
	"testing"
	"time"
)

var defaultTokens = Tokens{Guests: "speak", ConnectTimeout: 3 * time.Second, ConnectFail: "closed"}

func init() {
	settings["guests"] = setting{"watch", func(c *Config) any { return c.Guests }, "watch"}
	settings["token-key"] = setting{"/k/a.pem,/k/b.key", func(c *Config) any { return c.TokenKeys }, []string{"/k/a.pem", "/k/b.key"}}
	settings["jwks"] = setting{"/k/jwks.json", func(c *Config) any { return c.JWKS }, "/k/jwks.json"}
	settings["token-audience"] = setting{"live,chat", func(c *Config) any { return c.TokenAudience }, []string{"live", "chat"}}
	settings["token-issuer"] = setting{"https://site.example", func(c *Config) any { return c.TokenIssuer }, "https://site.example"}
	settings["token-max-life"] = setting{"24h", func(c *Config) any { return c.TokenMaxLife }, 24 * time.Hour}
	settings["connect-url"] = setting{"https://site.example/live", func(c *Config) any { return c.ConnectURL }, "https://site.example/live"}
	settings["connect-secret"] = setting{"s3cret", func(c *Config) any { return c.ConnectSecret }, "s3cret"}
	settings["connect-timeout"] = setting{"500ms", func(c *Config) any { return c.ConnectTimeout }, 500 * time.Millisecond}
	settings["connect-fail"] = setting{"open", func(c *Config) any { return c.ConnectFail }, "open"}
}

func TestTokenSettingsThatContradict(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--guests=perhaps"}, "speak, watch, none"},
		{[]string{"--connect-url=site.example"}, "want http://"},
		{[]string{"--connect-url=ftp://site.example"}, "want http://"},
		{[]string{"--connect-url=http://u:p@site.example"}, "--connect-secret"},
		{[]string{"--connect-url=http://site.example", "--connect-timeout=10s"}, "below --handshake-timeout"},
		{[]string{"--connect-timeout=10s"}, ""},
		{[]string{"--connect-timeout=1ms"}, "--connect-timeout"},
		{[]string{"--connect-fail=ajar"}, "open, closed"},
		{[]string{"--token-max-life=1s"}, "--token-max-life"},
	} {
		config, _ := bound(t, c.args...)
		err := config.Validate()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%v: %v, want %q", c.args, err, c.want)
		}
	}
	c := Default()
	c.ConnectSecret = "a\nb"
	if err := c.Validate(); err == nil || strings.Contains(err.Error(), "a\nb") {
		t.Errorf("secret with a line end: %v", err)
	}
}
