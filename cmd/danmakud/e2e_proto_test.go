package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	coder "github.com/coder/websocket"
	danmakuv1 "github.com/danmakud/danmakud/clients/proto/danmaku/v1"
	"google.golang.org/protobuf/proto"
)

// protoViewer is a viewer who speaks protobuf, by another library and the types that are
// generated of the schema.
type protoViewer struct {
	t    *testing.T
	conn *coder.Conn
}

func (s *instance) dialProto(target string, mode coder.CompressionMode) *protoViewer {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, r, err := coder.Dial(ctx, "ws://"+s.public[0]+"/ws/"+target, &coder.DialOptions{Subprotocols: []string{"danmaku.v1.proto"}, CompressionMode: mode})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.CloseNow() })
	conn.SetReadLimit(1 << 20)
	if squeezed := strings.Contains(r.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate"); squeezed != (mode != coder.CompressionDisabled) {
		s.t.Fatalf("permessage-deflate: %v", squeezed)
	}
	return &protoViewer{s.t, conn}
}

func (v *protoViewer) read() *danmakuv1.ToViewer {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	kind, p, err := v.conn.Read(ctx)
	if err != nil || kind != coder.MessageBinary {
		v.t.Fatalf("%v message, %v", kind, err)
	}
	m := new(danmakuv1.ToViewer)
	if err := proto.Unmarshal(p, m); err != nil || m.Event == nil {
		v.t.Fatalf("%x: %v", p, err)
	}
	return m
}

func (v *protoViewer) send(m *danmakuv1.FromViewer) {
	v.t.Helper()
	p, err := proto.Marshal(m)
	if err != nil {
		v.t.Fatal(err)
	}
	if err := v.conn.Write(v.t.Context(), coder.MessageBinary, p); err != nil {
		v.t.Fatal(err)
	}
}

// TestProtobuf: a room with JSON, compressed JSON, protobuf and compressed protobuf. All
// hear the same, each encoding is made once a batch, who was cut off resumes, and who
// may stay is told when the server goes.
func TestProtobuf(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--comment-rate=0", "--compression-min=1", "--history=0", "--loops=2")
	speaker, gorilla := s.join("p"), s.joinCompressed("p")
	plain, squeezed := s.dialProto("p", coder.CompressionDisabled), s.dialProto("p", coder.CompressionNoContextTakeover)
	w := plain.read().GetWelcome()
	if w == nil || w.Room != "p" || w.Epoch == "" || w.TickMs == 0 || squeezed.read().GetWelcome() == nil {
		t.Fatalf("welcome %v", w)
	}
	const first = 200
	for i := range first {
		speaker.send(say(fmt.Sprint(i), ""))
	}
	var want []string
	hear := func(text string) {
		for !slices.Contains(want, text) {
			m, err := speaker.read()
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, m.texts()...)
		}
	}
	hear(fmt.Sprint(first - 1)) // what another connection says may overtake it
	plain.send(&danmakuv1.FromViewer{Ref: "c", Command: &danmakuv1.FromViewer_Comment{Comment: &danmakuv1.Say{Text: "last"}}})
	hear("last")
	acked, seq := false, w.Seq
	for what, v := range map[string]*protoViewer{"plain": plain, "compressed": squeezed} {
		var got []string
		for next := w.Seq; !slices.Contains(got, "last"); {
			m := v.read()
			if m.GetAck() != nil {
				acked = m.GetAck().Ref == "c" && m.GetAck().Id != ""
				continue
			}
			if next++; m.GetBatch().GetSeq() != next {
				t.Fatalf("%s: %v, want batch %d", what, m, next)
			}
			for _, c := range m.GetBatch().Comments {
				got = append(got, c.Text)
			}
			seq = next
		}
		if !slices.Equal(got, want) || len(got) != first+1 {
			t.Errorf("%s: heard %d comments, want %d", what, len(got), len(want))
		}
	}
	for !acked {
		acked = plain.read().GetAck().GetRef() == "c"
	}
	gorilla.Close()
	m := s.metrics()
	sealed := m["danmakud_batches_sealed_total"]
	for _, encoding := range []string{"json", "json_deflate", "proto", "proto_deflate"} {
		if n := m[fmt.Sprintf("danmakud_encodings_total{encoding=%q}", encoding)]; n != sealed || sealed < 2 {
			t.Errorf("%s was made %v times of %v batches", encoding, n, sealed)
		}
	}
	plain.conn.CloseNow()
	squeezed.conn.CloseNow()
	s.awaitMetric("danmakud_connections", 1)
	const missed = 3
	for i := range missed {
		speaker.send(say(fmt.Sprint("missed ", i), ""))
		speaker.until("batch")
	}
	back := s.dialProto(fmt.Sprintf("p?since=%d&epoch=%s", seq, w.Epoch), coder.CompressionNoContextTakeover)
	if again := back.read().GetWelcome(); again.GetSeq() != seq || again.Resumed == nil || !*again.Resumed {
		t.Fatalf("welcome %v", again)
	}
	for i := range missed {
		if b := back.read().GetBatch(); len(b.GetComments()) != 1 || b.Comments[0].Text != fmt.Sprint("missed ", i) || b.Seq != seq+1+uint64(i) {
			t.Fatalf("batch %d after it came back: %v", i, b)
		}
	}
	speaker.conn.Close() // or the drain waits for its answer to the close frame
	if err := s.signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if bye := back.read().GetGoodbye(); bye == nil || bye.Reason != "draining" || bye.RetryAfterMs == 0 {
		t.Errorf("goodbye %v", bye)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, _, err := back.conn.Read(ctx); coder.CloseStatus(err) != coder.StatusServiceRestart {
		t.Errorf("closed with %v", err)
	}
	if status := s.wait(); status != exitOK {
		t.Errorf("exit status %d", status)
	}
}
