package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestGeneratedPlan: what docs/scale.md shows is what the command prints.
func TestGeneratedPlan(t *testing.T) {
	const path = repository + "/docs/scale.md"
	const head = "$ danmakud plan --viewers 5000000 --rate 1000\n"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), head)
	old, after, ends := strings.Cut(rest, "```\n")
	if !ok || !ends {
		t.Fatalf("%s has no example that begins with %q", path, head)
	}
	tr := newTrial(t, nil, "plan", "--viewers", "5000000", "--rate", "1000")
	if status := tr.run(); status != exitOK {
		t.Fatalf("exit status %d: %s", status, tr.stderrText())
	}
	var lines []string // tables pad their last column
	for line := range strings.Lines(tr.out.String()) {
		lines = append(lines, strings.TrimRight(line, " \n")+"\n")
	}
	now := strings.Join(lines, "")
	if *update {
		if err := os.WriteFile(path, []byte(before+head+now+"```\n"+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if old != now {
		t.Errorf("docs/scale.md has another plan than the command prints (make generate):\n%s", now)
	}
}

func TestPlanCommand(t *testing.T) {
	tr := newTrial(t, nil, "plan", "--viewers=300", "--rate=50", "--nodes=3", "--tick=200ms", "--cpu-per-frame=20", "--json")
	if status := tr.run(); status != exitOK {
		t.Fatalf("exit status %d: %s", status, tr.stderrText())
	}
	var made struct {
		Nodes int `json:"nodes"`
		Batch struct {
			CPU float64 `json:"cpu_us"`
		} `json:"batch"`
		Total struct {
			Frames float64 `json:"frames_per_s"`
		} `json:"total"`
	}
	if err := json.Unmarshal(tr.out.Bytes(), &made); err != nil || made.Nodes != 3 || made.Batch.CPU < 19.99 || made.Batch.CPU > 20.01 || made.Total.Frames < 1490 || made.Total.Frames > 1500 {
		t.Errorf("%v: %s", err, tr.out.String())
	}
	for _, args := range [][]string{{"--viewers=0"}, {"--tick=0"}, {"--host-gbit=0"}, {"--compression-ratio=0.5"}, {"--message-bytes=-1"}} {
		tr := newTrial(t, nil, append([]string{"plan"}, args...)...)
		if status := tr.run(); status != exitFailed || !strings.Contains(tr.stderrText(), args[0][:5]) {
			t.Errorf("%q: exit status %d, %q", args, status, tr.stderrText())
		}
	}
}
