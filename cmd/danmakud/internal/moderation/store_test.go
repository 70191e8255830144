package moderation

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/danmakud/danmakud/room"
)

func reopened(t *testing.T, d *Desk, dir string) *Desk {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return desk(t, Options{Data: dir})
}

func mustSanction(t *testing.T, d *Desk, s Sanction) Sanction {
	t.Helper()
	s.By = "test"
	kept, err := d.Sanction(s)
	if err != nil {
		t.Fatal(err)
	}
	return kept
}

// Everything that was decided is there after a restart, and what was lifted is not.
func TestRestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "for", "it")
	d := desk(t, Options{Data: dir})
	until := time.Now().Add(time.Hour).Truncate(time.Second)
	want := []Sanction{
		mustSanction(t, d, Sanction{Kind: Mute, Room: "r", User: "u", Until: until, Reason: "<b>\"quoted\"</b> 理由"}),
		mustSanction(t, d, Sanction{Kind: Ban, Address: "192.0.2.0/24", ByRole: room.RoleAnchor}),
		mustSanction(t, d, Sanction{Kind: ShadowBan, User: "u"}),
	}
	mustSanction(t, d, Sanction{Kind: Mute, User: "~guest"})
	lifted := mustSanction(t, d, Sanction{Kind: Mute, User: "lifted"})
	replaced := mustSanction(t, d, Sanction{Kind: Mute, User: "replaced", Reason: "first"})
	want = append(want, mustSanction(t, d, Sanction{Kind: Mute, User: "replaced", Reason: "second"}))
	if err := d.Lift(lifted.ID, "test"); err != nil {
		t.Fatal(err)
	}
	if err := d.Lift(replaced.ID, "test"); !errors.Is(err, ErrNotFound) {
		t.Errorf("what was replaced can be lifted: %v", err)
	}
	set := room.Settings{Closed: true, SlowMode: 5000, MinRole: room.RoleVIP, MaxViewers: 7, BudgetBytes: 1, BudgetComments: 2}
	list := WordList{Name: "w", Action: "mask", Rooms: []string{"r"}, Words: []string{"bad", "傻逼"}}
	for _, err := range []error{
		d.SetSettings("r", set, "test"), d.SetSettings("gone", set, "test"), d.SetSettings("gone", room.Settings{}, "test"),
		d.SetWordList(list, "test"), d.SetWordList(WordList{Name: "gone", Action: "mask", Words: []string{"x"}}, "test"),
		d.RemoveWordList("gone", "test"), d.Record(Event{By: "test", Action: "kick", User: "u"}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	events, _ := d.Audit(100)
	d = reopened(t, d, dir)
	got := d.Sanctions("", "")
	byID := func(list []Sanction) map[string]Sanction {
		m := make(map[string]Sanction)
		for _, s := range list {
			m[s.ID] = s
		}
		return m
	}
	if !reflect.DeepEqual(byID(got), byID(want)) {
		t.Errorf("sanctions\n%+v, want\n%+v", got, want)
	}
	if d.Settings("r") != set || d.Settings("gone") != (room.Settings{}) || len(d.rooms.of) != 1 {
		t.Errorf("settings %+v", d.rooms.of)
	}
	list.Count = 2
	if l, err := d.WordList("w"); err != nil || !reflect.DeepEqual(l, list) || len(d.Words()) != 1 {
		t.Errorf("list %+v, %v", l, err)
	}
	if v := say(d, "r", nil, viewer("x"), "bad", 0); v.Text != "***" {
		t.Errorf("%+v", v)
	}
	if after, _ := d.Audit(100); !reflect.DeepEqual(after, events) || len(events) != 15 {
		t.Errorf("%d events\n%+v, want\n%+v", len(after), after, events)
	}
}

// Random sanctions are put, replaced, lifted and over; memory and file agree with a
// list that is looked through, before and after a restart.
func TestSanctionsRoundTrip(t *testing.T) {
	dir := t.TempDir()
	d := desk(t, Options{Data: dir})
	d.store.db.NoSync = true // what a power cut leaves is not the subject
	r := rand.New(rand.NewPCG(7, 8))
	model := make(map[string]Sanction)
	rooms, users := []string{"", "a", "b"}, []string{"u", "v", "~w"}
	nets := []string{"10.0.0.0/8", "10.1.0.0/16", "10.1.1.1", "2001:db8::/32", "2001:db8::1", "0.0.0.0/0"}
	addresses := []string{"10.1.1.1", "10.1.2.3", "10.9.9.9", "172.16.0.1", "2001:db8::2", "2001:db8:1::1", "::1"}
	check := func() {
		t.Helper()
		wall := time.Now()
		for _, in := range rooms[1:] {
			for _, user := range users {
				for _, a := range addresses {
					who := Speaker{User: user, Address: netip.MustParseAddr(a), Role: room.Role(r.IntN(int(room.Roles)))}
					got, want := d.sanctions.find(in, &who, time.Now), strictest(model, in, &who, wall)
					if (got == nil) != (want == "") || got != nil && got.Kind != want {
						t.Fatalf("%s %+v: %+v, want %q", in, who, got, want)
					}
				}
			}
		}
	}
	for step := range 400 {
		s := Sanction{Kind: sanctionKinds[r.IntN(3)], Room: rooms[r.IntN(3)], ByRole: room.Role(r.IntN(int(room.Roles)))}
		if r.IntN(2) == 0 {
			s.User = users[r.IntN(len(users))]
		} else {
			s.Address = nets[r.IntN(len(nets))]
		}
		kept := mustSanction(t, d, s)
		for id, old := range model {
			if old.Kind == kept.Kind && old.Room == kept.Room && old.User == kept.User && old.Address == kept.Address {
				delete(model, id)
			}
		}
		model[kept.ID] = kept
		for id := range model {
			if r.IntN(4) == 0 {
				if err := d.Lift(id, "test"); err != nil {
					t.Fatal(err)
				}
				delete(model, id)
			}
			break
		}
		if step%20 == 0 {
			check()
		}
		if step%100 == 99 {
			d = reopened(t, d, dir)
			d.store.db.NoSync = true
			for id, s := range model {
				if isGuest(s.User) {
					delete(model, id)
				}
			}
			check()
		}
	}
	for id := range model {
		if err := d.Lift(id, "test"); err != nil {
			t.Fatal(err)
		}
	}
	if s := d.sanctions; len(s.ids)+len(s.targets)+s.guests != 0 || s.lengths != [2][129]int{} || s.count.Load() != 0 {
		t.Errorf("all are lifted, and there is still %+v", s)
	}
}

// strictest looks through a list.
func strictest(model map[string]Sanction, in string, who *Speaker, wall time.Time) SanctionKind {
	var kind SanctionKind
	for _, s := range model {
		hits := s.User == who.User
		if s.Address != "" {
			network, err := netip.ParsePrefix(s.Address)
			if err != nil {
				network = netip.PrefixFrom(netip.MustParseAddr(s.Address), 32)
			}
			hits = network.Contains(who.Address)
		}
		if hits && (s.Room == "" || s.Room == in) && (s.ByRole == 0 || who.Role < s.ByRole) && !over(&s, wall) &&
			(kind == "" || kindIndex(s.Kind) < kindIndex(kind)) {
			kind = s.Kind
		}
	}
	return kind
}

const victimVariable = "MODERATION_TEST_VICTIM"

// beKilled mutes users until it is killed, and says after each that it is kept.
func beKilled(dir string) {
	d, err := Open(Options{Data: dir})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for i := 0; ; i++ {
		if _, err := d.Sanction(Sanction{Kind: Mute, User: fmt.Sprint("u", i), By: "test"}); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(i)
	}
}

// TestKilled: what a server said was kept is there after SIGKILL at any moment.
func TestKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	total := 0
	for round := range 3 {
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), victimVariable+"="+dir)
		out, err := c.StdoutPipe()
		if err == nil {
			err = c.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		kept := -1
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if _, err := fmt.Sscan(lines.Text(), &kept); err != nil {
				t.Fatalf("%q", lines.Text())
			}
			if kept == 20+round*7 {
				c.Process.Kill()
			}
		}
		c.Wait()
		d := desk(t, Options{Data: dir})
		for i := range kept + 1 {
			if v := say(d, "r", nil, viewer(fmt.Sprint("u", i)), "x", 0); v.Code != codeMuted {
				t.Fatalf("round %d: u%d of %d is not muted: %+v", round, i, kept, v)
			}
		}
		total += kept
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if total < 60 {
		t.Errorf("only %d sanctions", total)
	}
}

func TestStoreInUse(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits for the file for as long as a server does")
	}
	dir := t.TempDir()
	d := desk(t, Options{Data: dir})
	if _, err := Open(Options{Data: dir}); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "in use by another process") || !strings.Contains(err.Error(), storeFile) {
		t.Errorf("error %v", err)
	}
	// A server that drains lets go while another one waits.
	opened := make(chan error)
	go func() {
		next, err := Open(Options{Data: dir})
		if err == nil {
			err = next.Close()
		}
		opened <- err
	}()
	mustSanction(t, d, Sanction{Kind: Mute, User: "u"})
	if err := d.LetGo(); err != nil {
		t.Error(err)
	}
	if err := <-opened; err != nil {
		t.Errorf("the next one: %v", err)
	}
	if _, err := d.Sanction(Sanction{Kind: Mute, User: "w", By: "test"}); !errors.Is(err, ErrClosed) {
		t.Errorf("a change that would not be kept: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if v := say(d, "r", nil, viewer("u"), "x", 0); v.Code != codeMuted {
		t.Errorf("after Close: %+v", v)
	}
	if _, err := d.Sanction(Sanction{Kind: Mute, User: "v", By: "test"}); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if len(d.Sanctions("", "v")) != 0 {
		t.Error("what could not be kept is in force")
	}
}

// A damaged file is an error that says so, however it is damaged; the process lives.
func TestDamagedStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, storeFile)
	d := desk(t, Options{Data: dir})
	d.store.db.NoSync = true
	for i := range 300 {
		mustSanction(t, d, Sanction{Kind: Mute, User: fmt.Sprint("user", i), Reason: strings.Repeat("x", 100)})
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	try := func(name string, content []byte) (damaged bool) {
		t.Helper()
		dir := t.TempDir() // what was mapped when the library panicked stays, with its lock
		path := filepath.Join(dir, storeFile)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := Open(Options{Data: dir})
		if err == nil {
			d.Close()
			return false
		}
		if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%s: %v", name, err)
		}
		return true
	}
	if try("whole", whole) {
		t.Fatal("the file as it was is called damaged")
	}
	for name, content := range map[string][]byte{
		"text":              []byte("this is no store\n"),
		"zeros":             make([]byte, len(whole)),
		"cut to a page":     whole[:4096],
		"cut in the middle": whole[:len(whole)/2],
		"cut after metas":   whole[:2*4096],
	} {
		if !try(name, content) {
			t.Errorf("%s: opened", name)
		}
	}
	r := rand.New(rand.NewPCG(9, 10))
	found, rounds := 0, 200
	if raced {
		rounds = 50
	}
	for range rounds {
		spoilt := append([]byte(nil), whole...)
		at := r.IntN(len(spoilt) - 64)
		for i := range 64 {
			spoilt[at+i] = byte(r.Uint32())
		}
		if try("spoilt", spoilt) {
			found++
		}
	}
	if found < rounds/10 { // most of the file is free pages
		t.Errorf("only %d of %d spoilt files were noticed", found, rounds)
	}
}

func TestStoreOfAnotherFormat(t *testing.T) {
	dir := t.TempDir()
	d := desk(t, Options{Data: dir})
	if err := d.store.write(change{put: []record{{bucketMeta, string(keyFormat), 99}}}); err != nil {
		t.Fatal(err)
	}
	d.Close()
	if _, err := Open(Options{Data: dir}); err == nil || !strings.Contains(err.Error(), "another version") {
		t.Errorf("error %v", err)
	}
}

func TestStoreWithoutRights(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Data: filepath.Join(file, "below")}); err == nil || !strings.Contains(err.Error(), "--data") {
		t.Errorf("error %v", err)
	}
}

// The log keeps the newest events, in memory and in the file.
func TestAuditIsBounded(t *testing.T) {
	dir := t.TempDir()
	d := desk(t, Options{Data: dir})
	d.store.db.NoSync = true
	const more = 50
	var c change
	for i := range auditMax + more {
		c.events = append(c.events, Event{By: "test", Action: "kick", Detail: fmt.Sprint(i)})
		d.audit.add(c.events[i])
	}
	if err := d.store.write(c); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		all, err := d.Audit(auditMax * 2)
		if err != nil || len(all) != auditMax || all[0].Detail != fmt.Sprint(auditMax+more-1) || all[auditMax-1].Detail != fmt.Sprint(more) {
			t.Errorf("%d events, %v", len(all), err)
		}
	}
	check()
	d = reopened(t, d, dir)
	check()
	if n, _ := d.Audit(-1); len(n) != 0 {
		t.Error("events for -1")
	}
}
