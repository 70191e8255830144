package main

import (
	"strings"
	"testing"
)

func TestReadMetrics(t *testing.T) {
	t.Parallel()
	const before = `# HELP danmakud_closes_total x
# TYPE danmakud_closes_total counter
danmakud_closes_total{reason="peer"} 3
danmakud_closes_total{reason="too slow"} 4
danmakud_closes_totally 9
danmakud_write_calls_total 100
go_goroutines 14
`
	a, err := readMetrics(strings.NewReader(before))
	if err != nil {
		t.Fatal(err)
	}
	if got := a.sum("danmakud_closes_total"); got != 7 {
		t.Errorf("sum over labels %v, want 7", got)
	}
	if got := a.sum("go_goroutines"); got != 14 {
		t.Errorf("goroutines %v", got)
	}
	b, err := readMetrics(strings.NewReader(strings.ReplaceAll(before, "100", "1.5e+02")))
	if err != nil {
		t.Fatal(err)
	}
	if d := b.since(a); len(d) != 1 || d["danmakud_write_calls_total"] != 50 {
		t.Errorf("difference %v", d)
	}
	if _, err := readMetrics(strings.NewReader("name only\n")); err == nil {
		t.Error("a line without a number was accepted")
	}
}
