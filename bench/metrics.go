package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// metrics are the samples of one scrape, by name with labels as exposed.
type metrics map[string]float64

// scrape reads /metrics of a control listener. An empty address gives nil.
func scrape(control string) (metrics, error) {
	if control == "" {
		return nil, nil
	}
	// Its own transport: no connection is left behind in the server's counts.
	c := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := c.Get("http://" + control + "/metrics")
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("/metrics answers %s", r.Status)
	}
	return readMetrics(r.Body)
}

// readMetrics reads the text format of Prometheus as far as it is needed:
// name{labels} value.
func readMetrics(r io.Reader) (metrics, error) {
	m := metrics{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		if at < 0 {
			return nil, fmt.Errorf("metrics: %q", line)
		}
		v, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("metrics: %q: %w", line, err)
		}
		m[line[:at]] = v
	}
	return m, lines.Err()
}

// sum adds up a metric over all its labels.
func (m metrics) sum(name string) float64 {
	total := m[name]
	for k, v := range m {
		if len(k) > len(name) && k[len(name)] == '{' && strings.HasPrefix(k, name) {
			total += v
		}
	}
	return total
}

// since is what the counters of the server counted between two scrapes,
// histograms' buckets left out.
func (m metrics) since(before metrics) map[string]int64 {
	d := map[string]int64{}
	for k, v := range m {
		name, _, _ := strings.Cut(k, "{")
		if !strings.HasPrefix(name, "danmakud_") || !strings.HasSuffix(name, "_total") {
			continue
		}
		if n := int64(v - before[k]); n != 0 {
			d[k] = n
		}
	}
	return d
}
