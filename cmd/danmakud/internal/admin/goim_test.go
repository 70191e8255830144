package admin

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/danmakud/danmakud/room"
)

// TestGoim: each request does what goim's would, and is answered in goim's way.
func TestGoim(t *testing.T) {
	const sent = "{\"a\":1}"
	for _, tc := range []struct {
		method, path, body string
		code               int
		done               string // last thing the backend did; "" = nothing
	}{
		{"POST", "/goim/push/keys?operation=1000&keys=a,b&keys=c", sent, 0, `push {[a b c] [] false} 1000 "{\"a\":1}"`},
		{"POST", "/goim/push/mids?operation=1001&mids=1,2", sent, 0, `push {[] [1 2] false} 1001 "{\"a\":1}"`},
		{"POST", "/goim/push/all?operation=2147483647&speed=5", "\x00", 0, `push {[] [] true} 2147483647 "\x00"`},
		{"POST", "/goim/push/room?operation=1000&type=live&room=1000", sent, 0, "publish 1000 by goim"},
		{"POST", "/goim/push/room?operation=1000&type=video&room=7", sent, 0, "publish video:7 by goim"},
		{"POST", "/goim/push/room?operation=1000&room=7", sent, 0, "publish :7 by goim"},
		{"POST", "/goim/push/room?operation=1000&type=live", sent, -400, ""},
		{"POST", "/goim/push/keys?operation=1000", sent, -400, ""},
		{"POST", "/goim/push/mids?operation=1000&mids=x", sent, -400, ""},
		{"POST", "/goim/push/all", sent, -400, ""},
		{"POST", "/goim/push/all?operation=999", sent, -400, ""},
		{"POST", "/goim/push/all?operation=2147483648", sent, -400, ""},
		{"POST", "/goim/push/all?operation=1000&%zz", sent, -400, ""},
		{"POST", "/goim/push/all?operation=1000", strings.Repeat("x", pushBodyMax+1), -400, ""},
		{"GET", "/goim/online/top?limit=0", "", -400, ""},
		{"GET", "/goim/online/room?type=live", "", -400, ""},
	} {
		b := newFake()
		w := ask(t, testAPI(b, Options{}), asked{method: tc.method, path: tc.path, body: tc.body})
		var answer struct{ Code int }
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 200 || answer.Code != tc.code {
			t.Errorf("%s answers %d %s, want code %d", tc.path, w.Code, w.Body, tc.code)
		}
		if last := append([]string{""}, b.done...)[len(b.done)]; last != tc.done {
			t.Errorf("%s did %q, want %q", tc.path, last, tc.done)
		}
	}
}

func TestGoimRoomPushIsData(t *testing.T) {
	b := newFake()
	a := testAPI(b, Options{})
	for _, body := range []string{"你好", "\xff\x00"} {
		ask(t, a, asked{method: "POST", path: "/goim/push/room?operation=1234&type=live&room=1", body: body})
	}
	got := b.comments["1"]
	if len(got) != 2 || got[0].Kind != room.KindData || got[0].Op != 1234 || got[0].Text != "你好" || got[0].Data != "" || got[1].Text != "" || got[1].Data != "\xff\x00" {
		t.Errorf("published %+v", got)
	}
	b.err = ErrBusy
	w := ask(t, a, asked{method: "POST", path: "/goim/push/room?operation=1234&type=live&room=1", body: "x"})
	if !strings.Contains(w.Body.String(), `"code":-500`) {
		t.Errorf("busy: %s", w.Body)
	}
	b.err = errors.New("no")
	if w := ask(t, a, asked{method: "POST", path: "/goim/push/all?operation=1234"}); !strings.Contains(w.Body.String(), `"code":-500`) {
		t.Errorf("an error: %s", w.Body)
	}
}

func TestGoimOnline(t *testing.T) {
	a := testAPI(newFake(), Options{})
	w := ask(t, a, asked{method: "GET", path: "/goim/online/room?type=live&rooms=r1,none"})
	var counts struct{ Data map[string]int }
	if err := json.Unmarshal(w.Body.Bytes(), &counts); err != nil || len(counts.Data) != 2 || counts.Data["none"] != 0 {
		t.Errorf("rooms: %s", w.Body)
	}
	w = ask(t, a, asked{method: "GET", path: "/goim/online/top?limit=1"})
	var top struct {
		Data []struct {
			RoomID string `json:"room_id"`
			Count  int
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &top); err != nil || len(top.Data) != 1 || top.Data[0].RoomID == "" {
		t.Errorf("top: %s", w.Body)
	}
	if w = ask(t, a, asked{method: "GET", path: "/goim/online/total"}); !strings.Contains(w.Body.String(), `"conn_count":`) {
		t.Errorf("total: %s", w.Body)
	}
}

// TestGoimNeedsKeys: the roles are those of the rest of the API.
func TestGoimNeedsKeys(t *testing.T) {
	b := newFake()
	a := testAPI(b, Options{Keys: testKeys()})
	push := asked{method: "POST", path: "/goim/push/all?operation=1000"}
	for key, want := range map[string]int{"": 401, "reader-key": 403, "publisher-key": 200} {
		push.key = key
		if w := ask(t, a, push); w.Code != want {
			t.Errorf("key %q: %d, want %d", key, w.Code, want)
		}
	}
	if len(b.done) != 1 {
		t.Errorf("done %q", b.done)
	}
}
