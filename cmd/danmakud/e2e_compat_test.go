package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
)

// Clients that we did not write. Each joins, sends with a ref, gets ack and
// batch, an error for bad JSON, another room, and a clean close.

// compatDir has the scripts of the clients that are not Go.
const compatDir = "../../.ci/compat"

func TestCompatNodeWS(t *testing.T) {
	t.Parallel()
	node := nodeWithWS(t)
	s := startServer(t)
	s.runClient(node, "ws.js", "ws://"+s.public[0])
}

func TestCompatPythonWebsockets(t *testing.T) {
	t.Parallel()
	python := pythonWithWebsockets(t)
	s := startServer(t)
	s.runClient(python, "websockets_client.py", "ws://"+s.public[0])
}

// TestCompatPackets: the clients of Bilibili's packets from npm get comments, gifts,
// superchats, heartbeats and counts, on WebSockets and over plain TCP.
func TestCompatPackets(t *testing.T) {
	t.Parallel()
	node := nodeWithWS(t)
	for _, name := range []string{"bilibili-live-ws", "tiny-bilibili-ws", "blive-message-listener", "bilibili-live-danmaku"} {
		if _, err := os.Stat(filepath.Join(compatDir, "node_modules", name)); err != nil {
			t.Skipf("npm %s is not installed (make compat installs it)", name)
		}
	}
	s := startServer(t, "--packet-listen=127.0.0.1:0")
	s.runClient(node, "packets.mjs", s.public[0], s.control, s.packets[0])
	samples := s.metrics()
	for _, encoding := range []string{"bilibili", "bilibili_zlib"} {
		made, sealed := samples[`danmakud_encodings_total{encoding="`+encoding+`"}`], samples["danmakud_batches_sealed_total"]
		if made == 0 || made > sealed {
			t.Errorf("%s was made %v times for %v batches", encoding, made, sealed)
		}
	}
}

// nodeWithWS returns a node that has npm ws, or skips.
func nodeWithWS(t *testing.T) string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	if _, err := os.Stat(filepath.Join(compatDir, "node_modules", "ws")); err != nil {
		t.Skip("npm ws is not installed (make compat installs it)")
	}
	return node
}

// pythonWithWebsockets returns an interpreter that has the package, or skips. The
// system's own may have it when the first in PATH has not.
func pythonWithWebsockets(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(name, "-c", "import websockets").Run() == nil {
			return name
		}
	}
	t.Skip("no python3 with the package websockets is installed (Debian: python3-websockets)")
	return ""
}

func (s *instance) runClient(program, script string, args ...string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append([]string{script}, args...)...)
	cmd.Dir = compatDir
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), "ok\n") {
		s.t.Errorf("%s: %v\n%s", script, err, out)
		return
	}
	s.t.Logf("%s:\n%s", script, out)
}

func TestCompatCoder(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, _, err := coder.Dial(ctx, "ws://"+s.public[0]+"/ws/go?history=0", &coder.DialOptions{
		Subprotocols: []string{"danmaku.v1.json"},
		HTTPClient:   s.http,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	converse(t, foreign{
		subprotocol: conn.Subprotocol(),
		send:        func(text string) error { return conn.Write(ctx, coder.MessageText, []byte(text)) },
		read: func() ([]byte, error) {
			kind, p, err := conn.Read(ctx)
			if err == nil && kind != coder.MessageText {
				err = fmt.Errorf("message of type %v", kind)
			}
			return p, err
		},
	})
	// Ping needs a reader at work, which ends with the close handshake.
	reader := conn.CloseRead(ctx)
	if err := conn.Ping(ctx); err != nil {
		t.Errorf("ping: %v", err)
	}
	if err := conn.Close(coder.StatusNormalClosure, "bye"); err != nil {
		t.Errorf("close: %v", err)
	}
	<-reader.Done()
}

func TestCompatGorilla(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	dialer := gorilla.Dialer{Subprotocols: []string{"danmaku.v1.json"}}
	conn, _, err := dialer.Dial("ws://"+s.public[0]+"/ws?room=go&history=0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	converse(t, foreign{
		subprotocol: conn.Subprotocol(),
		send:        func(text string) error { return conn.WriteMessage(gorilla.TextMessage, []byte(text)) },
		read: func() ([]byte, error) {
			kind, p, err := conn.ReadMessage()
			if err == nil && kind != gorilla.TextMessage {
				err = fmt.Errorf("message of type %d", kind)
			}
			return p, err
		},
	})
	bye := gorilla.FormatCloseMessage(gorilla.CloseNormalClosure, "bye")
	if err := conn.WriteMessage(gorilla.CloseMessage, bye); err != nil {
		t.Fatal(err)
	}
	var closed *gorilla.CloseError
	if _, p, err := conn.ReadMessage(); !errors.As(err, &closed) || closed.Code != gorilla.CloseNormalClosure {
		t.Errorf("after our close frame: %s, %v", p, err)
	}
}

// foreign is a connection of another library, joined to the room "go".
type foreign struct {
	subprotocol string
	send        func(text string) error
	read        func() ([]byte, error)
}

// converse has the conversation that every client of the compatibility tests has.
func converse(t *testing.T, c foreign) {
	t.Helper()
	if c.subprotocol != "danmaku.v1.json" {
		t.Errorf("subprotocol %q", c.subprotocol)
	}
	// exchange sends, unless text is empty, and reads one message of each type.
	exchange := func(text string, types ...string) map[string]message {
		t.Helper()
		if text != "" {
			if err := c.send(text); err != nil {
				t.Fatal(err)
			}
		}
		found := make(map[string]message)
		for len(found) < len(types) {
			p, err := c.read()
			if err != nil {
				t.Fatal(err)
			}
			m, err := parseMessage(p)
			if err != nil {
				t.Fatal(err)
			}
			found[m.Type] = m
		}
		for _, kind := range types {
			if _, ok := found[kind]; !ok {
				t.Fatalf("%s gives %+v, want %q", text, found, types)
			}
		}
		return found
	}
	welcome := exchange("", "welcome")["welcome"]
	got := exchange(say("前方高能 😀", "c1"), "ack", "batch")
	if b := got["batch"]; got["ack"].Ref != "c1" || b.Seq != welcome.Seq+1 || len(b.comments) != 1 ||
		b.comments[0].Text != "前方高能 😀" || b.comments[0].ID != got["ack"].ID || b.comments[0].UID != welcome.UID {
		t.Errorf("got %+v", got)
	}
	if e := exchange("{not json", "error")["error"]; e.Code != "bad_json" {
		t.Errorf("bad JSON gives %+v", e)
	}
	long, err := json.Marshal(map[string]string{"type": "comment", "text": strings.Repeat("弹", 200), "ref": "long"})
	if err != nil {
		t.Fatal(err)
	}
	if b := exchange(string(long), "ack", "batch")["batch"]; len(b.comments) != 1 || len(b.comments[0].Text) != 600 {
		t.Errorf("the longest comment gives %+v", b)
	}
	if w := exchange(`{"type":"switch","room":"go-2"}`, "welcome")["welcome"]; w.Room != "go-2" || w.UID != welcome.UID {
		t.Errorf("switch gives %+v", w)
	}
	if b := exchange(say("2", ""), "batch")["batch"]; b.Room != "go-2" {
		t.Errorf("after the switch: %+v", b)
	}
}
