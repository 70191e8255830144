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

// Each kind of setting is a pflag.Value that writes into a field of a Config.
// Set leaves the field alone when it fails.

type textValue struct{ p *string }

func (v textValue) Set(s string) error { *v.p = s; return nil }
func (v textValue) String() string     { return deref(v.p) }
func (v textValue) Type() string       { return "string" }

// offValue is a text in which "off" means none and is stored as empty.
type offValue struct{ p *string }

func (v offValue) Set(s string) error {
	if s == "off" {
		s = ""
	}
	*v.p = s
	return nil
}
func (v offValue) String() string {
	if text := deref(v.p); text != "" {
		return text
	}
	return "off"
}
func (v offValue) Type() string { return "string" }

type boolValue struct{ p *bool }

func (v boolValue) Set(s string) error {
	b, err := strconv.ParseBool(s)
	if err != nil {
		return errors.New("want true or false")
	}
	*v.p = b
	return nil
}
func (v boolValue) String() string   { return strconv.FormatBool(deref(v.p)) }
func (v boolValue) Type() string     { return "bool" }
func (v boolValue) IsBoolFlag() bool { return true }

type countValue struct{ p *int }

func (v countValue) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil {
		return errors.New("want a whole number")
	}
	*v.p = n
	return nil
}
func (v countValue) String() string { return strconv.Itoa(deref(v.p)) }
func (v countValue) Type() string   { return "number" }

// bytesValue is a size: plain bytes, or with the suffix KiB or MiB.
type bytesValue struct{ p *int }

// Bytes returns a flag that reads a size into p the way the server's own do:
// plain bytes, or with the suffix KiB or MiB. p holds the default.
func Bytes(p *int) pflag.Value { return bytesValue{p} }

func (v bytesValue) Set(s string) error {
	digits, unit := s, 1
	for suffix, size := range map[string]int{"KiB": 1 << 10, "MiB": 1 << 20} {
		if rest, ok := strings.CutSuffix(s, suffix); ok {
			digits, unit = strings.TrimSpace(rest), size
		}
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n > math.MaxInt32/unit || n < math.MinInt32/unit {
		return errors.New("want a number of bytes such as 4096, 64KiB or 2MiB")
	}
	*v.p = n * unit
	return nil
}
func (v bytesValue) String() string { return strconv.Itoa(deref(v.p)) }
func (v bytesValue) Type() string   { return "bytes" }

// rateValue is events a second.
type rateValue struct{ p *float64 }

func (v rateValue) Set(s string) error {
	r, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(r) || math.IsInf(r, 0) {
		return errors.New("want a number a second such as 3 or 0.5")
	}
	*v.p = r
	return nil
}
func (v rateValue) String() string { return strconv.FormatFloat(deref(v.p), 'g', -1, 64) }
func (v rateValue) Type() string   { return "rate" }

type durationValue struct{ p *time.Duration }

func (v durationValue) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil {
		return errors.New("want a time with its unit such as 100ms, 10s or 1m30s")
	}
	*v.p = d
	return nil
}
func (v durationValue) String() string { return deref(v.p).String() }
func (v durationValue) Type() string   { return "duration" }

// listValue is a list given by repetition, by commas, or both. The first Set
// replaces what was there (the default), the following ones add.
type listValue struct {
	p     *[]string
	begun *bool
}

func newList(p *[]string) listValue { return listValue{p: p, begun: new(bool)} }

func (v listValue) Set(s string) error {
	var items []string
	for _, item := range strings.Split(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	if len(items) == 0 && s != "" {
		return fmt.Errorf("want values separated by commas, got %q", s)
	}
	if !*v.begun {
		*v.p, *v.begun = nil, true
	}
	*v.p = append(*v.p, items...)
	return nil
}
func (v listValue) String() string {
	if v.p == nil {
		return ""
	}
	return strings.Join(*v.p, ",")
}
func (v listValue) Type() string { return "list" }

// deref makes String safe on the zero value, which pflag makes by reflection
// to learn what a default looks like.
func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

var (
	_ pflag.Value = textValue{}
	_ pflag.Value = offValue{}
	_ pflag.Value = boolValue{}
	_ pflag.Value = countValue{}
	_ pflag.Value = bytesValue{}
	_ pflag.Value = rateValue{}
	_ pflag.Value = durationValue{}
	_ pflag.Value = listValue{}
)
