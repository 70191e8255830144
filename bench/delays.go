package main

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const longestDelay = int64(60 * time.Second / time.Microsecond)

// newDelays is an empty histogram of 1 µs to 60 s in microseconds.
func newDelays() *hdrhistogram.Histogram { return hdrhistogram.New(1, longestDelay, 3) }

// newRoughDelays is a smaller one for the live line and the series.
func newRoughDelays() *hdrhistogram.Histogram { return hdrhistogram.New(1, longestDelay, 2) }

// record adds a delay; what lies outside counts as the nearest bound.
func record(h *hdrhistogram.Histogram, micros int64) {
	_ = h.RecordValue(min(max(micros, 1), longestDelay)) // cannot fail within the bounds
}

// encodeDelays packs a histogram for the way to the parent; nil for an empty one.
func encodeDelays(h *hdrhistogram.Histogram) ([]byte, error) {
	if h == nil || h.TotalCount() == 0 {
		return nil, nil
	}
	return h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
}

// mergeDelays adds an encoded histogram to h.
func mergeDelays(h *hdrhistogram.Histogram, encoded []byte) error {
	if len(encoded) == 0 {
		return nil
	}
	from, err := hdrhistogram.Decode(encoded)
	if err != nil {
		return fmt.Errorf("histogram of a worker: %w", err)
	}
	h.Merge(from)
	return nil
}
