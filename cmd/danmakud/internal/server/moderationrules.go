package server

import (
	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/moderation"
)

// moderationOptions is what of the settings is moderation's.
func moderationOptions(c *config.Config) moderation.Options {
	return moderation.Options{
		Data: c.Data, Words: c.Words,
		UserRate: c.UserRate, UserBurst: c.UserBurst, AddressRate: c.AddressRate, AddressBurst: c.AddressBurst,
		DuplicateWindow: c.DuplicateWindow,
		ReviewURL:       c.ReviewURL, ReviewTimeout: c.ReviewTimeout, ReviewFailClosed: c.ReviewFail == "closed",
		AuditLog: c.AuditLog,
	}
}
