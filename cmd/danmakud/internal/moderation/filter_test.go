package moderation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"unicode/utf8"
)

// filtered is automaton.all with the filter.
func (a *automaton) filtered(text []rune) (list []found) {
	for at := newPlace(); a.find(&at, text); {
		for e := a.states[at.state].ends; e != 0; e = a.ends[e].next {
			list = append(list, found{at.at, int(a.ends[e].length), a.ends[e].list})
		}
	}
	return list
}

// TestFilterHidesNothing: with the filter the automaton finds what it finds without, in the
// same order, in texts made of words, of parts of words, and of neither.
func TestFilterHidesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	hits, skipped := 0, 0
	for round := range 3000 {
		letters := []rune([]string{"的一", "的一是不了在人有我他这", "的a一b是", "我😀👍a", "ab", "かなカナ한국中文"}[round%6])
		if round%5 == 0 { // so many that most of them are in no word
			for i := range rune(2000) {
				letters = append(letters, 0x4E00+i)
			}
		}
		random := func(n int) []rune {
			text := make([]rune, n)
			for i := range text {
				text[i] = letters[r.IntN(len(letters))]
			}
			return text
		}
		var words []word
		for range 1 + r.IntN(40) {
			words = append(words, word{random(1 + round%2 + r.IntN(9)), uint8(r.IntN(3))})
		}
		a, err := newAutomaton(words)
		if err != nil {
			t.Fatal(err)
		}
		text := random(r.IntN(20))
		for range r.IntN(12) {
			w := words[r.IntN(len(words))].runes
			from := r.IntN(len(w))
			text = append(text, w[from*r.IntN(2):len(w)-r.IntN(len(w)-from)*r.IntN(2)]...)
			text = append(text, random(r.IntN(4))...)
		}
		got, want := a.filtered(text), a.all(text)
		if !slices.Equal(got, want) {
			t.Fatalf("words %v in %q:\n%v, without the filter\n%v", words, string(text), got, want)
		}
		hits += len(want)
		if a.filter.next(text, 0) > 0 {
			skipped++
		}
	}
	if hits < 10_000 || skipped < 300 {
		t.Errorf("%d hits, something skipped in %d texts: the test shows little", hits, skipped)
	}
}

// FuzzFilter compares both with words and texts of all kinds.
func FuzzFilter(f *testing.F) {
	f.Add("的一是", "一是不", "我的一是不了的一是", byte(3))
	f.Add("哈", "bad", "哈哈 bad b a d", byte(0))
	f.Add("\xff", "か\u3099", "がか\u3099ＢＡＤ😀\u200d", byte(9))
	f.Fuzz(func(t *testing.T, one, two, text string, cut byte) {
		var sc Scratch
		var words []word
		for i, w := range []string{one, two, one + two, text[:int(cut)%(len(text)+1)], text[int(cut)%(len(text)+1):]} {
			if folded := sc.foldWord(w); len(folded) > 0 && len(folded) <= wordRunesMax {
				words = append(words, word{slices.Clone(folded), uint8(i)})
			}
		}
		if len(words) == 0 {
			return
		}
		a, err := newAutomaton(words)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{text, one + text + two, text + one + text} {
			sc.foldBare(text)
			if got, want := a.filtered(sc.runes), a.all(sc.runes); !slices.Equal(got, want) {
				t.Errorf("%q: %v, without the filter %v", text, got, want)
			}
		}
	})
}

// checkBare: what foldBare makes of a text is what fold does, and leaves nothing behind.
func checkBare(t *testing.T, text string) {
	t.Helper()
	var whole, bare Scratch
	whole.fold(text)
	want := whole.snapshot()
	bare.foldBare("before 哈哈哈")
	bare.foldBare(text)
	got := bare.snapshot()
	if got.runes != want.runes || got.compare != want.compare {
		t.Fatalf("%q: bare %+q compared as %q, want %+q as %q", text, got.runes, got.compare, want.runes, want.compare)
	}
	if !slices.Equal(slices.Compact(slices.Clone(bare.aparts)), slices.Compact(slices.Clone(whole.aparts))) {
		t.Fatalf("%q: separators before %v, want %v", text, bare.aparts, whole.aparts)
	}
	if utf8.ValidString(text) {
		whole.foldSlow(text)
		if !slices.Equal(slices.Compact(slices.Clone(bare.aparts)), slices.Compact(slices.Clone(whole.aparts))) {
			t.Fatalf("%q: separators before %v, the slow way %v", text, bare.aparts, whole.aparts)
		}
	}
	bare.fold(text)
	if got = bare.snapshot(); !got.equal(want) {
		t.Fatalf("%q: %v by fold after that, want %v", text, got, want)
	}
}

func FuzzFoldBare(f *testing.F) {
	for _, s := range []string{
		"", "bad", "b a d", "ＢＡＤ", "b\u200bad", "か\u3099", "哈哈哈\u3099哈哈", "1000 000", "我\u0301我我我", "ﬁne ﷺ", "ᄒ\u1161\u11ab",
		"\xff\xfe\u0301", "\xe4\xb8\u0301", "a\xc3", "\xe4\xb8中", "中\xe4\xb8", "👨‍👩‍👧‍👦🏽️", "……！！！", "aaa\u0301", "\ud7ff\ue000\U00020000",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) { checkBare(t, text) })
}

// TestFoldBareIsFold is FuzzFoldBare with texts put together of what has a way of its own.
func TestFoldBareIsFold(t *testing.T) {
	pieces := []string{
		"a", "aaa", "B", "0", "000", " ", "中", "哈", "哈哈哈", "，", "。", "Ｗ", "😂", "か", "\u3099", "\u0301", "e\u0301", "\u200b", "ﬁ", "㎏",
		"ß", "ᄒ", "\u1161", "한", "ส", "วั", "न\u093c", "\xff", "\xe4", "\xe4\xb8", "\xf0\x9f", "\xed\xa0\x80", "\xc0\x80", "\U00020000", "\U000E0001", "\ufe0f", "\u200d", "…",
	}
	r := rand.New(rand.NewPCG(9, 10))
	for range 50_000 {
		text := ""
		for range r.IntN(12) {
			piece := pieces[r.IntN(len(pieces))]
			for range 1 + r.IntN(4)*r.IntN(2) {
				text += piece
			}
		}
		checkBare(t, text)
	}
	step := rune(1)
	if raced {
		step = 29
	}
	for r := rune(0); r < 0x30000; r += step {
		checkBare(t, fmt.Sprintf("a%c中%c", r, r))
	}
}
