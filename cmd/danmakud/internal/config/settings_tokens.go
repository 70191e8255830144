package config

import "github.com/spf13/pflag"

// Tokens is who viewers are: tokens, their keys, and the callback at connect.
type Tokens struct {
	// Guests is what viewers without a token may do: GuestsSpeak, GuestsWatch or
	// GuestsNone.
	Guests string
}

// What guests may do.
const (
	GuestsSpeak = "speak"
	GuestsWatch = "watch" // and not speak
	GuestsNone  = "none"  // not even connect
)

var tableTokens = []definition{
	{
		flag: "guests", def: GuestsSpeak,
		help:   "what viewers without a token may do: speak, watch or none (not connect)",
		value:  func(c *Config) pflag.Value { return textValue{&c.Guests} },
		check:  oneOf("guests", func(c *Config) string { return c.Guests }, GuestsSpeak, GuestsWatch, GuestsNone),
		reload: true,
	},
}
