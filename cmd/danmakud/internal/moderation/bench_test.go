package moderation

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/danmakud/danmakud/room"
)

// vocabulary makes n distinct words as lists have them: three quarters of two to six
// ideographs, the common ones far more often, the rest of four to twelve letters.
func vocabulary(n int) []string {
	r := rand.New(rand.NewPCG(1, 2))
	common := rand.NewZipf(r, 1.1, 20, 6000)
	seen := make(map[string]bool, n)
	words := make([]string, 0, n)
	for len(words) < n {
		var b strings.Builder
		if r.IntN(4) > 0 {
			for range 2 + r.IntN(5) {
				b.WriteRune(rune(0x4E00 + common.Uint64()*3))
			}
		} else {
			for range 4 + r.IntN(9) {
				b.WriteByte("etaoinshrdlucmfwypvbgkjqxz"[min(r.IntN(26), r.IntN(26))])
			}
		}
		if w := b.String(); !seen[w] {
			seen[w] = true
			words = append(words, w)
		}
	}
	return words
}

// remarks are comments of the same alphabet that have none of the words.
func remarks(words *wordSet, n, length int) []string {
	r := rand.New(rand.NewPCG(3, 4))
	common := rand.NewZipf(r, 1.1, 20, 6000)
	var sc Scratch
	list := make([]string, n)
	for i := range list {
		for have := 0; have < length; {
			next := string(rune(0x4E00 + common.Uint64()*3))
			switch {
			case have%9 == 8:
				next = "，"
			case r.IntN(8) == 0:
				next = []string{"6", "o", "哈", "😂", "Ｗ"}[r.IntN(5)]
			}
			sc.fold(list[i] + next)
			if words.scan(&sc, "r") < 0 {
				list[i] += next
				have++
			}
		}
	}
	return list
}

const manyWords = 100_000

// busyDesk has everything switched on: all words, limits that are never reached, a
// thousand sanctions against others, slow mode off.
func busyDesk(tb testing.TB) *Desk {
	tb.Helper()
	d, err := Open(Options{UserRate: 1e6, UserBurst: 1000, AddressRate: 1e6, AddressBurst: 1000, DuplicateWindow: time.Nanosecond})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { d.Close() })
	n := manyWords
	if raced {
		n /= 20
	}
	words := vocabulary(n)
	for i, action := range listActions {
		l := WordList{Name: action, Action: action, Words: words[i*n/4 : (i+1)*n/4]}
		if err := d.SetWordList(l, "test"); err != nil {
			tb.Fatal(err)
		}
	}
	for i := range 1000 {
		s := Sanction{Kind: Mute, Room: "r", User: "other" + string(rune('a'+i%26)) + newID(), By: "test"}
		if i%4 == 0 {
			s.User, s.Address = "", netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}).String()
		}
		if _, err := d.Sanction(s); err != nil {
			tb.Fatal(err)
		}
	}
	return d
}

var speaker = Speaker{User: "u12345", Role: room.RoleViewer, Address: netip.MustParseAddr("192.0.2.7")}

// BenchmarkJudge is the whole of moderation for one comment that passes.
func BenchmarkJudge(b *testing.B) {
	d := busyDesk(b)
	i := 0
	for _, length := range []int{10, 20, 50, 200} {
		texts := remarks(d.rules.Load().words, 500, length)
		b.Run(fmt.Sprintf("%03d_characters", length), func(b *testing.B) {
			var sc Scratch
			set := &room.Settings{}
			b.ReportAllocs()
			for b.Loop() {
				if v := d.Judge(&sc, "r", set, &speaker, texts[i%len(texts)], int64(i)*1000); v.Action != Pass {
					b.Fatalf("%+v", v)
				}
				i++
			}
		})
	}
}

// BenchmarkJudgeWords is what the number of words costs: comments of 20 characters.
func BenchmarkJudgeWords(b *testing.B) {
	all := vocabulary(manyWords)
	for _, n := range []int{0, 1000, 10_000, manyWords} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			d, err := Open(Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer d.Close()
			if err := d.SetWordList(WordList{Name: "w", Action: "reject", Words: all[:n]}, "test"); err != nil {
				b.Fatal(err)
			}
			texts := remarks(d.rules.Load().words, 500, 20)
			var sc Scratch
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				d.Judge(&sc, "r", nil, &speaker, texts[i%len(texts)], int64(i))
				i++
			}
		})
	}
}

// BenchmarkJudgeMarks is for texts whose characters join, and for one that only the
// library's normalization can put into order.
func BenchmarkJudgeMarks(b *testing.B) {
	d := busyDesk(b)
	i := 0
	for _, c := range []struct{ name, text string }{
		{"some", "très bien, cafe\u0301 ㎏ ﬁne, が so"},
		{"200_characters", string([]rune(strings.Repeat("tie\u0302\u0301ng vie\u0323\u0302t สวัสดี न\u093cम", 9))[:200])},
		{"disorder", "a\u0301\u0323\u0327\u0345 very unusual comment"},
	} {
		b.Run(c.name, func(b *testing.B) {
			var sc Scratch
			b.ReportAllocs()
			for b.Loop() {
				if v := d.Judge(&sc, "r", nil, &speaker, c.text, int64(i)*2000); v.Action != Pass {
					b.Fatalf("%+v", v)
				}
				i++
			}
		})
	}
}

// BenchmarkCompile is a reload of all words; it reports the automaton's memory.
func BenchmarkCompile(b *testing.B) {
	l := []WordList{{Name: "w", Action: "reject", Words: vocabulary(manyWords)}}
	var s *wordSet
	for b.Loop() {
		var err error
		if s, err = newWordSet(l); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(s.find.bytes()), "B/automaton")
	b.ReportMetric(float64(len(s.find.states)), "states")
	runtime.KeepAlive(s)
}
