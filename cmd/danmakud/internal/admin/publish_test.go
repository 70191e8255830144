package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/danmakud/danmakud/room"
)

// TestPublishedComments: what becomes of the fields of a body.
func TestPublishedComments(t *testing.T) {
	white := uint32(room.ColorDefault)
	for _, tc := range []struct {
		path, body string
		want       []room.Comment
	}{
		{"comments", `{"text":" hi "}`, []room.Comment{{User: "system", Role: room.RoleViewer, Text: "hi", Color: white}}},
		{"comments", `{"text":"a","color":0,"mode":"reverse","size":"small","user":"u","name":"N","role":"guest"}`,
			[]room.Comment{{User: "u", Name: "N", Text: "a", Mode: room.ModeReverse, Size: room.SizeSmall}}},
		{"comments", `{"comments":[{"text":"a","kind":"system"},{"kind":"gift","gift":"g","user":"u"},{"text":"s","kind":"superchat","duration_s":9,"price":3}]}`, []room.Comment{
			{User: "system", Role: room.RoleAdmin, Text: "a", Kind: room.KindSystem, Color: white},
			{User: "u", Role: room.RoleViewer, Kind: room.KindGift, Gift: "g", Num: 1, Color: white},
			{User: "system", Role: room.RoleViewer, Text: "s", Kind: room.KindSuperchat, Duration: 9 * time.Second, Price: 3, Color: white}}},
		{"comments", `{"comments":[{"text":"a","priority":"high"},{"text":"b","priority":"normal"},{"text":"c","priority":"low"},{"text":"d","kind":"system","priority":"high"}]}`, []room.Comment{
			{User: "system", Role: room.RoleViewer, Text: "a", Priority: room.PriorityHigh, Color: white},
			{User: "system", Role: room.RoleViewer, Text: "b", Color: white},
			{User: "system", Role: room.RoleViewer, Text: "c", Priority: room.PriorityLow, Color: white},
			{User: "system", Role: room.RoleAdmin, Text: "d", Kind: room.KindSystem, Priority: room.PriorityHigh, Color: white}}},
		{"announcement", `{"text":"a","color":255}`, []room.Comment{{User: "system", Role: room.RoleAdmin, Text: "a", Kind: room.KindAnnouncement, Color: 255}}},
		{"gift", `{"user":"u","gift":"g","num":3,"price":9007199254740991}`,
			[]room.Comment{{User: "u", Role: room.RoleViewer, Kind: room.KindGift, Gift: "g", Num: 3, Price: 1<<53 - 1, Color: white}}},
		{"superchat", `{"user":"u","text":"s","duration_s":86400,"price":0}`,
			[]room.Comment{{User: "u", Role: room.RoleViewer, Text: "s", Kind: room.KindSuperchat, Duration: 24 * time.Hour, Color: white}}},
	} {
		b := newFake()
		w := ask(t, testAPI(b, Options{}), asked{method: "POST", path: "/v1/rooms/r9/" + tc.path, body: tc.body})
		if w.Code != 200 || !reflect.DeepEqual(b.comments["r9"], tc.want) {
			t.Errorf("%s: %d %s\n%+v, want\n%+v", tc.body, w.Code, w.Body, b.comments["r9"], tc.want)
		}
		var answer publishedIDs
		if json.Unmarshal(w.Body.Bytes(), &answer); len(answer.IDs) != len(tc.want) || (answer.ID != "") != !strings.Contains(tc.body, `"comments"`) {
			t.Errorf("%s: answer %s", tc.body, w.Body)
		}
	}
}

// TestRefusedBodies: what is wrong is named, and nothing is done.
func TestRefusedBodies(t *testing.T) {
	long := strings.Repeat("字", 1001)
	for _, tc := range []struct{ method, path, body, field, detail string }{
		{"POST", "/v1/rooms/r1/comments", `{"colour":1,"text":"a"}`, "colour", "is no field here"},
		{"POST", "/v1/rooms/r1/comments", `{"Text":"a"}`, "Text", "is no field here"},
		{"POST", "/v1/rooms/r1/comments", `{"text":"a","text":"b"}`, "text", "stands twice"},
		{"POST", "/v1/rooms/r1/comments", `{"text":"a"} 1`, "", "at byte 14"},
		{"POST", "/v1/rooms/r1/comments", `{"text":1}`, "text", "want a string, got a whole number"},
		{"POST", "/v1/rooms/r1/comments", `{"text":null}`, "text", "want a string, got null"},
		{"POST", "/v1/rooms/r1/comments", `{"text":"  "}`, "text", "say something"},
		{"POST", "/v1/rooms/r1/comments", `{"text":"a\u0007"}`, "text", "control characters"},
		{"POST", "/v1/rooms/r1/comments", `{"text":"` + long + `"}`, "text", "of at most 1000 characters, got 1001"},
		{"POST", "/v1/rooms/r1/comments", `{"text":"a","color":16777216}`, "color", "0 to 16777215"},
		{"POST", "/v1/rooms/r1/comments", `{"text":"a","color":1.0}`, "color", "whole number"},
		{"POST", "/v1/rooms/r1/comments", `{"text":"a","color":1e99999}`, "color", "whole number"},
		{"POST", "/v1/rooms/r1/comments", `{"text":"a","kind":"retract"}`, "kind", "one of chat, system"},
		{"POST", "/v1/rooms/r1/comments", `{"text":"a","user":"~1a"}`, "user", "those of guests"},
		{"POST", "/v1/rooms/r1/comments", `{"text":"a","user":""}`, "user", "1 to 128 characters"},
		{"POST", "/v1/rooms/r1/comments", `{"text":"a","role":"king"}`, "role", "one of guest"},
		{"POST", "/v1/rooms/r1/comments", `{"text":"a","gift":"g"}`, "gift", "is of kind gift only"},
		{"POST", "/v1/rooms/r1/comments", `{"text":"a","priority":"urgent"}`, "priority", "one of low, normal, high"},
		{"POST", "/v1/rooms/r1/comments", `{"text":"a","kind":"system","priority":"low"}`, "priority", "is high for all kinds but chat"},
		{"POST", "/v1/rooms/r1/comments", `{"text":"a","num":2}`, "num", "is of kind gift only"},
		{"POST", "/v1/rooms/r1/comments", `{"text":"a","price":2}`, "price", "gift and superchat only"},
		{"POST", "/v1/rooms/r1/comments", `{"text":"a","duration_s":2}`, "duration_s", "of kind superchat only"},
		{"POST", "/v1/rooms/r1/comments", `{"text":"a","kind":"superchat"}`, "duration_s", "is missing"},
		{"POST", "/v1/rooms/r1/comments", `{"kind":"gift"}`, "gift", "is missing"},
		{"POST", "/v1/rooms/r1/comments", `{"comments":[]}`, "comments", "1 to 1000 elements, got 0"},
		{"POST", "/v1/rooms/r1/comments", `{"comments":[{"text":"a"},{"text":""}]}`, "comments[1].text", "say something"},
		{"POST", "/v1/rooms/r1/comments", `{"comments":[{"text":"a"},{"txet":""}]}`, "comments[1].txet", "is no field here"},
		{"POST", "/v1/rooms/r1/comments", `{"comments":[{"text":"a"}],"text":"b"}`, "text", "is no field here"},
		{"POST", "/v1/rooms/" + strings.Repeat("r", 65) + "/comments", `{"text":"a"}`, "room", "1 to 64"},
		{"POST", "/v1/rooms/r%20/comments", `{"text":"a"}`, "room", "1 to 64"},
		{"POST", "/v1/comments", `{"comments":[{"text":"a"}]}`, "rooms", "either rooms or"},
		{"POST", "/v1/comments", `{"comments":[{"text":"a"}],"rooms":["r1"],"all":true}`, "rooms", "either rooms or"},
		{"POST", "/v1/comments", `{"comments":[{"text":"a"}],"rooms":["r 1"]}`, "rooms[0]", "1 to 64"},
		{"POST", "/v1/comments", `{"comments":[` + strings.Repeat(`{"text":"a"},`, 100) + `{"text":"a"}],"rooms":[` + strings.Repeat(`"r1",`, 99) + `"r2"]}`, "comments", "more than 10000"},
		{"POST", "/v1/rooms/r1/superchat", `{"user":"u","text":"a","price":1}`, "duration_s", "is missing"},
		{"POST", "/v1/rooms/r1/superchat", `{"user":"u","text":"a","price":-1,"duration_s":1}`, "price", "0 to"},
		{"POST", "/v1/rooms/r1/clear", `{}`, "", "takes no body"},
		{"PATCH", "/v1/rooms/r1/settings", `{"slow_mode_ms":-1}`, "slow_mode_ms", "0 to 86400000"},
		{"PATCH", "/v1/rooms/r1/settings", `{"closed":"yes"}`, "closed", "want true or false"},
		{"POST", "/v1/kick", `{"user":"u","room":"*"}`, "room", "1 to 64"},
		{"POST", "/v1/sanctions", `{"kind":"mute"}`, "user", "either user or address"},
		{"POST", "/v1/sanctions", `{"kind":"mute","user":"u","address":"::1"}`, "user", "either user or address"},
		{"POST", "/v1/sanctions", `{"kind":"mute","address":"example.org"}`, "address", "want an address"},
		{"POST", "/v1/sanctions", `{"kind":"mute","address":"fe80::1%eth0"}`, "address", "want an address"},
		{"POST", "/v1/sanctions", `{"kind":"mute","user":"u","seconds":1,"until":"2099-01-01T00:00:00Z"}`, "until", "either until or seconds"},
		{"POST", "/v1/sanctions", `{"kind":"mute","user":"u","until":"2001-01-01T00:00:00Z"}`, "until", "over already"},
		{"POST", "/v1/sanctions", `{"kind":"mute","user":"u","until":"9001-01-01T00:00:00Z"}`, "until", "too far off"},
		{"POST", "/v1/sanctions", `{"kind":"mute","user":"u","until":"tomorrow"}`, "until", "want a time such as"},
		{"POST", "/v1/sanctions", `{"kind":"hang","user":"u"}`, "kind", "one of mute, ban, shadow"},
		{"POST", "/v1/tokens/revoke", `{}`, "token_id", "either token_id or user"},
		{"PUT", "/v1/words/.x", `{"action":"mask","words":["a"]}`, "list", "not beginning with a dot"},
		{"PUT", "/v1/words/x", `{"action":"mask"}`, "words", "is missing"},
		{"PATCH", "/v1/configuration", `{"values":{}}`, "values", "has no settings"},
		{"PATCH", "/v1/configuration", `{"values":{"tick":1}}`, "values.tick", "want a string"},
		{"PATCH", "/v1/configuration", `{"values":{"loops":"1"}}`, "", "cannot change while"},
		{"GET", "/v1/rooms?limit=0", "", "limit", "1 to 1000"}, {"GET", "/v1/rooms?limit=x", "", "limit", "whole number"},
		{"GET", "/v1/rooms?limit=1&limit=2", "", "limit", "stands twice"}, {"GET", "/v1/rooms?after=%00", "", "after", "1 to 64"},
		{"GET", "/v1/viewers", "", "user", "is missing"}, {"GET", "/v1/rooms/r1/export", "", "format", "is missing"},
		{"GET", "/v1/rooms/r1/export?format=pdf", "", "format", "one of xml, ass, ndjson"},
		{"GET", "/v1/rooms/r1/export?format=xml&from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "", "to", "before from"},
	} {
		b := newFake()
		w := ask(t, testAPI(b, Options{}), asked{method: tc.method, path: tc.path, body: tc.body})
		var p problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 400 || p.Field != tc.field || !strings.Contains(p.Detail, tc.detail) {
			t.Errorf("%s %.100s: %d %.300s; want %s: …%s…", tc.path, tc.body, w.Code, w.Body, tc.field, tc.detail)
		}
		if done := b.deeds(); len(done) > 0 {
			t.Errorf("%s %.100s: refused, and yet did %q", tc.path, tc.body, done)
		}
	}
}

// TestOnce: the same key and body is done once, and the answer is the same.
func TestOnce(t *testing.T) {
	now := time.Unix(1e9, 0)
	b := newFake()
	keys := testKeys()
	a := testAPI(b, Options{Keys: keys, Now: func() time.Time { return now }})
	publish := func(who, room, key, text string) (int, string, bool) {
		w := ask(t, a, asked{method: "POST", path: "/v1/rooms/" + room + "/comments", key: who + "-key", body: `{"text":"` + text + `"}`,
			header: http.Header{"Idempotency-Key": {key}}})
		return w.Code, w.Body.String(), w.Header().Get("Idempotent-Replayed") != ""
	}
	code, first, again := publish("publisher", "r1", "k", "a")
	if code != 200 || again {
		t.Fatalf("%d %s %v", code, first, again)
	}
	if code, body, again := publish("publisher", "r1", "k", "a"); code != 200 || body != first || !again || len(b.deeds()) != 1 {
		t.Errorf("again: %d %s %v, done %q", code, body, again, b.deeds())
	}
	for i, tc := range []struct{ who, room, key, text string }{{"admin", "r1", "k", "a"}, {"publisher", "r2", "k", "a"}, {"publisher", "r1", "k2", "b"}} {
		if code, body, again := publish(tc.who, tc.room, tc.key, tc.text); code != 200 || again || len(b.deeds()) != 2+i {
			t.Errorf("%v is another request: %d %s %v", tc, code, body, again)
		}
	}
	if code, _, _ := publish("publisher", "r1", "k", "b"); code != 422 {
		t.Errorf("another body: %d", code)
	}
	now = now.Add(repliesKept + time.Second)
	if code, _, again := publish("publisher", "r1", "k", "b"); code != 200 || again {
		t.Errorf("after its time: %d %v", code, again)
	}
	if kept, given, _ := a.replies.tell(); kept != 1 || given != 1 {
		t.Errorf("%d are kept, %d given again", kept, given)
	}
	for _, key := range []string{"", "a\x01", strings.Repeat("k", 256), "é"} {
		if code, body, _ := publish("publisher", "r1", key, "a"); code != 400 {
			t.Errorf("key %q: %d %s", key, code, body)
		}
	}
}

// TestOnceAfterFailures: a request without effect may be tried again under its key;
// one that published a part may not, and is told the part.
func TestOnceAfterFailures(t *testing.T) {
	b := newFake()
	a := testAPI(b, Options{})
	body := `{"comments":[{"text":"a"},{"text":"b"},{"text":"c"}]}`
	q := asked{method: "POST", path: "/v1/rooms/r1/comments", body: body, header: http.Header{"Idempotency-Key": {"k"}}}
	b.err = ErrBusy
	if w := ask(t, a, q); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	b.room = 2
	w := ask(t, a, q)
	var p problem
	if json.Unmarshal(w.Body.Bytes(), &p); w.Code != 503 || len(p.Published) != 2 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	b.err = nil
	if again := ask(t, a, q); again.Code != 503 || again.Body.String() != w.Body.String() || len(b.comments["r1"]) != 2 {
		t.Errorf("%d %s, %d comments", again.Code, again.Body, len(b.comments["r1"]))
	}
	// A fault frees the key, too.
	q.header = http.Header{"Idempotency-Key": {"k2"}}
	b.fault = true
	if w := ask(t, a, q); w.Code != 500 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	b.fault = false
	if w := ask(t, a, q); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestRepliesAreBounded: the oldest go when there are too many, by number and bytes.
func TestRepliesAreBounded(t *testing.T) {
	s := newReplies(time.Now)
	add := func(key string, size int) {
		if before, p := s.begin(key, [32]byte{}); before != nil || p != nil {
			t.Fatalf("%s: %v %v", key, before, p)
		}
		s.end(key, reply{200, http.Header{}, make([]byte, size)}, true)
	}
	for i := range repliesMax + 100 {
		add(fmt.Sprint("k", i), 1)
	}
	if kept, _, evicted := s.tell(); kept != repliesMax || evicted != 100 {
		t.Errorf("%d kept, %d evicted", kept, evicted)
	}
	add("large", repliesSize-10)
	if kept, _, _ := s.tell(); kept > 3 || s.bytes > repliesSize || len(s.byKey) != kept {
		t.Errorf("%d kept with %d bytes", kept, s.bytes)
	}
	if before, p := s.begin("large", [32]byte{}); before == nil || p != nil {
		t.Errorf("the newest has gone: %v", p)
	}
}

func TestSettingsPatchKeepsTheRest(t *testing.T) {
	b := newFake()
	b.rooms["r1"] = room.Settings{SlowMode: 7, MinRole: room.RoleVIP, MaxViewers: 9}
	w := ask(t, testAPI(b, Options{}), asked{method: "PATCH", path: "/v1/rooms/r1/settings", body: `{"closed":true,"max_viewers":0}`})
	if want := (room.Settings{Closed: true, SlowMode: 7, MinRole: room.RoleVIP}); w.Code != 200 || b.rooms["r1"] != want {
		t.Errorf("%d %s: %+v, want %+v", w.Code, w.Body, b.rooms["r1"], want)
	}
}

func TestSanctionsAreBroughtIntoForm(t *testing.T) {
	now := time.Unix(1e9, 0)
	b := newFake()
	a := testAPI(b, Options{Keys: testKeys(), Now: func() time.Time { return now }})
	for body, want := range map[string]struct {
		address string
		until   time.Time
	}{
		`{"kind":"ban","address":"::ffff:192.0.2.7","seconds":60}`:                         {"192.0.2.7", now.Add(time.Minute)},
		`{"kind":"ban","address":"192.0.2.7/24"}`:                                          {"192.0.2.0/24", time.Time{}},
		`{"kind":"shadow","address":"2001:DB8::1/64","until":"2002-01-01T00:00:00+00:00"}`: {"2001:db8::/64", time.Date(2002, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		w := ask(t, a, asked{method: "POST", path: "/v1/sanctions", body: body, key: "moderator-key"})
		s := b.sanctions[len(b.sanctions)-1]
		if w.Code != 201 || s.Address != want.address || !s.Until.Equal(want.until) || s.By != "moderator" || w.Header().Get("Location") != "/v1/sanctions/"+s.ID {
			t.Errorf("%s: %d %s %v: %+v", body, w.Code, w.Body, w.Header(), s)
		}
	}
}

// TestErrorsOfTheBackend: which statuses they become.
func TestErrorsOfTheBackend(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want int
	}{
		{fmt.Errorf("x: %w", ErrNoRoom), 404}, {ErrNoComment, 404}, {ErrNoViewer, 404}, {ErrNotFound, 404}, {ErrBusy, 503}, {room.ErrFull, 503},
		{room.ErrRoomsFull, 503}, {ErrOff, 501}, {errors.New("the word is empty"), 400}, {&http.MaxBytesError{}, 400},
	} {
		p := testAPI(newFake(), Options{}).asProblem(tc.err)
		if p.Status != tc.want || p.Status == 503 && p.retry == 0 {
			t.Errorf("%v: %d, want %d", tc.err, p.Status, tc.want)
		}
	}
}
