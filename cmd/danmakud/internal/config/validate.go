package config

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Validate reports every setting that cannot work, each by the name of its
// flag, one a line. It changes nothing and opens nothing.
func (c *Config) Validate() error {
	var errs []error
	for _, d := range table {
		if d.check == nil {
			continue
		}
		if err := d.check(c); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// within checks lo <= value <= hi.
func within[T cmp.Ordered](flag string, value func(*Config) T, lo, hi T) func(*Config) error {
	return func(c *Config) error {
		if v := value(c); v < lo || v > hi {
			return fmt.Errorf("--%s %v: want %v to %v", flag, v, lo, hi)
		}
		return nil
	}
}

// withinOrZero is within, for settings where 0 has a meaning of its own.
func withinOrZero[T cmp.Ordered](flag string, value func(*Config) T, lo, hi T) func(*Config) error {
	return func(c *Config) error {
		var zero T
		if v := value(c); v != zero && (v < lo || v > hi) {
			return fmt.Errorf("--%s %v: want %v to %v, or 0", flag, v, lo, hi)
		}
		return nil
	}
}

func checkRate(flag string, value func(*Config) float64) func(*Config) error {
	return within(flag, value, 0, 1e6)
}

func oneOf(flag string, value func(*Config) string, allowed ...string) func(*Config) error {
	return func(c *Config) error {
		v := value(c)
		for _, a := range allowed {
			if v == a {
				return nil
			}
		}
		return fmt.Errorf("--%s %q: want one of %s", flag, v, strings.Join(allowed, ", "))
	}
}

func checkListen(c *Config) error {
	if len(c.Listen) == 0 {
		return errors.New("--listen: at least one address is needed")
	}
	var errs []error
	seen := make(map[string]bool, len(c.Listen))
	for _, address := range c.Listen {
		if err := checkAddress(address, true); err != nil {
			errs = append(errs, fmt.Errorf("--listen %q: %w", address, err))
			continue
		}
		// Port 0 is a different port each time, so it may stand twice.
		if seen[address] && !strings.HasSuffix(address, ":0") {
			errs = append(errs, fmt.Errorf("--listen %q: given twice", address))
		}
		seen[address] = true
	}
	return errors.Join(errs...)
}

func checkControl(c *Config) error {
	if c.Control == "" {
		return nil
	}
	if err := checkAddress(c.Control, false); err != nil {
		return fmt.Errorf("--control %q: %w", c.Control, err)
	}
	for _, address := range c.Listen {
		if address == c.Control && !strings.HasSuffix(address, ":0") {
			return fmt.Errorf("--control %q: is also a public address (--listen)", c.Control)
		}
	}
	return nil
}

// checkAddress accepts HOST:PORT with a numeric port and, for public
// listeners, unix:/path.
func checkAddress(address string, unix bool) error {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		switch {
		case !unix:
			return errors.New("want HOST:PORT")
		case path == "":
			return errors.New("want unix:/path")
		case len(path) > 103: // the shortest sun_path of the systems we build for, less its NUL
			return errors.New("the path of a unix socket has at most 103 bytes")
		}
		return nil
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return errors.New("want HOST:PORT or :PORT (an IPv6 host in brackets)")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("port %q: want 0 to 65535", port)
	}
	return nil
}

func checkOrigins(c *Config) error {
	var errs []error
	for _, origin := range c.Origins {
		if err := checkOrigin(origin); err != nil {
			errs = append(errs, fmt.Errorf("--origin %q: %w", origin, err))
		}
	}
	return errors.Join(errs...)
}

// checkOrigin accepts what the Origin policy understands: "*" for any,
// scheme://host with an optional port, and "*.domain" for every host below it.
func checkOrigin(origin string) error {
	if origin == "*" {
		return nil
	}
	errForm := errors.New("want https://host, *.domain or *")
	if domain, ok := strings.CutPrefix(origin, "*."); ok {
		if domain == "" || strings.ContainsAny(domain, "*/: ") {
			return errForm
		}
		return nil
	}
	u, err := url.Parse(origin)
	if err != nil || u.Scheme == "" || u.Host == "" || strings.Contains(origin, "*") {
		return errForm
	}
	if u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return errors.New("an origin is scheme://host without a path")
	}
	return nil
}

func checkMaxTick(c *Config) error {
	if c.MaxTick < c.Tick {
		return fmt.Errorf("--max-tick %v: must not be below --tick %v", c.MaxTick, c.Tick)
	}
	if c.MaxTick > time.Minute {
		return fmt.Errorf("--max-tick %v: want at most %v", c.MaxTick, time.Minute)
	}
	return nil
}

// checkMaxMessage also sees to it that the longest comment fits: a code point
// has up to 4 bytes, the fields around the text get messageMin.
func checkMaxMessage(c *Config) error {
	if c.MaxMessage < messageMin || c.MaxMessage > messageMax {
		return fmt.Errorf("--max-message %d: want %d to %d bytes", c.MaxMessage, messageMin, messageMax)
	}
	if need := 4*c.MaxText + messageMin; c.MaxText > 0 && c.MaxText <= textMax && c.MaxMessage < need {
		return fmt.Errorf("--max-message %d: a comment of --max-text %d needs %d bytes", c.MaxMessage, c.MaxText, need)
	}
	return nil
}

// checkByteBurst leaves room for what one read and one message can have: more
// bytes at once than that are no sign of a flood.
func checkByteBurst(c *Config) error {
	const read = 64 << 10
	least := read + c.MaxMessage
	if c.ByteBurst != 0 && (c.ByteBurst < least || c.ByteBurst > floodMax) {
		return fmt.Errorf("--byte-burst %d: want %d to %d bytes with --max-message %d, or 0", c.ByteBurst, least, floodMax, c.MaxMessage)
	}
	return nil
}

// checkPendingBytes leaves room for some of the longest comments: the encoded
// form is larger than what was received.
func checkPendingBytes(c *Config) error {
	const least = 4 // longest messages
	if c.PendingBytes > 1<<30 {
		return fmt.Errorf("--pending-bytes %d: want at most %d", c.PendingBytes, 1<<30)
	}
	if c.PendingBytes < least*c.MaxMessage {
		return fmt.Errorf("--pending-bytes %d: want at least %d times --max-message %d", c.PendingBytes, least, c.MaxMessage)
	}
	return nil
}
