package main

import (
	"math"
	"testing"
)

func TestQuantity(t *testing.T) {
	cases := []struct {
		v    float64
		unit string
		want string
	}{
		{0, "us", "0"},
		{1, "us", "1 µs"},
		{999.4, "ns", "999 ns"},
		{999.6, "ns", "1 µs"},
		{159_999, "us", "160 ms"},
		{1_234_567, "us", "1.23 s"},
		{600, "s", "10 min"},
		{1023, "bytes", "1023 B"},
		{1 << 20, "bytes", "1 MiB"},
		{48_200_000, "/s", "48.2 M/s"},
		{12, "faults", "12 faults"},
		{9_999, "", "9999"},
		{10_000, "", "10 k"},
		{0.0567, "×", "0.0567 ×"},
		{1.1, "×", "1.1 ×"},
		{0.5, "", "0.5"},
		{-3.14159, "%", "-3.14 %"},
		{math.NaN(), "", "–"},
	}
	for _, c := range cases {
		if got := quantity(c.v, c.unit); got != c.want {
			t.Errorf("%v %s: %q, want %q", c.v, c.unit, got, c.want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1\u202f000", -1234567: "−1\u202f234\u202f567"} {
		if got := grouped(n); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
}
