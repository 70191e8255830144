package config

import (
	"errors"
	"net/url"
	"time"

	"github.com/spf13/pflag"
)

// Moderation is what becomes of comments before they are published, and where decisions are kept.
type Moderation struct {
	// Data is the directory for what outlives the process: sanctions, settings of
	// rooms, word lists, the audit log. Empty: nothing does.
	Data string
	// Words is a directory of word lists, NAME.ACTION.txt; empty: there are none.
	Words string
	// UserRate and AddressRate are comments a second of one user, over all its
	// connections, and of one address; 0 means no limit. The bursts are what may
	// come at once.
	UserRate, AddressRate   float64
	UserBurst, AddressBurst int
	// DuplicateWindow is how long a user may not say the same again; 0 = it may.
	DuplicateWindow time.Duration
	// ReviewURL is asked about every comment; empty: nobody is. ReviewFail is what
	// becomes of those it does not answer for in ReviewTimeout: "open" passes them,
	// "closed" refuses them.
	ReviewURL     string
	ReviewTimeout time.Duration
	ReviewFail    string
	// AuditLog is a file to which what moderators and operators do is appended as
	// lines of JSON; empty: there is none.
	AuditLog string
}

// Bounds of moderation.
const (
	duplicateMax     = 24 * time.Hour
	reviewTimeoutMin = 10 * time.Millisecond
	reviewTimeoutMax = time.Minute
)

var tableModeration = []definition{
	{
		flag: "data", def: "",
		help:  "`DIR` for what outlives the process: sanctions, settings of rooms, word lists, audit log; empty = all of it is forgotten at the end",
		value: func(c *Config) pflag.Value { return textValue{&c.Data} },
	},
	{
		flag: "words", def: "",
		help:   "`DIR` of word lists, files NAME.ACTION.txt with a word a line; ACTION reject, shadow, hold or mask",
		value:  func(c *Config) pflag.Value { return textValue{&c.Words} },
		reload: true,
		opens:  true,
	},
	{
		flag: "user-rate", def: "0",
		help:   "comments a second of one user, all its connections together; 0 = no limit but --comment-rate of each",
		value:  func(c *Config) pflag.Value { return rateValue{&c.UserRate} },
		check:  checkRate("user-rate", func(c *Config) float64 { return c.UserRate }),
		reload: true,
	},
	{
		flag: "user-burst", def: "10",
		help:   "comments one user may send at once",
		value:  func(c *Config) pflag.Value { return countValue{&c.UserBurst} },
		check:  within("user-burst", func(c *Config) int { return c.UserBurst }, 1, 1_000_000),
		reload: true,
	},
	{
		flag: "address-rate", def: "0",
		help:   "comments a second from one address, IPv6 counted by /64; 0 = no limit",
		value:  func(c *Config) pflag.Value { return rateValue{&c.AddressRate} },
		check:  checkRate("address-rate", func(c *Config) float64 { return c.AddressRate }),
		reload: true,
	},
	{
		flag: "address-burst", def: "50",
		help:   "comments one address may send at once",
		value:  func(c *Config) pflag.Value { return countValue{&c.AddressBurst} },
		check:  within("address-burst", func(c *Config) int { return c.AddressBurst }, 1, 1_000_000),
		reload: true,
	},
	{
		flag: "duplicate-window", def: "0s",
		help:   "time in which a user may not say the same again; 0 = it may",
		value:  func(c *Config) pflag.Value { return durationValue{&c.DuplicateWindow} },
		check:  within("duplicate-window", func(c *Config) time.Duration { return c.DuplicateWindow }, 0, duplicateMax),
		reload: true,
	},
	{
		flag: "review-url", def: "",
		help:   "`URL` that is asked about every comment before it is published; empty = nobody is",
		value:  func(c *Config) pflag.Value { return textValue{&c.ReviewURL} },
		check:  checkReviewURL,
		reload: true,
		secret: true, // it may have a password
	},
	{
		flag: "review-timeout", def: "2s",
		help:   "time for the review to answer",
		value:  func(c *Config) pflag.Value { return durationValue{&c.ReviewTimeout} },
		check:  within("review-timeout", func(c *Config) time.Duration { return c.ReviewTimeout }, reviewTimeoutMin, reviewTimeoutMax),
		reload: true,
	},
	{
		flag: "review-fail", def: "open",
		help:   "what becomes of comments the review does not answer for: open (they are published) or closed (they are refused)",
		value:  func(c *Config) pflag.Value { return textValue{&c.ReviewFail} },
		check:  oneOf("review-fail", func(c *Config) string { return c.ReviewFail }, "open", "closed"),
		reload: true,
	},
	{
		flag: "audit-log", def: "",
		help:   "`FILE` to which what moderators and operators do is appended as lines of JSON; SIGHUP opens it again",
		value:  func(c *Config) pflag.Value { return textValue{&c.AuditLog} },
		reload: true,
		opens:  true,
	},
}

// checkReviewURL does not quote the address, which is a secret.
func checkReviewURL(c *Config) error {
	if c.ReviewURL == "" {
		return nil
	}
	u, err := url.Parse(c.ReviewURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errors.New("--review-url: want http://HOST/PATH or https://HOST/PATH")
	}
	return nil
}
