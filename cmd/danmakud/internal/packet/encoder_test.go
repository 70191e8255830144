package packet

import (
	"bytes"
	"compress/zlib"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
)

// whole is a batch with all kinds.
var whole = []string{
	`{"id":"0fJu7--3","uid":"42","name":"小\"红","role":"vip","text":"你好[x] \u0007","ts":1790000000123}`,
	`{"id":"0fJu7--4","uid":"~7f","text":"a","ts":1790000000124,"color":255,"mode":"top","size":"large","count":3}`,
	`{"id":"0fJu7--5","uid":"7","role":"admin","text":"system","ts":1790000000125,"kind":"system"}`,
	`{"id":"0fJu7--6","uid":"8","name":"送","text":"","ts":1790000000126,"kind":"gift","gift":"火箭","num":3,"price":500}`,
	`{"id":"0fJu7--7","uid":"9","name":"醒目","text":"SC","ts":1790000000127,"kind":"superchat","price":30,"duration_s":60}`,
	`{"id":"0fJu7--3","ts":1790000000128,"kind":"retract"}`,
	`{"id":"*","ts":1790000000129,"kind":"retract"}`,
	`{"id":"0fJu7--8","uid":"system","text":"{\"cmd\":\"LIVE\"}","ts":1790000000130,"kind":"data","op":1234}`,
	`{"id":"0fJu7--9","uid":"system","text":"","ts":1790000000131,"kind":"data","op":1235,"data":"AP8="}`,
}

func batchOf(head string, comments ...string) *Batch {
	list := strings.Join(comments, ",")
	return &Batch{Message: []byte(`{"type":"batch","room":"1000","seq":42,"ts":1790000000200` + head + `,"comments":[` + list + `]}`), Comments: []byte(list), Likes: 77, Watched: 12}
}

// packetsIn decodes packets one behind the other.
func packetsIn(t *testing.T, p []byte) (all []Packet) {
	t.Helper()
	for len(p) > 0 {
		k, n, err := Decode(p, 1<<20)
		if err != nil || n == 0 {
			t.Fatalf("%x: %d, %v", p, n, err)
		}
		all, p = append(all, k), p[n:]
	}
	return all
}

// events returns the events of the Bilibili dialect in p.
func events(t *testing.T, p []byte) (all []map[string]any) {
	t.Helper()
	for _, k := range packetsIn(t, p) {
		var v map[string]any
		if k.Version != VersionJSON || k.Op != OpMessage {
			t.Errorf("packet %+v", k)
		}
		if err := json.Unmarshal(k.Body, &v); err != nil {
			t.Fatalf("%s: %v", k.Body, err)
		}
		all = append(all, v)
	}
	return all
}

// at walks into lists and objects.
func at(v any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case int:
			v = v.([]any)[step]
		case string:
			v = v.(map[string]any)[step]
		}
	}
	return v
}

func TestBilibiliEvents(t *testing.T) {
	var e Encoder
	all := events(t, e.AppendBilibili(nil, batchOf(`,"online":5,"likes":3`, whole...)))
	var cmds []string
	for _, v := range all {
		cmds = append(cmds, v["cmd"].(string))
	}
	want := []string{"DANMU_MSG", "DANMU_MSG", "DANMU_MSG", "SEND_GIFT", "SUPER_CHAT_MESSAGE", "RECALL_DANMU_MSG", "SUPER_CHAT_MESSAGE_DELETE",
		"RECALL_DANMU_MSG", "LIVE", "LIKE_INFO_V3_UPDATE", "ONLINE_RANK_COUNT", "WATCHED_CHANGE"}
	if !slices.Equal(cmds, want) {
		t.Fatalf("events %q, want %q", cmds, want)
	}
	var extra map[string]any
	if err := json.Unmarshal([]byte(at(all[0], "info", 0, 15, "extra").(string)), &extra); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		got, want any
	}{
		{at(all[0], "info", 1), "你好[x] \u0007"}, {at(all[0], "info", 2, 0), 42.0}, {at(all[0], "info", 2, 1), `小"红`}, {at(all[0], "info", 2, 3), 1.0},
		{at(all[0], "info", 0, 1), 1.0}, {at(all[0], "info", 0, 2), 25.0}, {at(all[0], "info", 0, 3), 16777215.0}, {at(all[0], "info", 0, 4), 1790000000123.0},
		{at(all[0], "info", 9, "ts"), 1790000000.0}, {at(all[0], "info", 16, 0), 0.0}, {at(all[0], "info", 7), 0.0}, {extra["id_str"], "0fJu7--3"},
		{at(all[0], "info", 0, 15, "user", "base", "name"), `小"红`},
		{at(all[1], "info", 0, 1), 5.0}, {at(all[1], "info", 0, 2), 36.0}, {at(all[1], "info", 0, 3), 255.0}, {at(all[1], "info", 2, 1), "~7f"},
		{at(all[1], "info", 2, 2), 0.0}, {at(all[2], "info", 2, 2), 1.0},
		{at(all[3], "data", "giftName"), "火箭"}, {at(all[3], "data", "num"), 3.0}, {at(all[3], "data", "price"), 500.0},
		{at(all[3], "data", "total_coin"), 1500.0}, {at(all[3], "data", "uname"), "送"}, {at(all[3], "data", "uid"), 8.0},
		{at(all[4], "data", "message"), "SC"}, {at(all[4], "data", "price"), 30.0}, {at(all[4], "data", "time"), 60.0},
		{at(all[4], "data", "end_time"), 1790000060.0}, {at(all[4], "data", "user_info", "uname"), "醒目"},
		{at(all[5], "data", "target_id"), "0fJu7--3"}, {at(all[6], "data", "ids", 0), float64(idNumber("0fJu7--3"))}, {at(all[7], "data", "target_id"), "*"},
		{at(all[9], "data", "click_count"), 77.0}, {at(all[10], "data", "count"), 5.0}, {at(all[11], "data", "num"), 12.0},
	} {
		if tc.got != tc.want {
			t.Errorf("got %v, want %v", tc.got, tc.want)
		}
	}
	if a, b := number("~7f"), number("~7g"); a == b || a < 1<<52 || a > roomMax || number("042") < 1<<52 {
		t.Errorf("numbers of users: %d, %d, %d", a, b, number("042"))
	}
}

// TestSilenceIsTold: who may speak, where a batch says that it changed.
func TestSilenceIsTold(t *testing.T) {
	var e Encoder
	for _, tc := range []struct {
		settings, cmd string
		level         float64
	}{
		{`{"closed":true,"min_role":"vip"}`, "ROOM_SILENT_ON", 3},
		{`{"slow_mode_ms":5000,"min_role":"vip"}`, "ROOM_SILENT_ON", 2},
		{`{"min_role":"viewer"}`, "ROOM_SILENT_ON", 1},
		{`{"slow_mode_ms":5000}`, "ROOM_SILENT_OFF", 0},
		{`{}`, "ROOM_SILENT_OFF", 0},
	} {
		all := events(t, e.AppendBilibili(nil, batchOf(`,"settings":`+tc.settings)))
		if len(all) != 1 || all[0]["cmd"] != tc.cmd || at(all[0], "data", "level") != tc.level {
			t.Errorf("%s: %v", tc.settings, all)
		}
	}
}

func TestBlockedIsTold(t *testing.T) {
	for _, tc := range []struct {
		user, name string
		anchor     bool
		want       map[string]any
	}{
		{"42", `小"红`, false, map[string]any{"uid": 42.0, "uname": `小"红`, "operator": 1.0}},
		{"~7f", "", true, map[string]any{"uid": float64(number("~7f")), "uname": "~7f", "operator": 2.0}},
	} {
		all := events(t, AppendBlocked(nil, tc.user, tc.name, tc.anchor))
		if len(all) != 1 || all[0]["cmd"] != "ROOM_BLOCK_MSG" {
			t.Fatalf("%v", all)
		}
		for name, want := range tc.want {
			if got := at(all[0], "data", name); got != want {
				t.Errorf("%s: %s is %v, want %v", tc.user, name, got, want)
			}
		}
	}
}

// TestDanmuHasEveryPlace: the lists are at least as long as in the smallest event that
// the known clients parse.
func TestDanmuHasEveryPlace(t *testing.T) {
	const smallest = `[[0,1,25,16777215,1790000000000,0,0,"",0,0,0,"",0,"{}","{}",{"extra":"{}"}],"你好[x]",[42,"u",0,0,0,10000,1,""],[],[0,0,0,">50000"],["",""],0,0,null,{"ts":1790000000,"ct":""},0,0,null,null,0,0,[0]]`
	var want []any
	if err := json.Unmarshal([]byte(smallest), &want); err != nil {
		t.Fatal(err)
	}
	var e Encoder
	got := at(events(t, e.AppendBilibili(nil, batchOf("", whole[0])))[0], "info").([]any)
	if len(got) < len(want) {
		t.Fatalf("%d places, want %d", len(got), len(want))
	}
	for i, w := range want {
		if list, ok := w.([]any); ok && len(got[i].([]any)) < len(list) {
			t.Errorf("place %d has %v, want %v", i, got[i], w)
		}
	}
}

func TestZlibIsThePlainPackets(t *testing.T) {
	var e Encoder
	b := batchOf(`,"online":5`, whole...)
	for _, level := range []int{1, 6, 6, 9} {
		plain := slices.Clone(e.Plain(b))
		p := e.AppendBilibiliZlib(nil, plain, level)
		if want := Append(nil, Packet{Version: VersionZlib, Op: OpMessage, Body: p[HeaderSize:]}); !bytes.Equal(p, want) {
			t.Errorf("level %d: outer header %x", level, p[:HeaderSize])
		}
		r, err := zlib.NewReader(bytes.NewReader(p[HeaderSize:]))
		if err != nil {
			t.Fatal(err)
		}
		if inside, err := io.ReadAll(r); err != nil || !bytes.Equal(inside, plain) {
			t.Errorf("level %d: %d bytes inside, %v, want %d", level, len(inside), err, len(plain))
		}
	}
}

func TestGoimBatch(t *testing.T) {
	var e Encoder
	p := e.AppendGoim(nil, batchOf(`,"online":5,"likes":3,"sampled":2`, whole...))
	outer, n, err := Decode(p, 1<<20)
	if err != nil || n != len(p) || outer.Op != OpRaw || outer.Version != 1 || outer.Sequence != 0 {
		t.Fatalf("outer packet %+v, %v", outer, err)
	}
	inner := packetsIn(t, p[GoimOuter:])
	if len(inner) != len(whole)+1 {
		t.Fatalf("%d packets, want %d", len(inner), len(whole)+1)
	}
	for i, k := range inner[:7] {
		if k.Op != OpComment || k.Version != 1 || string(k.Body) != whole[i] {
			t.Errorf("packet %d is %d %s", i, k.Op, k.Body)
		}
	}
	if k := inner[7]; k.Op != 1234 || string(k.Body) != `{"cmd":"LIVE"}` {
		t.Errorf("pushed text: %d %s", k.Op, k.Body)
	}
	if k := inner[8]; k.Op != 1235 || string(k.Body) != "\x00\xff" {
		t.Errorf("pushed bytes: %d %x", k.Op, k.Body)
	}
	if k := inner[9]; k.Op != OpCounts || string(k.Body) != `{"ts":1790000000200,"online":5,"likes":3,"sampled":2}` {
		t.Errorf("counts: %d %s", k.Op, k.Body)
	}
}

func TestNothingToSay(t *testing.T) {
	var e Encoder
	if p := e.AppendBilibili(nil, batchOf(`,"sampled":2`, whole[8])); len(p) != 0 || len(e.AppendBilibiliZlib(nil, p, 6)) != 0 {
		t.Errorf("Bilibili: %x", p)
	}
	if p := e.AppendGoim(nil, batchOf("")); len(p) != 0 {
		t.Errorf("goim: %x", p)
	}
}

func TestObjectsAreCutApart(t *testing.T) {
	objects := []string{`{"a":"},{\"\\"}`, `{}`, `{"b":{"c":[{}]}}`}
	var got []string
	eachObject([]byte(strings.Join(objects, ",")), func(p []byte) { got = append(got, string(p)) })
	if !slices.Equal(got, objects) {
		t.Errorf("got %q", got)
	}
}

func BenchmarkBilibili(b *testing.B) {
	comments := make([]string, 100)
	for i := range comments {
		comments[i] = whole[i%2]
	}
	batch := batchOf(`,"online":5`, comments...)
	var e Encoder
	b.Run("plain", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			e.Plain(batch)
		}
	})
	b.Run("zlib", func(b *testing.B) {
		b.ReportAllocs()
		var out []byte
		for b.Loop() {
			out = e.AppendBilibiliZlib(out[:0], e.Plain(batch), 6)
		}
	})
}

// FuzzEvents: whatever is said, every packet of either dialect is whole, and every
// event JSON that says it unchanged.
func FuzzEvents(f *testing.F) {
	f.Add("前方高能", "小明", "42", uint8(0))
	f.Add("\"},{\"\\\u2028\x07", "{\"kind\":\"data\"}", "~7f", uint8(1))
	f.Add("[x]</script>", "\xff\xfe", "18446744073709551616", uint8(2))
	f.Add(`{"cmd":"LIVE"}`, "", "system", uint8(4))
	kinds := []string{"", "gift", "superchat", "system", "data", "retract"}
	var e Encoder
	f.Fuzz(func(t *testing.T, text, name, user string, kind uint8) {
		text, name = strings.ToValidUTF8(text, "?"), strings.ToValidUTF8(name, "?")
		k := kinds[int(kind)%len(kinds)]
		one, err := json.Marshal(map[string]any{"id": "0fJu7--3", "uid": strings.ToValidUTF8(user, "?"), "name": name, "text": text, "gift": text,
			"ts": 1790000000123, "kind": k, "price": 1 << 50, "num": 1 << 20, "duration_s": 60, "op": 1000})
		if err != nil {
			t.Fatal(err)
		}
		b := batchOf(`,"online":1`, string(one), whole[0])
		all := events(t, e.AppendBilibili(nil, b))
		switch said := all[0]; k {
		case "", "system":
			if at(said, "info", 1) != text || json.Unmarshal([]byte(at(said, "info", 0, 15, "extra").(string)), new(any)) != nil {
				t.Fatalf("%q became %v", text, said)
			}
		case "gift":
			if at(said, "data", "giftName") != text || at(said, "data", "total_coin").(float64) > roomMax {
				t.Fatalf("%q became %v", text, said)
			}
		case "superchat":
			if at(said, "data", "message") != text {
				t.Fatalf("%q became %v", text, said)
			}
		}
		p := e.AppendGoim(nil, b)
		if inner := packetsIn(t, p[GoimOuter:]); len(inner) != 3 || k == "data" && string(inner[0].Body) != text || k != "data" && !bytes.Equal(inner[0].Body, one) {
			t.Fatalf("%s became %+v", one, inner)
		}
	})
}
