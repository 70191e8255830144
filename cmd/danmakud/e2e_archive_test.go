package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestArchiveSurvivesAKill: what was said half a second before a kill is kept, whole;
// the next process writes a file of its own, and a player gets both.
func TestArchiveSurvivesAKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	serve := func() *instance {
		return startServer(t, "--archive="+dir, "--dplayer", "--comment-rate=0", "--tick=10ms")
	}
	s := serve()
	v := s.join("Room")
	said := 0
	sayAndWait := func() {
		v.send(say(fmt.Sprint("comment ", said), "c"))
		v.until("ack")
		said++
	}
	for range 200 {
		sayAndWait()
	}
	s.awaitMetric("danmakud_archive_comments_total", 200)
	for range 50 { // some of these may get lost
		sayAndWait()
	}
	sure, likely := 200, said
	s.signal(syscall.SIGKILL)
	s.wait()

	s = serve()
	v = s.join("Room")
	for range 20 {
		sayAndWait()
	}
	s.awaitMetric("danmakud_archive_comments_total", 20)
	texts := replayed(t, s)
	if n := len(texts); n < sure+20 || n > likely+20 {
		t.Errorf("%d comments replayed, want %d to %d", n, sure+20, likely+20)
	}
	for i, text := range texts {
		want := i
		if i >= len(texts)-20 {
			want = likely + i - (len(texts) - 20)
		}
		if text != fmt.Sprint("comment ", want) {
			t.Fatalf("comment %d is %q, want that of number %d", i, text, want)
		}
	}
	from := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	for format, mark := range map[string]string{"ndjson": `"text":"comment `, "xml": ">comment "} {
		r, body := s.get(fmt.Sprintf("http://%s/v1/rooms/Room/export?format=%s&from=%s", s.control, format, from))
		if n := strings.Count(body, mark); r.StatusCode != 200 || n != len(texts) {
			t.Errorf("%s: %s: %d of %d comments exported", format, r.Status, n, len(texts))
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "%52oom", "*.ndjson"))
	if err != nil || len(files) != 2 {
		t.Fatalf("files %q, %v", files, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasSuffix(line, "\n") && !json.Valid([]byte(line)) {
				t.Errorf("%s: line %q", filepath.Base(f), line)
			}
		}
	}

	v.send(say("said last", "c")) // and at once it ends
	v.until("ack")
	s.signal(syscall.SIGTERM)
	v.closedWith(1012)
	v.conn.Close()
	if status := s.wait(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	files, _ = filepath.Glob(filepath.Join(dir, "%52oom", "*.ndjson"))
	text, err := os.ReadFile(files[len(files)-1])
	if err != nil || !strings.Contains(string(text), "said last") || !strings.HasSuffix(string(text), "}\n") {
		t.Errorf("%v: the end of the file is %q", err, text[max(0, len(text)-200):])
	}
}

// replayed is the texts a player gets of the room.
func replayed(t *testing.T, s *instance) (texts []string) {
	t.Helper()
	from := time.Now().Add(-time.Hour).UnixMilli()
	r, body := s.get(fmt.Sprintf("http://%s/dplayer/v3/?id=Room&max=5000&from=%d", s.public[0], from))
	var answer struct {
		Code int
		Data [][5]any
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || r.StatusCode != 200 || answer.Code != 0 {
		t.Fatalf("%s %v: %s", r.Status, err, body)
	}
	for _, d := range answer.Data {
		texts = append(texts, d[4].(string))
	}
	return texts
}
