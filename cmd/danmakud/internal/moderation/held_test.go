package moderation

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/danmakud/danmakud/room"
)

func TestHeld(t *testing.T) {
	d := desk(t, Options{})
	now := time.Now()
	var ids []string
	for i, in := range []string{"a", "b", "a"} {
		id, err := d.Hold(HeldComment{Room: in, User: "u", Text: fmt.Sprint(i), Comment: room.Comment{Text: fmt.Sprint(i), Color: 7}, At: now.Add(time.Duration(i) * time.Minute)})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if list := d.Held("a"); len(list) != 2 || list[0].ID != ids[0] || list[1].Text != "2" || len(d.Held("")) != 3 || len(d.Held("c")) != 0 {
		t.Errorf("%+v", list)
	}
	if c, ok := d.Take(ids[1]); !ok || c.Room != "b" || c.Comment.Color != 7 {
		t.Errorf("%+v %v", c, ok)
	}
	if _, ok := d.Take(ids[1]); ok {
		t.Error("taken twice")
	}
	for _, i := range []int{2, 0} {
		before := d.Held("")
		c, _ := d.Take(ids[i])
		d.PutBack(c)
		if after := d.Held(""); !reflect.DeepEqual(after, before) {
			t.Errorf("put back: %+v, before %+v", after, before)
		}
	}
	d.Sweep(now.Add(heldLongest + time.Second))
	if list := d.Held(""); len(list) != 1 || list[0].ID != ids[2] || d.Counts().HeldExpired != 1 {
		t.Errorf("after an hour: %+v", list)
	}
	for d.Counts().Held < heldMax {
		if _, err := d.Hold(HeldComment{Room: "r"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Hold(HeldComment{Room: "r"}); !errors.Is(err, ErrHeldFull) || d.Counts().HeldFull != 1 || d.Counts().Held != heldMax {
		t.Errorf("one more: %v", err)
	}
}

func TestRoomSettings(t *testing.T) {
	d := desk(t, Options{})
	for _, c := range []struct {
		in   string
		set  room.Settings
		want string
	}{
		{"a b", room.Settings{}, "room name"},
		{"r", room.Settings{SlowMode: -1}, "slow_mode_ms -1"},
		{"r", room.Settings{SlowMode: slowModeMax + 1}, "slow_mode_ms"},
		{"r", room.Settings{MinRole: room.Roles}, "min_role"},
		{"r", room.Settings{MaxViewers: -1}, "max_viewers"},
		{"r", room.Settings{BudgetBytes: -1}, "budget_bytes"},
		{"r", room.Settings{BudgetComments: -1}, "budget_comments"},
	} {
		if err := d.SetSettings(c.in, c.set, "test"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.set, err)
		}
	}
	for i := range roomsMax {
		d.rooms.set(fmt.Sprint("r", i), room.Settings{Closed: true})
	}
	if err := d.SetSettings("more", room.Settings{Closed: true}, "test"); !errors.Is(err, ErrFull) {
		t.Errorf("one more: %v", err)
	}
	for _, set := range []room.Settings{{Closed: true, SlowMode: 3}, {}} {
		if err := d.SetSettings("r7", set, "test"); err != nil || d.Settings("r7") != set {
			t.Errorf("%v, %+v", err, d.Settings("r7"))
		}
	}
}

// The audit log is also a file of lines, and can be rotated.
func TestAuditFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.ndjson")
	d := desk(t, Options{AuditLog: path})
	s := mustSanction(t, d, Sanction{Kind: Mute, Room: "r", User: "u", Reason: "so"})
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := d.Lift(s.ID, "who"); err != nil {
		t.Fatal(err)
	}
	if err := d.Configure(Options{AuditLog: path}); err != nil {
		t.Fatal(err)
	}
	if err := d.Record(Event{By: "k", Action: "clear", Room: "r", Detail: "a\nb"}); err != nil {
		t.Fatal(err)
	}
	want, _ := d.Audit(10)
	got := append(events(t, path+".1"), events(t, path)...)
	for i := range want {
		if n := len(got) - 1 - i; n < 0 || !reflect.DeepEqual(got[n], want[i]) {
			t.Errorf("lines\n%+v, want (newest first)\n%+v", got, want)
			break
		}
	}
	if len(events(t, path)) != 1 || len(got) != 3 || got[0].Detail != "so" || got[1].Detail != "mute, so" {
		t.Errorf("%+v", got)
	}
	if err := d.Configure(Options{AuditLog: filepath.Join(path, "below")}); err == nil || !strings.Contains(err.Error(), "--audit-log") {
		t.Errorf("%v", err)
	}
	d.audit.file.Close() // as if the disk was gone
	if err := d.Record(Event{By: "k", Action: "clear"}); err != nil || d.Counts().AuditFailed != 1 {
		t.Errorf("%v, %d lines failed", err, d.Counts().AuditFailed)
	}
	if err := d.Configure(Options{AuditLog: path}); err != nil {
		t.Fatal(err)
	}
}

func events(t *testing.T, path string) (list []Event) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var e Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}
