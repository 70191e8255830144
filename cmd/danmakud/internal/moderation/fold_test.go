package moderation

import (
	"hash/maphash"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// desk opens one in memory, with one list if there are words.
func desk(t testing.TB, o Options, lists ...WordList) *Desk {
	t.Helper()
	d, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, l := range lists {
		if err := d.SetWordList(l, "test"); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func TestMaskFindsWhatPeopleHide(t *testing.T) {
	d := desk(t, Options{}, WordList{Name: "w", Action: "mask", Words: []string{"bad", "傻逼", "Straße", "café", "かず", "kg", "🖕", "c++x"}})
	var sc Scratch
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"good", "good"},
		{"bad", "***"},
		{"Bad BAD bAd", "*** *** ***"},
		{"badly", "***ly"},
		{"b a d", "* * *"},
		{"so b.a-d!", "so *.*-*!"},
		{"b  \t a\u3000d", "*  \t *\u3000*"},
		{"ＢＡＤ", "***"},
		{"𝐛𝐚𝐝 𝔟𝔞𝔡", "*** ***"},
		{"ⓑⓐⓓ", "***"},
		{"b\u200bad", "***"},
		{"b\u00ad\u2060a\ufe0fd!", "***!"},
		{"b\u0301ad", "b\u0301ad"}, // another letter
		{"club admin", "club admin"},
		{"club a d", "club a d"},
		{"b adly", "b adly"},
		{"a b\u200ba\u200bdx", "a ***x"},
		{"你傻逼啊", "你**啊"},
		{"你傻 逼啊", "你* *啊"},
		{"傻、逼", "*、*"},
		{"傻傻逼逼", "傻**逼"},
		{"STRASSE strasse Straße", "******* ******* ******"},
		{"CAFE\u0301 cafÉ", "**** ****"},
		{"か\u3099す かず カズ", "か\u3099す ** カズ"},
		{"かす\u3099", "**"},
		{"5㎏!", "5*!"},
		{"no 🖕🏽 here", "no *🏽 here"},
		{"cx", "**"},
		{"badbad bad", "****** ***"},
	} {
		v := d.Judge(&sc, "r", nil, &Speaker{User: "u"}, c.text, 1)
		if v.Action != Pass || v.Text != c.want {
			t.Errorf("%q: %v %q, want %q", c.text, v.Action, v.Text, c.want)
		}
		if hit := v.List != ""; hit != (c.text != c.want) {
			t.Errorf("%q: list %q", c.text, v.List)
		}
	}
}

func TestKey(t *testing.T) {
	d := desk(t, Options{})
	for _, same := range [][]string{
		{"哈哈", "哈哈哈哈", "哈 哈\u200b哈"},
		{"666", "66666", "６６６"},
		{"GOOD game", "good game", "goodgame"},
		{"2333", "233333333"},
		{"cafe\u0301", "Café"},
		{"……", "........"},
		{"？？？", "??"},
		{"㎏", "KG"},
	} {
		for _, text := range same[1:] {
			if d.Key(text) != d.Key(same[0]) {
				t.Errorf("%q and %q are not the same", same[0], text)
			}
		}
	}
	for _, other := range [][2]string{
		{"god", "good"}, {"100", "1000"}, {"+1", "-1"}, {"哈", "哈哈"}, {"好?", "好!"}, {"ab", "ba"}, {"a", "b"}, {"66", "6 7"}, {"1", "11"},
	} {
		if d.Key(other[0]) == d.Key(other[1]) {
			t.Errorf("%q and %q are the same", other[0], other[1])
		}
	}
	for text, zero := range map[string]bool{"": true, "\u200b": true, " \t": true, "!": false, "。": false, "😂": false, "a": false} {
		if key := d.Key(text); (key == 0) != zero {
			t.Errorf("key of %q: %d", text, key)
		}
	}
}

// folded is what fold and foldSlow made of a text.
type folded struct {
	runes   string
	origins []origin
	compare string
}

func (sc *Scratch) snapshot() folded {
	return folded{string(sc.runes), slices.Clone(sc.origins), string(sc.squeezed)}
}

func (f folded) equal(g folded) bool {
	return f.runes == g.runes && f.compare == g.compare && slices.Equal(f.origins, g.origins)
}

// TestTableIsTheSlowWay: for every code point, alone and among others, the table
// says what normalization and case folding of the whole text do.
func TestTableIsTheSlowWay(t *testing.T) {
	step := rune(1)
	if raced {
		step = 29
	}
	var sc Scratch
	for r := rune(0); r <= utf8.MaxRune; r += step {
		if !utf8.ValidRune(r) {
			continue
		}
		for _, text := range []string{string(r), "a" + string(r) + "한", "か" + string(r) + string(r)} {
			sc.fold(text)
			fast := sc.snapshot()
			sc.foldSlow(text)
			if slow := sc.snapshot(); !fast.equal(slow) {
				t.Fatalf("%U in %q: %+q %v, the slow way %+q %v", r, text, fast.runes, fast.origins, slow.runes, slow.origins)
			}
		}
	}
}

// A text that is folded again stays as it is.
func TestFoldTwice(t *testing.T) {
	var sc Scratch
	for r := rune(0); r < 0x20000; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		sc.fold(string(r))
		once := string(sc.runes)
		sc.fold(once)
		if string(sc.runes) != once {
			t.Errorf("%U becomes %+q, then %+q", r, once, string(sc.runes))
		}
	}
}

func TestManyHitsAreMasked(t *testing.T) {
	d := desk(t, Options{}, WordList{Name: "w", Action: "mask", Words: []string{"a", "aa", "aaa"}})
	var sc Scratch
	text := strings.Repeat("a ", 500) + "b"
	v := d.Judge(&sc, "r", nil, &Speaker{User: "u"}, text, 1)
	if want := strings.Repeat("* ", 500) + "b"; v.Text != want {
		t.Errorf("%q", v.Text)
	}
}

func FuzzFold(f *testing.F) {
	for _, s := range []string{
		"", "bad", "b a d", "ＢＡＤ", "b\u200bad", "か\u3099", "e\u0301\u0301\u0301", "ﬁne ﷺ", "한국어 ᄒ\u1161\u11ab", "\xff\xfe", "a\xc3",
		"👨‍👩‍👧‍👦🏽️", "\u0345\u0345", strings.Repeat("\u0301", 100), "ß ẞ İ ı", "\u0f73\u0f71", "…①㎏",
	} {
		f.Add(s, "bad")
	}
	seed := maphash.MakeSeed()
	f.Fuzz(func(t *testing.T, text, word string) {
		var sc Scratch
		sc.fold(text)
		fast := sc.snapshot()
		checkOrigins(t, text, sc.origins)
		if sc.key(seed) == 0 && len(sc.runes) > 0 {
			t.Errorf("%q has no key", text)
		}
		if utf8.ValidString(text) {
			sc.foldSlow(text)
			if slow := sc.snapshot(); !fast.equal(slow) {
				t.Errorf("%q: %+q, the slow way %+q", text, fast.runes, slow.runes)
			}
		}
		if checkWord(&sc, word) != nil || len(word) > 200 {
			return
		}
		words, err := newWordSet([]WordList{{Name: "w", Action: "mask", Words: []string{word}}})
		if err != nil {
			t.Fatal(err)
		}
		sc.fold(text)
		if words.scan(&sc, "r") >= 0 {
			checkMask(t, &sc, text)
		}
		sc.fold(word)
		if words.scan(&sc, "r") < 0 {
			t.Errorf("the word %q is not found in itself", word)
		}
	})
}

// checkOrigins: every folded character comes from a part of the text, in order.
func checkOrigins(t *testing.T, text string, origins []origin) {
	t.Helper()
	before := origin{}
	for _, o := range origins {
		same := o.start == before.start && o.end == before.end
		if o.start >= o.end || int(o.end) > len(text) || !same && o.start < before.end {
			t.Fatalf("%q: %v after %v", text, o, before)
		}
		before = o
	}
}

// checkMask: what is outside of the hits is as it was, and what is inside is gone.
func checkMask(t *testing.T, sc *Scratch, text string) {
	t.Helper()
	inside := make([]bool, len(text)+1)
	for _, h := range sc.hits {
		for i := h.from; i < h.to; i++ {
			for j := sc.origins[i].start; j < sc.origins[i].end; j++ {
				inside[j] = true
			}
		}
	}
	masked := string(sc.mask(text))
	if utf8.ValidString(text) && !utf8.ValidString(masked) {
		t.Errorf("%q became %q", text, masked)
	}
	var rest strings.Builder
	for i, r := range text {
		if !inside[i] && !invisible(r) {
			rest.WriteRune(r)
		}
	}
	var left strings.Builder
	for _, r := range masked {
		if r != maskSign && !invisible(r) {
			left.WriteRune(r)
		}
	}
	if strings.ReplaceAll(rest.String(), "*", "") != left.String() {
		t.Errorf("%q became %q: %q is left, want %q", text, masked, left.String(), rest.String())
	}
}
