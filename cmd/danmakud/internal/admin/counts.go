package admin

import (
	"strconv"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// refusal is why a request was not looked at.
type refusal int

const (
	refusedNoKey refusal = iota
	refusedWrongKey
	refusedRole
	refusedAddress
	refusedHost
	refusedOrigin
	refusedBusy
	refusals // how many there are
)

var refusalNames = [refusals]string{"no_key", "wrong_key", "role", "address", "host", "origin", "busy"}

// counts are what the API tells Prometheus.
type counts struct {
	answers [6]atomic.Uint64 // by the first digit of the status
	refused [refusals]atomic.Uint64
	dropped atomic.Uint64 // batches that a live stream was too slow for
}

func (c *counts) refuse(why refusal) { c.refused[why].Add(1) }

// answer counts an answer; 0 is what net/http makes 200.
func (c *counts) answer(status int) {
	if status == 0 {
		status = 200
	}
	if class := status / 100; class < len(c.answers) {
		c.answers[class].Add(1)
	}
}

func (c *counts) register(a *API, registry prometheus.Registerer) {
	if registry == nil {
		return
	}
	counter := func(name, help string, labels prometheus.Labels, value func() float64) {
		registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels}, value))
	}
	gauge := func(name, help string, value func() float64) {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	for class := 2; class < len(c.answers); class++ {
		n := &c.answers[class]
		counter("danmakud_control_answers_total", "Answers of the control listener by the class of their status.",
			prometheus.Labels{"status": strconv.Itoa(class) + "xx"}, func() float64 { return float64(n.Load()) })
	}
	for why, name := range refusalNames {
		n := &c.refused[why]
		counter("danmakud_control_refused_total", "Requests to the control API that were not looked at.",
			prometheus.Labels{"reason": name}, func() float64 { return float64(n.Load()) })
	}
	counter("danmakud_control_stream_dropped_total", "Batches that live streams of the control API were too slow for.", nil,
		func() float64 { return float64(c.dropped.Load()) })
	counter("danmakud_control_replies_repeated_total", "Answers given again for an Idempotency-Key.", nil,
		func() float64 { _, given, _ := a.replies.tell(); return float64(given) })
	counter("danmakud_control_replies_evicted_total", "Answers for an Idempotency-Key forgotten before their time.", nil,
		func() float64 { _, _, evicted := a.replies.tell(); return float64(evicted) })
	gauge("danmakud_control_replies", "Answers kept for an Idempotency-Key, and requests under way with one.",
		func() float64 { kept, _, _ := a.replies.tell(); return float64(kept) })
	gauge("danmakud_control_requests", "Requests of the control API under way, streams apart.",
		func() float64 { return float64(a.requests.inside.Load()) })
	gauge("danmakud_control_streams", "Live streams, exports and profiles under way.",
		func() float64 { return float64(a.streams.inside.Load()) })
}
