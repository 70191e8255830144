package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// Replay is what is kept of a room: for those who join or return, and for later.
type Replay struct {
	// ResumeAge is how long a room keeps its batches for viewers that come back; 0:
	// it keeps none. ResumeBytes bounds those of one room, ResumeTotal of all.
	ResumeAge                time.Duration
	ResumeBytes, ResumeTotal int
	// Archive is the folder into which all comments are written; empty: none is.
	Archive string
	// ArchiveSize is when a file of it is finished, ArchiveTotal what all may have
	// together (0 = no bound), both in bytes. ArchiveKeep is how long a file is kept
	// that is not written to any more; 0 = for ever.
	ArchiveSize, ArchiveTotal int64
	ArchiveKeep               time.Duration
	// DPlayer serves the archive on the public port, to players that know DPlayer's API.
	DPlayer bool
}

// What may be kept for viewers that come back.
const (
	resumeAgeMax   = 10 * time.Minute
	resumeBytesMin = 64 << 10
	resumeBytesMax = 1 << 40
)

// What an archive may be asked for.
const (
	archiveSizeMin  = 64 << 10 // below this there would be a file for every burst
	archiveSizeMax  = 1 << 40
	archiveTotalMax = 1 << 50
	archiveKeepMin  = time.Hour
	archiveKeepMax  = 100 * 365 * 24 * time.Hour
)

var tableReplay = []definition{
	{
		flag: "resume-age", def: "30s",
		help:   "time for which a viewer that comes back gets all it missed; 0 = none",
		value:  func(c *Config) pflag.Value { return durationValue{&c.ResumeAge} },
		check:  withinOrZero("resume-age", func(c *Config) time.Duration { return c.ResumeAge }, clockMin, resumeAgeMax),
		reload: true,
	},
	{
		flag: "resume-bytes", def: "4194304",
		help:   "memory of one room's batches for this",
		value:  func(c *Config) pflag.Value { return bytesValue{&c.ResumeBytes} },
		check:  within("resume-bytes", func(c *Config) int { return c.ResumeBytes }, resumeBytesMin, resumeBytesMax),
		reload: true,
	},
	{
		flag: "resume-total", def: "67108864",
		help:   "memory of all rooms' batches for this",
		value:  func(c *Config) pflag.Value { return bytesValue{&c.ResumeTotal} },
		check:  within("resume-total", func(c *Config) int { return c.ResumeTotal }, resumeBytesMin, resumeBytesMax),
		reload: true,
	},
	{
		flag: "archive", def: "",
		help:  "`FOLDER` into which all delivered comments are written, one file after the other for each room",
		value: func(c *Config) pflag.Value { return textValue{&c.Archive} },
	},
	{
		flag: "archive-size", def: "64MiB",
		help:  "size at which a file of the archive is finished, such as 64MiB",
		value: func(c *Config) pflag.Value { return sizeValue{&c.ArchiveSize} },
		check: within("archive-size", func(c *Config) int64 { return c.ArchiveSize }, archiveSizeMin, archiveSizeMax),
	},
	{
		flag: "archive-keep", def: "0s",
		help:  "time after which files of the archive are removed, such as 720h; 0 = never",
		value: func(c *Config) pflag.Value { return durationValue{&c.ArchiveKeep} },
		check: withinOrZero("archive-keep", func(c *Config) time.Duration { return c.ArchiveKeep }, archiveKeepMin, archiveKeepMax),
	},
	{
		flag: "archive-total", def: "0",
		help:  "size of the whole archive, such as 100GiB, beyond which its oldest files are removed; 0 = no bound",
		value: func(c *Config) pflag.Value { return sizeValue{&c.ArchiveTotal} },
		check: checkArchiveTotal,
	},
	{
		flag: "dplayer", def: "false",
		help:  "serve the archive at /dplayer/v3/ on the public port, for replay in players that know DPlayer's API",
		value: func(c *Config) pflag.Value { return boolValue{&c.DPlayer} },
		check: func(c *Config) error {
			if c.DPlayer && c.Archive == "" {
				return errors.New("--dplayer: there is nothing to replay without --archive")
			}
			return nil
		},
	},
}

func checkArchiveTotal(c *Config) error {
	if c.ArchiveTotal != 0 && (c.ArchiveTotal < c.ArchiveSize || c.ArchiveTotal > archiveTotalMax) {
		return fmt.Errorf("--archive-total %d: want 0, or from --archive-size %d to %d bytes", c.ArchiveTotal, c.ArchiveSize, int64(archiveTotalMax))
	}
	return nil
}

// sizeValue is a size of files: plain bytes, or with the suffix KiB, MiB, GiB or TiB.
type sizeValue struct{ p *int64 }

func (v sizeValue) Set(s string) error {
	digits, unit := s, int64(1)
	for suffix, size := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40} {
		if rest, ok := strings.CutSuffix(s, suffix); ok {
			digits, unit = strings.TrimSpace(rest), size
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n > math.MaxInt64/unit || n < math.MinInt64/unit {
		return errors.New("want a number of bytes such as 1048576, 64MiB or 100GiB")
	}
	*v.p = n * unit
	return nil
}
func (v sizeValue) String() string { return strconv.FormatInt(deref(v.p), 10) }
func (v sizeValue) Type() string   { return "bytes" }
