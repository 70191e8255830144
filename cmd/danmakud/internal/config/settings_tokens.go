package config

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/pflag"
)

// Tokens is who viewers are: tokens, their keys, and the callback at connect.
type Tokens struct {
	// TokenKeys are files with the keys that tokens are verified with, JWKS one
	// with a set of them. With none of both no token is taken.
	TokenKeys []string
	JWKS      string
	// TokenAudience are audiences of which a token must have one, TokenIssuer who
	// must have made it; empty: it does not matter.
	TokenAudience []string
	TokenIssuer   string
	// TokenMaxLife is how far away a token's end may be; 0 means any time.
	TokenMaxLife time.Duration

	// Guests is what viewers without a token may do: GuestsSpeak, GuestsWatch or
	// GuestsNone.
	Guests string

	// ConnectURL is asked about every viewer before it is let in; empty: nobody is.
	// ConnectSecret goes along as a bearer token.
	ConnectURL, ConnectSecret string
	// ConnectTimeout is how long the answer may take, waiting for a free line
	// included. ConnectFail is what becomes of a viewer about whom there is none:
	// FailOpen or FailClosed.
	ConnectTimeout time.Duration
	ConnectFail    string
}

// What guests may do.
const (
	GuestsSpeak = "speak"
	GuestsWatch = "watch" // and not speak
	GuestsNone  = "none"  // not even connect
)

// What becomes of those about whom somebody else does not answer.
const (
	FailOpen   = "open"   // they may
	FailClosed = "closed" // they may not
)

const (
	lifeMin    = time.Minute
	lifeMax    = 10 * 365 * 24 * time.Hour
	connectMin = 10 * time.Millisecond
	connectMax = time.Minute
)

var tableTokens = []definition{
	{
		flag: "token-key", def: "",
		help:   "`FILE` with a key for viewers' tokens (JWT): public RSA or Ed25519 in PEM, or a secret of 32 bytes and more (repeatable)",
		value:  func(c *Config) pflag.Value { return newList(&c.TokenKeys) },
		reload: true,
	},
	{
		flag: "jwks", def: "",
		help:   "`FILE` with a JSON Web Key Set for viewers' tokens; read again when it changes",
		value:  func(c *Config) pflag.Value { return textValue{&c.JWKS} },
		reload: true,
	},
	{
		flag: "token-audience", def: "",
		help:   "`AUDIENCE` that tokens must be made for (repeatable: one of them); empty = any",
		value:  func(c *Config) pflag.Value { return newList(&c.TokenAudience) },
		advise: adviseKeys("token-audience", func(c *Config) bool { return len(c.TokenAudience) > 0 }),
		reload: true,
	},
	{
		flag: "token-issuer", def: "",
		help:   "`ISSUER` that tokens must be made by; empty = any",
		value:  func(c *Config) pflag.Value { return textValue{&c.TokenIssuer} },
		advise: adviseKeys("token-issuer", func(c *Config) bool { return c.TokenIssuer != "" }),
		reload: true,
	},
	{
		flag: "token-max-life", def: "0s",
		help:   "tokens that end later than this from now are refused, and revocations forgotten after it; 0 = any, and never",
		value:  func(c *Config) pflag.Value { return durationValue{&c.TokenMaxLife} },
		check:  withinOrZero("token-max-life", func(c *Config) time.Duration { return c.TokenMaxLife }, lifeMin, lifeMax),
		reload: true,
	},
	{
		flag: "guests", def: GuestsSpeak,
		help:   "what viewers without a token may do: speak, watch or none (not connect)",
		value:  func(c *Config) pflag.Value { return textValue{&c.Guests} },
		check:  oneOf("guests", func(c *Config) string { return c.Guests }, GuestsSpeak, GuestsWatch, GuestsNone),
		advise: adviseKeys("guests", func(c *Config) bool { return c.Guests == GuestsNone }),
		reload: true,
	},
	{
		flag: "connect-url", def: "",
		help:   "`URL` that is asked by POST about every viewer before it is let in; empty = nobody is asked",
		value:  func(c *Config) pflag.Value { return textValue{&c.ConnectURL} },
		check:  checkConnectURL,
		reload: true,
	},
	{
		flag: "connect-secret", def: "",
		help:   "sent with these questions as Authorization: Bearer",
		value:  func(c *Config) pflag.Value { return textValue{&c.ConnectSecret} },
		check:  checkConnectSecret,
		reload: true, secret: true,
	},
	{
		flag: "connect-timeout", def: "3s",
		help:   "time for the answer to --connect-url",
		value:  func(c *Config) pflag.Value { return durationValue{&c.ConnectTimeout} },
		check:  within("connect-timeout", func(c *Config) time.Duration { return c.ConnectTimeout }, connectMin, connectMax),
		reload: true,
	},
	{
		flag: "connect-fail", def: FailClosed,
		help:   "what becomes of viewers when --connect-url does not answer: open (let in) or closed (503)",
		value:  func(c *Config) pflag.Value { return textValue{&c.ConnectFail} },
		check:  oneOf("connect-fail", func(c *Config) string { return c.ConnectFail }, FailOpen, FailClosed),
		reload: true,
	},
}

// adviseKeys: what asks something of tokens has no effect where none is taken.
func adviseKeys(flag string, set func(c *Config) bool) func(*Config) string {
	return func(c *Config) string {
		if set(c) && len(c.TokenKeys) == 0 && c.JWKS == "" {
			return fmt.Sprintf("--%s: without --token-key or --jwks no token is taken", flag)
		}
		return ""
	}
}

func checkConnectURL(c *Config) error {
	if c.ConnectURL == "" {
		return nil
	}
	u, err := url.Parse(c.ConnectURL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return errors.New("--connect-url: want http://HOST/PATH or https://HOST/PATH")
	case u.User != nil:
		return errors.New("--connect-url: a URL is shown where settings are; give the password by --connect-secret")
	case c.ConnectTimeout >= c.HandshakeTimeout:
		return fmt.Errorf("--connect-url: --connect-timeout %v must be below --handshake-timeout %v", c.ConnectTimeout, c.HandshakeTimeout)
	}
	return nil
}

func checkConnectSecret(c *Config) error {
	for i := range len(c.ConnectSecret) {
		if b := c.ConnectSecret[i]; b <= ' ' || b >= 0x7F {
			return errors.New("--connect-secret: want visible ASCII characters, as a header may have them")
		}
	}
	return nil
}
