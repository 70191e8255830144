package protobuf

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	danmakuv1 "github.com/danmakud/danmakud/clients/proto/danmaku/v1"
	"github.com/danmakud/danmakud/room"
	"github.com/valyala/fastjson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// asJSON is a message as the JSON protocol has it: what is left out has its usual value
// in both.
func asJSON(m protoreflect.Message) map[string]any {
	out := map[string]any{}
	m.Range(func(d protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if d.IsList() {
			list := []any{}
			for i := range v.List().Len() {
				list = append(list, asJSON(v.List().Get(i).Message()))
			}
			out[string(d.Name())] = list
			return true
		}
		out[string(d.Name())] = valueAsJSON(d, v)
		return true
	})
	return out
}

func valueAsJSON(d protoreflect.FieldDescriptor, v protoreflect.Value) any {
	switch d.Kind() {
	case protoreflect.MessageKind:
		return asJSON(v.Message())
	case protoreflect.EnumKind:
		name := string(d.Enum().Values().ByNumber(v.Enum()).Name())
		return strings.ToLower(strings.TrimPrefix(name, strings.ToUpper(string(d.Enum().Name()))+"_"))
	case protoreflect.BytesKind:
		return base64.StdEncoding.EncodeToString(v.Bytes())
	case protoreflect.StringKind:
		return v.String()
	case protoreflect.BoolKind:
		return v.Bool()
	}
	return json.Number(fmt.Sprint(v.Interface()))
}

// usual takes out of a JSON message what is as usual anyway, which protobuf does not
// write.
func usual(v any) any {
	m, is := v.(map[string]any)
	if !is {
		return v
	}
	for name, inner := range m {
		switch inner := inner.(type) {
		case map[string]any:
			usual(inner)
		case []any:
			for _, one := range inner {
				usual(one)
			}
			if len(inner) == 0 {
				delete(m, name)
			}
		case string:
			if inner == "" {
				delete(m, name)
			}
		case json.Number:
			if inner == "0" && name != "color" && name != "online" && name != "count" {
				delete(m, name)
			}
		}
	}
	return m
}

// sameAsJSON fails unless the protobuf message p says what the JSON message does, all
// of it and no more.
func sameAsJSON(t *testing.T, message, p []byte) {
	t.Helper()
	var got danmakuv1.ToViewer
	if err := proto.Unmarshal(p, &got); err != nil {
		t.Fatalf("%s became %x: %v", message, p, err)
	}
	d := json.NewDecoder(bytes.NewReader(message))
	d.UseNumber()
	var want map[string]any
	if err := d.Decode(&want); err != nil {
		t.Fatalf("%s: %v", message, err)
	}
	kind := want["type"].(string)
	delete(want, "type")
	if kind == "welcome" && want["online"] == json.Number("0") {
		delete(want, "online") // which a batch tells from "as before"
	}
	if said := asJSON(got.ProtoReflect()); len(said) != 1 || !reflect.DeepEqual(usual(said[kind]), usual(want)) {
		t.Fatalf("%s became\n%v", message, said)
	}
	again, err := proto.MarshalOptions{Deterministic: true}.Marshal(&got)
	if err != nil || len(again) != len(p) {
		t.Fatalf("%d bytes of ours, %d of the generated code, %v", len(p), len(again), err)
	}
}

// everything is a message of each type with all that it can have.
var everything = []string{
	`{"type":"batch","room":"r1","seq":18446744073709,"ts":1790000000123,"online":0,"likes":7,"sampled":3,"comments":[` + strings.Join(allKinds, ",") + `]}`,
	`{"type":"batch","room":"r","seq":1,"ts":1790000000123,"comments":[]}`,
	`{"type":"batch","room":"r","seq":2,"ts":1790000000123,"settings":{},"comments":[]}`,
	`{"type":"batch","room":"r","seq":3,"ts":1790000000123,"settings":{"closed":true,"slow_mode_ms":5000,"min_role":"vip"},"comments":[]}`,
	`{"type":"skipped","from":43,"to":45,"batches":3,"comments":118,"settings":{"slow_mode_ms":1}}`,
	`{"type":"welcome","room":"r","epoch":"mwrzdi3u-1","seq":41,"tick_ms":100,"online":51234,"uid":"alice","name":"Al\"ice","role":"moderator","resumed":false,"degraded":true,` +
		`"settings":{"closed":true,"slow_mode_ms":5000,"min_role":"vip"},"superchats":[{"id":"0fJu7--7","uid":"9","text":"SC","ts":1790000000127,"kind":"superchat","price":30,"duration_s":60,"left_s":12}],"history":[` + strings.Join(allKinds, ",") + `]}`,
	`{"type":"welcome","room":"r","epoch":"e","seq":1,"tick_ms":100,"online":1,"uid":"~7","resumed":true,"history":[]}`,
	`{"type":"ack","ref":"c\u0000\u2028\\1","id":"0fJu7--0"}`, `{"type":"ack","ref":"c1"}`,
	`{"type":"error","ref":"c1","code":"rate_limited","message":"at most 3 a second","retry_after_ms":400}`, `{"type":"error","code":"bad_proto","message":"x"}`,
	`{"type":"skipped","from":43,"to":45,"batches":3,"comments":118}`,
	`{"type":"pong"}`, `{"type":"pong","ref":"p1"}`,
	`{"type":"goodbye","reason":"draining","retry_after_ms":1730,"host":"b.example:8080"}`,
}

var allKinds = []string{
	`{"id":"0fJu7--3","uid":"42","name":"小\"红","role":"vip","text":"你好[x] \u0007 \ud83c\udf89 😂","ts":1790000000123}`,
	`{"id":"0fJu7--4","uid":"~7f","text":"a","ts":1790000000124,"color":0,"mode":"top","size":"large","count":3}`,
	`{"id":"0fJu7--5","uid":"7","role":"admin","text":"` + strings.Repeat("长", 200) + `","ts":1790000000125,"color":255,"mode":"reverse","size":"small","kind":"system"}`,
	`{"id":"0fJu7--6","uid":"8","name":"送","text":"","ts":1790000000126,"kind":"gift","gift":"火箭","num":3,"price":9007199254740993}`,
	`{"id":"0fJu7--7","uid":"9","name":"醒目","text":"SC","ts":1790000000127,"kind":"superchat","price":30,"duration_s":60}`,
	`{"id":"0fJu7--3","ts":1790000000128,"kind":"retract"}`,
	`{"id":"*","ts":1790000000129,"kind":"retract"}`,
	`{"id":"0fJu7--8","uid":"system","text":"{\"cmd\":\"LIVE\"}","ts":1790000000130,"kind":"data","op":1234}`,
	`{"id":"0fJu7--9","uid":"system","text":"","ts":1790000000131,"kind":"data","op":4294967295,"data":"AP8="}`,
	`{"id":"0fJu7--a","uid":"system","text":"hear","ts":1790000000132,"kind":"announcement","mode":"bottom"}`,
}

func TestEveryMessage(t *testing.T) {
	var e Encoder
	for _, message := range everything {
		sameAsJSON(t, []byte(message), e.Append(nil, []byte(message)))
	}
	// Behind what is there already, and with memory of its own.
	if p := e.Append([]byte("head"), []byte(everything[0])); !bytes.HasPrefix(p, []byte("head")) {
		t.Error("what was there is gone")
	} else {
		sameAsJSON(t, []byte(everything[0]), p[4:])
	}
}

// TestLengths: a field's length takes as many bytes as it needs.
func TestLengths(t *testing.T) {
	var e Encoder
	for _, n := range []int{0, 1, 100, 126, 127, 128, 129, 1 << 14, 1<<14 + 1, 1 << 21} {
		message := fmt.Appendf(nil, `{"type":"pong","ref":"%s"}`, strings.Repeat("r", n))
		sameAsJSON(t, message, e.Append(nil, message))
	}
}

// TestServersMistake: what the server never writes is not passed over in silence.
func TestServersMistake(t *testing.T) {
	for _, message := range []string{`{"type":"news"}`, `{}`, `{"type":"pong"`, `{"type":"batch","comments":[{"data":"?"}]}`} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s is taken", message)
				}
			}()
			new(Encoder).Append(nil, []byte(message))
		}()
	}
}

// FuzzBatch: whatever is said in a room, the batch says the same in both.
func FuzzBatch(f *testing.F) {
	f.Add("前方高能", "小明", "42", uint64(0), uint64(1))
	f.Add("\"},{\"\\\u2028\x07\n", "{\"kind\":\"data\"}", "", uint64(math.MaxUint64), uint64(2))
	f.Add("</script>", "\U0001F389", "18446744073709551616", uint64(1<<33), uint64(3))
	f.Add(strings.Repeat("长", 300), "", "system", uint64(0xFF00FF00FF), uint64(4))
	f.Fuzz(func(t *testing.T, text, name, user string, bits, seed uint64) {
		text, name, user = strings.ToValidUTF8(text, "?"), strings.ToValidUTF8(name, "?"), strings.ToValidUTF8(user, "?")
		r := rand.New(rand.NewPCG(bits, seed))
		h := room.NewHub(room.Config{FirstID: seed >> 8, History: 50})
		in, err := h.Room("r", 0)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 1 + r.IntN(20) {
			c := room.Comment{UID: r.Uint64(), User: user, Name: name, Role: room.Role(r.IntN(int(room.Roles))), Text: text, Color: uint32(r.IntN(1 << 24)),
				Mode: room.Mode(r.IntN(4)), Size: room.Size(r.IntN(3)), Kind: room.Kind(r.IntN(7)), Count: r.IntN(3)}
			switch {
			case i%3 == 0:
				c.User, c.Color = "", room.ColorDefault
			case c.Kind == room.KindData:
				c.Op, c.Data = r.Uint32(), name
			case c.Kind == room.KindGift:
				c.Gift, c.Num, c.Price = text, r.IntN(5), r.Int64N(1<<53)
			case c.Kind == room.KindSuperchat:
				c.Price, c.Duration = 1+r.Int64N(1<<53), time.Duration(r.Int64N(1<<40))
			}
			if c.Kind == room.KindRetract {
				c.Target, c.Text = r.Uint64N(3), ""
			}
			if _, _, err := in.Publish(&c, 0, int64(bits>>20)+int64(i)); err != nil {
				t.Fatal(err)
			}
			in.Like(r.Uint64N(3), 0)
		}
		b := in.Seal(0, int64(bits>>20))
		var e Encoder
		sameAsJSON(t, b.Payload(), e.Append(nil, b.Payload()))
		welcome := fmt.Appendf(nil, `{"type":"welcome","room":"r","epoch":"e","seq":1,"tick_ms":100,"online":0,"uid":"~1","history":[%s]}`, in.HistoryJSON(50))
		sameAsJSON(t, welcome, e.Append(nil, welcome))
	})
}

// batchOf is a batch of n short comments.
func batchOf(n int) []byte {
	h := room.NewHub(room.Config{FirstID: 1790000000 << 16})
	in, err := h.Room("live", 0)
	if err != nil {
		panic(err)
	}
	texts := strings.Fields("666 哈哈哈哈 前方高能 主播好 笑死我了这也行 下次一定 lol 太强了怎么做到的 🎉🎉🎉 求歌名")
	for i := range n {
		c := room.Comment{UID: uint64(7919*i) % 200_000, Text: texts[i%len(texts)], Color: room.ColorDefault}
		if i%4 == 0 {
			c.Color = 0x66CCFF
		}
		if _, _, err := in.Publish(&c, 0, 1790000000000+int64(100*i/n)); err != nil {
			panic(err)
		}
	}
	return in.Seal(0, 1790000000100).Payload()
}

// TestEncoderAllocations: a batch and a reply cost no memory of their own.
func TestEncoderAllocations(t *testing.T) {
	var e Encoder
	var out []byte
	for _, message := range [][]byte{batchOf(100), []byte(everything[0]), []byte(`{"type":"ack","ref":"c1","id":"0fJu7--0"}`)} {
		if n := testing.AllocsPerRun(100, func() { out = e.Append(out[:0], message) }); n > 0 {
			t.Errorf("%v allocations for %.60s", n, message)
		}
	}
}

// BenchmarkBatch compares what the server does with filling in the generated types.
func BenchmarkBatch(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		message := batchOf(n)
		var e Encoder
		var out []byte
		b.Run(fmt.Sprintf("wire/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				out = e.Append(out[:0], message)
			}
		})
		b.Run(fmt.Sprintf("generated/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			var p fastjson.Parser
			for b.Loop() {
				v, err := p.ParseBytes(message)
				if err != nil {
					b.Fatal(err)
				}
				out, err = proto.MarshalOptions{}.MarshalAppend(out[:0], generatedBatch(v))
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func generatedBatch(v *fastjson.Value) *danmakuv1.ToViewer {
	batch := &danmakuv1.Batch{Room: string(v.GetStringBytes("room")), Seq: v.GetUint64("seq"), Ts: v.GetInt64("ts")}
	for _, c := range v.GetArray("comments") {
		m := &danmakuv1.Comment{Id: string(c.GetStringBytes("id")), Uid: string(c.GetStringBytes("uid")), Text: string(c.GetStringBytes("text")), Ts: c.GetInt64("ts")}
		if c.Exists("color") {
			m.Color = proto.Uint32(uint32(c.GetUint("color")))
		}
		batch.Comments = append(batch.Comments, m)
	}
	return &danmakuv1.ToViewer{Event: &danmakuv1.ToViewer_Batch{Batch: batch}}
}
