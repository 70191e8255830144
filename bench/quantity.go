package main

import (
	"math"
	"strconv"
	"strings"
)

// quantity writes a number with its unit the way people read it: three
// digits, a prefix, no exponent. Known units get prefixes of their own kind
// (bytes in powers of 1024, ns, us and s as times); others keep their name.
func quantity(v float64, unit string) string {
	switch unit {
	case "ns":
		return duration(v)
	case "us", "µs":
		return duration(v * 1e3)
	case "ms":
		return duration(v * 1e6)
	case "s":
		return duration(v * 1e9)
	case "bytes", "B":
		return byteSize(v)
	case "%":
		return digits(v) + " %"
	case "x", "×":
		return digits(v) + " ×"
	case "":
		return count(v)
	}
	if unit[0] == '/' {
		return count(v) + unit
	}
	return count(v) + " " + unit
}

// count is 950, 12.3 k, 48.2 M or 1.25 G.
func count(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return digits(v)
	}
	prefix := ""
	for _, p := range []string{" k", " M", " G", " T"} {
		if math.Abs(v) < 9999.5 && prefix == "" || math.Abs(v) < 999.5 {
			break
		}
		v /= 1000
		prefix = p
	}
	return digits(v) + prefix
}

// duration takes nanoseconds.
func duration(ns float64) string {
	switch a := math.Abs(ns); {
	case a == 0 || math.IsNaN(ns) || math.IsInf(ns, 0):
		return digits(ns)
	case a < 999.5:
		return digits(ns) + " ns"
	case a < 999.5e3:
		return digits(ns/1e3) + " µs"
	case a < 999.5e6:
		return digits(ns/1e6) + " ms"
	case a < 599.5e9:
		return digits(ns/1e9) + " s"
	}
	return digits(ns/60e9) + " min"
}

func byteSize(v float64) string {
	unit := "B"
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if math.Abs(v) < 1023.5 {
			break
		}
		v /= 1024
		unit = u
	}
	return digits(v) + " " + unit
}

// digits shows three significant digits, more if the whole part has more.
func digits(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case a == 0:
		return "0"
	case a >= 99.95:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 0.001:
		return trimZeros(strconv.FormatFloat(v, 'f', 2-int(math.Floor(math.Log10(a))), 64))
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

func trimZeros(s string) string {
	if strings.ContainsRune(s, '.') {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// grouped writes a whole number with thin spaces between thousands.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if s[0] == '-' {
		sign, s = "−", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return sign + s
}
