package server

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

const deploy = "../../../../deploy/"

// promtool is Prometheus' own judge; "" where it is not installed.
func promtool(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("skipped: promtool is not installed")
	}
	return path
}

// everything switches on what has metrics of its own.
func everything(t *testing.T) func(*config.Config) {
	return func(c *config.Config) { c.Archive, c.DPlayer = t.TempDir(), true }
}

// TestMetricNames: names, types and units as Prometheus wants them.
func TestMetricNames(t *testing.T) {
	t.Parallel()
	s := start(t, everything(t))
	text := scrape(t, s)
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "danmakud_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	t.Run("promtool", func(t *testing.T) {
		check := exec.Command(promtool(t), "check", "metrics")
		check.Stdin = strings.NewReader(text)
		out, err := check.CombinedOutput()
		for line := range strings.Lines(string(out)) { // it exits with 3 for go_memstats_…, which is not ours
			if strings.HasPrefix(line, "danmakud_") {
				t.Error(line)
			}
		}
		if err != nil && len(out) == 0 {
			t.Error(err)
		}
	})
}

// TestDeployedNames: what the dashboard and the alerts ask for is there.
func TestDeployedNames(t *testing.T) {
	s := start(t, everything(t))
	text := scrape(t, s)
	exposed := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^([a-z_0-9]+)[{ ]`).FindAllStringSubmatch(text, -1) {
		exposed[m[1]] = true
	}
	for _, file := range []string{"grafana/danmakud.json", "prometheus/alerts.yml", "prometheus/alerts_test.yml"} {
		body, err := os.ReadFile(deploy + file)
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile(`\b(danmakud|go|process)_[a-z0-9_]+\b`).FindAllString(string(body), -1)
		if len(names) < 10 {
			t.Errorf("%s names %d metrics: the test shows nothing", file, len(names))
		}
		for _, name := range names {
			if strings.HasPrefix(name, "process_") && runtime.GOOS != "linux" {
				continue // not all of them are told elsewhere
			}
			if !exposed[name] {
				t.Errorf("%s asks for %s, which there is not", file, name)
			}
		}
	}
}

// TestGrafanaDashboard: it parses, every panel has a place of its own and asks
// for something, by the data source that is chosen.
func TestGrafanaDashboard(t *testing.T) {
	body, err := os.ReadFile(deploy + "grafana/danmakud.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		UID, Title string
		Panels     []struct {
			ID          int
			Type, Title string
			GridPos     struct{ X, Y, W, H int }
			Datasource  struct{ UID string }
			Targets     []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(body, &board); err != nil {
		t.Fatal(err)
	}
	if board.UID == "" || board.Title == "" || len(board.Panels) < 20 {
		t.Fatalf("%q %q with %d panels", board.UID, board.Title, len(board.Panels))
	}
	ids, taken := make(map[int]bool), make(map[[2]int]string)
	for _, p := range board.Panels {
		if ids[p.ID] {
			t.Errorf("%s: id %d twice", p.Title, p.ID)
		}
		ids[p.ID] = true
		g := p.GridPos
		if g.X+g.W > 24 || g.W < 1 || g.H < 1 {
			t.Errorf("%s lies at %+v", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("%s lies over %s", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if len(p.Targets) == 0 || p.Datasource.UID != "${datasource}" {
			t.Errorf("%s asks %q %d times", p.Title, p.Datasource.UID, len(p.Targets))
		}
		for _, target := range p.Targets {
			if !strings.Contains(target.Expr, `instance=~"$instance"`) {
				t.Errorf("%s: %s does not heed the choice of nodes", p.Title, target.Expr)
			}
		}
	}
}

func TestAlertRules(t *testing.T) {
	t.Parallel()
	tool := promtool(t)
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		check := exec.Command(tool, args...)
		check.Dir = deploy + "prometheus"
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestAlertsHaveTests: no rule without a case in which it fires.
func TestAlertsHaveTests(t *testing.T) {
	rules, err := os.ReadFile(deploy + "prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	cases, err := os.ReadFile(deploy + "prometheus/alerts_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`- alert: (\w+)`).FindAllSubmatch(rules, -1)
	if len(found) < 10 {
		t.Fatalf("%d rules", len(found))
	}
	for _, m := range found {
		if !bytes.Contains(cases, []byte("alertname: "+string(m[1])+"\n        exp_alerts:")) {
			t.Errorf("nothing shows that %s fires", m[1])
		}
	}
}

// TestStats: dashboards are told what Prometheus is told.
func TestStats(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *config.Config) { c.CommentRate, c.Loops = 0, 2 })
	a, b := join(t, s, "r"), join(t, s, "r")
	a.say(`{"type":"comment","text":"x"}`)
	a.expect("batch")
	b.expect("batch")
	a.say(`{"type":"nonsense"}`)
	a.expect("error")
	b.Close()
	eventually(t, s, `danmakud_closes_total{reason="peer_closed"} 1`)
	eventually(t, s, "danmakud_batch_comments_count 1")
	time.Sleep(statsEvery) // so that what was collected before is too old
	st := s.Stats()
	if st.Connections != 1 || st.Members != 1 || st.Rooms != 1 || st.Received != 1 || st.Delivered != 2 ||
		st.Frames != 2 || st.Batches != 1 || st.TickLag[1] != 1 || len(st.Loops) != 2 {
		t.Errorf("stats %+v", st)
	}
	if st.Closes["peer_closed"] != 1 || len(st.Closes) != 1 || st.Errors["bad_type"] != 1 || len(st.Rejected) != 0 {
		t.Errorf("closes %v, errors %v, rejected %v", st.Closes, st.Errors, st.Rejected)
	}
	if runtime.GOOS == "linux" && (st.RSS == 0 || st.OpenFiles == 0) {
		t.Errorf("the process: %+v", st)
	}
	busy := 0.0
	for _, l := range st.Loops {
		busy += l.Busy
	}
	if busy <= 0 || busy > time.Since(st.Started).Seconds()*2 {
		t.Errorf("loops were busy for %v s", busy)
	}
}

// TestStatsAreShared: however many dashboards ask, the loops are asked rarely.
func TestStatsAreShared(t *testing.T) {
	s := start(t, nil)
	began := time.Now()
	var mu sync.Mutex
	seen := make(map[time.Time]bool)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			at := s.Stats().At
			mu.Lock()
			defer mu.Unlock()
			seen[at] = true
		})
	}
	all.Wait()
	if most := 1 + int(time.Since(began)/statsEvery); len(seen) > most {
		t.Errorf("collected %d times for 50 that asked at once, want at most %d", len(seen), most)
	}
}
