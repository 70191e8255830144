package admin

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// AskEverything asks every route of an API over b, in an order in which they mean
// something, and checks the answers against the document.
func AskEverything(t *testing.T, b Backend) {
	a, closing := New(b, Options{}), New(b, Options{})
	closing.Close() // so that streams end at once
	s := readSpec(t, a, "")
	asks := map[string]bool{}
	do := func(want int, method, path, body string) (answer map[string]any) {
		t.Helper()
		to := a
		if strings.HasSuffix(path, "/stream") {
			to = closing
		}
		w := ask(t, to, asked{method: method, path: path, body: body})
		bare, _, _ := strings.Cut(path, "?")
		rt := routeOf(a, method, bare)
		asks[rt.method+" "+rt.path] = true
		if w.Code != want {
			t.Errorf("%s %s: %d, want %d: %.300s", method, path, w.Code, want, w.Body)
		}
		s.conforms(t, rt, w)
		if w.Header().Get("Content-Type") == "application/json" {
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
				t.Errorf("%s %s: %v", method, path, err)
			}
		}
		return answer
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/openapi.json", "/v1/stats", "/v1/configuration"} {
		do(200, http.MethodGet, path, "")
	}
	askToPublish(t, do)
	askAboutPeople(t, do)
	do(200, "PUT", "/v1/words/bad", `{"action":"hold","words":["spam","eggs"]}`)
	if l := do(200, "GET", "/v1/words/bad", ""); len(l["words"].([]any)) != 2 {
		t.Errorf("the list has %v", l)
	}
	if l := do(200, "GET", "/v1/words", ""); len(l["lists"].([]any)) != 1 {
		t.Errorf("the lists are %v", l)
	}
	do(204, "DELETE", "/v1/words/bad", "")
	do(404, "GET", "/v1/words/bad", "")
	do(200, "GET", "/v1/held", "")
	do(404, "POST", "/v1/held/none", `{"publish":false}`)
	if l := do(200, "GET", "/v1/audit", ""); len(l["events"].([]any)) < 6 {
		t.Errorf("the audit log has %v", l)
	}
	export := asked{method: "GET", path: "/v1/rooms/r1/export?format=ndjson"}
	for deadline := time.Now().Add(20 * time.Second); ask(t, a, export).Code == 404 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond) // archived when a second is full
	}
	do(200, "GET", export.path, "")
	askLikeGoim(t, do)
	do(200, "PATCH", "/v1/configuration", `{"values":{"tick":"150ms"}}`)
	do(400, "PATCH", "/v1/configuration", `{"values":{"loops":"7"}}`)
	do(400, "POST", "/v1/configuration/reload", "")
	do(202, "POST", "/v1/drain", "")
	for _, rt := range a.routes {
		if !rt.hidden && !asks[rt.method+" "+rt.path] {
			t.Errorf("%s %s was not asked", rt.method, rt.path)
		}
	}
}

// asker asks a route and returns what it answers.
type asker func(want int, method, path, body string) map[string]any

func askToPublish(t *testing.T, do asker) {
	id := do(200, "POST", "/v1/rooms/r1/comments", `{"text":"666","user":"u1"}`)["id"].(string)
	do(200, "POST", "/v1/comments", `{"rooms":["r1","r2"],"comments":[{"text":"a"},{"text":"b","kind":"system"}]}`)
	if all := do(200, "POST", "/v1/comments", `{"all":true,"comments":[{"text":"c"}]}`); len(all["published"].([]any)) != 2 {
		t.Errorf("to all: %v", all)
	}
	do(200, "POST", "/v1/rooms/r1/announcement", `{"text":"soon"}`)
	do(200, "POST", "/v1/rooms/r1/gift", `{"user":"u1","gift":"rocket","num":2}`)
	do(200, "POST", "/v1/rooms/r1/superchat", `{"user":"u1","text":"hi","price":30,"duration_s":60}`)
	if rooms := do(200, "GET", "/v1/rooms?limit=1", ""); rooms["total"] != 2.0 || rooms["next"] != "r1" {
		t.Errorf("rooms are %v", rooms)
	}
	do(200, "GET", "/v1/rooms/r1", "")
	do(404, "GET", "/v1/rooms/none", "")
	do(200, "GET", "/v1/rooms/r1/history?limit=10", "")
	do(200, "GET", "/v1/online", "")
	do(200, "GET", "/v1/online?room=r1&room=none", "")
	do(200, "GET", "/v1/rooms/r1/stream", "")
	do(204, "DELETE", "/v1/rooms/r1/comments/"+id, "")
	do(404, "DELETE", "/v1/rooms/r1/comments/zzzzzzzz", "")
	if set := do(200, "PATCH", "/v1/rooms/r1/settings", `{"closed":true,"slow_mode_ms":1000}`); set["closed"] != true {
		t.Errorf("settings are %v", set)
	}
	if set := do(200, "GET", "/v1/rooms/r1/settings", ""); set["slow_mode_ms"] != 1000.0 {
		t.Errorf("settings are %v", set)
	}
	do(204, "POST", "/v1/rooms/r1/clear", "")
}

func askLikeGoim(t *testing.T, do asker) {
	for path, code := range map[string]float64{
		"/goim/push/keys?operation=1000&keys=a,b": 0, "/goim/push/mids?operation=1000&mids=7": 0, "/goim/push/all?operation=1000": 0,
		"/goim/push/room?operation=1000&type=live&room=7": 0, "/goim/push/room?operation=1": -400,
	} {
		if a := do(200, "POST", path, "any bytes"); a["code"] != code {
			t.Errorf("%s: %v", path, a)
		}
	}
	do(200, "GET", "/goim/online/top?limit=3", "")
	do(200, "GET", "/goim/online/room?type=live&rooms=7", "")
	if total := do(200, "GET", "/goim/online/total", ""); total["data"].(map[string]any)["conn_count"] != 0.0 {
		t.Errorf("viewers are %v", total)
	}
}

func askAboutPeople(t *testing.T, do asker) {
	do(200, "GET", "/v1/viewers?user=u1", "")
	do(200, "POST", "/v1/kick", `{"user":"u1","reason":"enough"}`)
	id := do(201, "POST", "/v1/sanctions", `{"kind":"mute","user":"u1","seconds":60}`)["id"].(string)
	do(201, "POST", "/v1/sanctions", `{"kind":"ban","address":"192.0.2.0/24","room":"r1"}`)
	if l := do(200, "GET", "/v1/sanctions", ""); len(l["sanctions"].([]any)) != 2 {
		t.Errorf("sanctions are %v", l)
	}
	do(204, "DELETE", "/v1/sanctions/"+id, "")
	do(404, "DELETE", "/v1/sanctions/"+id, "")
	do(200, "POST", "/v1/tokens/revoke", `{"user":"u1"}`)
}
