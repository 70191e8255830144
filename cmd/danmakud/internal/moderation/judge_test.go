package moderation

import (
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/danmakud/danmakud/room"
)

const ms = int64(time.Millisecond)

// say judges a text at a time in milliseconds.
func say(d *Desk, in string, set *room.Settings, who Speaker, text string, atMs int64) Verdict {
	var sc Scratch
	return d.Judge(&sc, in, set, &who, text, (1+atMs)*ms)
}

func viewer(user string) Speaker { return Speaker{User: user, Role: room.RoleViewer} }

// refused checks code, time to wait, and that there is a sentence.
func refused(t *testing.T, v Verdict, code string, retryMs int64) {
	t.Helper()
	if v.Action != Reject || v.Code != code || v.RetryMs != retryMs || len(v.Message) < 10 {
		t.Errorf("%+v, want %s and to wait %d ms", v, code, retryMs)
	}
}

func passed(t *testing.T, v Verdict) {
	t.Helper()
	if v.Action != Pass || v.Text == "" {
		t.Errorf("%+v, want it to pass", v)
	}
}

func TestUserRate(t *testing.T) {
	d := desk(t, Options{UserRate: 2, UserBurst: 3})
	for range 3 {
		passed(t, say(d, "r", nil, viewer("u"), "x", 0))
	}
	refused(t, say(d, "r", nil, viewer("u"), "x", 0), codeRateLimited, 500)
	refused(t, say(d, "other", nil, viewer("u"), "x", 100), codeRateLimited, 400) // rooms share it
	passed(t, say(d, "r", nil, viewer("v"), "x", 0))
	passed(t, say(d, "r", nil, viewer("u"), "x", 500)) // after the time that was told
	refused(t, say(d, "r", nil, viewer("u"), "x", 500), codeRateLimited, 500)
	for range 3 { // full again, and no fuller
		passed(t, say(d, "r", nil, viewer("u"), "x", 3_600_000))
	}
	refused(t, say(d, "r", nil, viewer("u"), "x", 3_600_000), codeRateLimited, 500)
	for range 10 {
		passed(t, say(d, "r", nil, Speaker{User: "m", Role: room.RoleModerator}, "x", 0))
	}
}

func TestAddressRate(t *testing.T) {
	d := desk(t, Options{AddressRate: 1, AddressBurst: 1})
	at := func(user, a string) Speaker { return Speaker{User: user, Address: netip.MustParseAddr(a)} }
	passed(t, say(d, "r", nil, at("a", "192.0.2.1"), "x", 0))
	refused(t, say(d, "r", nil, at("b", "192.0.2.1"), "x", 0), codeRateLimited, 1000)
	refused(t, say(d, "r", nil, at("b", "::ffff:192.0.2.1"), "x", 0), codeRateLimited, 1000)
	passed(t, say(d, "r", nil, at("b", "192.0.2.2"), "x", 0))
	passed(t, say(d, "r", nil, at("c", "2001:db8::1"), "x", 0))
	refused(t, say(d, "r", nil, at("d", "2001:db8::ffff"), "x", 0), codeRateLimited, 1000) // the same /64
	passed(t, say(d, "r", nil, at("d", "2001:db8:0:1::1"), "x", 0))
	passed(t, say(d, "r", nil, Speaker{User: "on a unix socket"}, "x", 0))
	passed(t, say(d, "r", nil, Speaker{User: "on a unix socket"}, "x", 0))
}

func TestSlowMode(t *testing.T) {
	d := desk(t, Options{}, WordList{Name: "w", Action: "reject", Words: []string{"bad"}})
	slow := &room.Settings{SlowMode: 10_000}
	refused(t, say(d, "r", slow, viewer("u"), "bad", 0), codeBlockedWord, 0) // does not start the clock
	passed(t, say(d, "r", slow, viewer("u"), "x", 0))
	refused(t, say(d, "r", slow, viewer("u"), "y", 1000), codeSlowMode, 9000)
	passed(t, say(d, "r", slow, viewer("v"), "x", 1000))
	passed(t, say(d, "other", slow, viewer("u"), "x", 1000))
	passed(t, say(d, "r", slow, Speaker{User: "u", Role: room.RoleModerator}, "y", 1000))
	passed(t, say(d, "r", &room.Settings{}, viewer("u"), "y", 1000)) // switched off
	refused(t, say(d, "r", &room.Settings{SlowMode: 2000}, viewer("u"), "y", 1000), codeSlowMode, 2000)
	passed(t, say(d, "r", slow, viewer("u"), "y", 10_000))
	if v := say(d, "r", slow, viewer("u"), "z", 10_001); !strings.Contains(v.Message, "10 s") {
		t.Errorf("message %q", v.Message)
	}
}

func TestDuplicates(t *testing.T) {
	d := desk(t, Options{DuplicateWindow: 5 * time.Second})
	passed(t, say(d, "r", nil, viewer("u"), "hello 哈哈", 0))
	refused(t, say(d, "r", nil, viewer("u"), "HELLO 哈哈哈哈", 1000), codeDuplicate, 4000)
	refused(t, say(d, "other", nil, viewer("u"), "hello哈哈", 2000), codeDuplicate, 3000)
	passed(t, say(d, "r", nil, viewer("u"), "hello", 2000))
	passed(t, say(d, "r", nil, viewer("v"), "hello 哈哈", 1000))
	passed(t, say(d, "r", nil, viewer("u"), "hello 哈哈", 5000))
	for range 2 {
		passed(t, say(d, "r", nil, Speaker{User: "m", Role: room.RoleAnchor}, "hello", 0))
	}
	off := desk(t, Options{})
	passed(t, say(off, "r", nil, viewer("u"), "hello", 0))
	passed(t, say(off, "r", nil, viewer("u"), "hello", 0))
}

func TestRoomSettingsAreKept(t *testing.T) {
	d := desk(t, Options{})
	closed, vip := &room.Settings{Closed: true}, &room.Settings{MinRole: room.RoleVIP}
	refused(t, say(d, "r", closed, viewer("u"), "x", 0), codeRoomClosed, 0)
	refused(t, say(d, "r", closed, Speaker{User: "u", Role: room.RoleVIP}, "x", 0), codeRoomClosed, 0)
	passed(t, say(d, "r", closed, Speaker{User: "u", Role: room.RoleModerator}, "x", 0))
	refused(t, say(d, "r", vip, viewer("u"), "x", 0), codeForbidden, 0)
	passed(t, say(d, "r", vip, Speaker{User: "u", Role: room.RoleVIP}, "x", 0))
}

func TestTheStrictestListDecides(t *testing.T) {
	lists := []WordList{
		{Name: "a-mask", Action: "mask", Words: []string{"one", "hold", "two"}},
		{Name: "b-hold", Action: "hold", Words: []string{"hold", "three"}},
		{Name: "c-shadow", Action: "shadow", Words: []string{"shadow", "hold shadow"}},
		{Name: "d-reject", Action: "reject", Words: []string{"reject"}, Rooms: []string{"strict", "also"}},
	}
	d := desk(t, Options{}, lists...)
	for _, c := range []struct {
		in, text     string
		action       Action
		list, result string
	}{
		{"r", "all fine", Pass, "", "all fine"},
		{"r", "one or two", Pass, "a-mask", "*** or ***"},
		{"r", "one hold", Hold, "b-hold", "one hold"},
		{"r", "three one", Hold, "b-hold", "three one"},
		{"r", "hold, shadow", Shadow, "c-shadow", "hold, shadow"},
		{"r", "reject one", Pass, "a-mask", "reject ***"},
		{"strict", "shadow reject one", Reject, "d-reject", ""},
		{"also", "reject", Reject, "d-reject", ""},
		{"strict", "shadow", Shadow, "c-shadow", "shadow"},
	} {
		v := say(d, c.in, nil, viewer("u"), c.text, 0)
		if v.Action != c.action || v.List != c.list || v.Text != c.result {
			t.Errorf("%s in %s: %+v", c.text, c.in, v)
		}
		if c.action == Reject {
			refused(t, v, codeBlockedWord, 0)
		}
	}
	passed(t, say(d, "strict", nil, Speaker{User: "m", Role: room.RoleModerator}, "reject shadow", 0))
}

func TestShadowedIsJudgedFirst(t *testing.T) {
	d := desk(t, Options{UserRate: 1, UserBurst: 2, ReviewURL: "http://127.0.0.1:1/"}, WordList{Name: "w", Action: "reject", Words: []string{"bad"}})
	if _, err := d.Sanction(Sanction{Kind: ShadowBan, Room: "r", User: "u", By: "test"}); err != nil {
		t.Fatal(err)
	}
	refused(t, say(d, "r", nil, viewer("u"), "bad", 0), codeBlockedWord, 0) // as for everybody
	if v := say(d, "r", nil, viewer("u"), "fine", 0); v.Action != Shadow {
		t.Errorf("%+v", v)
	}
	refused(t, say(d, "r", nil, viewer("u"), "fine", 0), codeRateLimited, 1000)
	if v := say(d, "other", nil, viewer("u"), "fine", 1000); v.Action != Review {
		t.Errorf("%+v", v)
	}
	if v := say(d, "other", nil, Speaker{User: "m", Role: room.RoleModerator}, "fine", 1000); v.Action != Pass {
		t.Errorf("%+v", v)
	}
	c := d.Counts()
	if c.Verdicts["reject"] != 2 || c.Verdicts["shadow"] != 1 || c.Verdicts["review"] != 1 || c.Verdicts["pass"] != 1 {
		t.Errorf("counts %+v", c)
	}
}

// What passes costs no allocation, with everything switched on, also on the way
// through normalization.
func TestJudgeAllocatesNothing(t *testing.T) {
	d := busyDesk(t)
	texts := remarks(d.rules.Load().words, 100, 30)
	texts = append(texts, "plain letters", strings.Repeat("长", 200))
	var sc Scratch
	set := &room.Settings{SlowMode: 1}
	now := int64(0)
	for _, text := range texts { // the scratch grows to its size
		d.Judge(&sc, "r", set, &speaker, text, now)
		now += 1e9
	}
	i, other := 0, 0
	n := testing.AllocsPerRun(1000, func() {
		if v := d.Judge(&sc, "r", set, &speaker, texts[i%len(texts)], now); v.Action != Pass {
			other++
		}
		i++
		now += 1e9
	})
	if n != 0 || other > 20 {
		t.Errorf("%v allocations a comment, %d do not pass", n, other)
	}
	for _, text := range []string{"cafe\u0301 ㎏ ﬁne", "か\u3099 ᄒ\u1161\u11ab", "STRAßE \u0345e\u0301", "𝐛𝐚𝐝 🅰", "नमस्\u200dते ज\u093c"} { // one by one: an average would hide what few do
		n := testing.AllocsPerRun(100, func() {
			d.Judge(&sc, "r", set, &speaker, text, now)
			now += 1e9
		})
		if n != 0 {
			t.Errorf("%q: %v allocations", text, n)
		}
	}
}

// TestJudgeDuringChanges runs under the race detector: comments are judged while
// everything is changed, and each verdict is that of before or after a change.
func TestJudgeDuringChanges(t *testing.T) {
	d := desk(t, Options{UserRate: 1e6, UserBurst: 100, DuplicateWindow: 1}, WordList{Name: "always", Action: "reject", Words: []string{"never"}})
	var stop atomic.Bool
	var judged atomic.Int64
	var group sync.WaitGroup
	for g := range 4 {
		group.Go(func() {
			var sc Scratch
			who := viewer("u" + string(rune('0'+g)))
			for now := int64(1); !stop.Load(); now += 1e9 {
				v := d.Judge(&sc, "r", &room.Settings{}, &who, "some times", now)
				ok := v.Action == Pass && (v.Text == "some times" || v.Text == "**** times") || v.Action == Reject && v.Code == codeMuted
				if !ok {
					t.Errorf("%+v", v)
					return
				}
				if v := d.Judge(&sc, "r", nil, &who, "n e v e r", now); v.Action != Reject {
					t.Errorf("%+v", v)
					return
				}
				judged.Add(1)
			}
		})
	}
	for round := 0; round < 50 || judged.Load() < 1000; round++ {
		if t.Failed() {
			break
		}
		if err := d.SetWordList(WordList{Name: "some", Action: "mask", Words: []string{"some"}}, "test"); err != nil {
			t.Error(err)
		}
		s, err := d.Sanction(Sanction{Kind: Mute, User: "u1", By: "test", Until: time.Now().Add(time.Hour)})
		if err != nil {
			t.Error(err)
		}
		if err := d.Configure(Options{UserRate: 1e6, UserBurst: 100}); err != nil {
			t.Error(err)
		}
		d.Sweep(time.Now())
		d.Counts()
		if err := d.Lift(s.ID, "test"); err != nil {
			t.Error(err)
		}
		if err := d.RemoveWordList("some", "test"); err != nil {
			t.Error(err)
		}
	}
	stop.Store(true)
	group.Wait()
}
