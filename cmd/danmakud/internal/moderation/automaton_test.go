package moderation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// found is a word at a place.
type found struct {
	to, length int
	list       uint8
}

func (a *automaton) all(text []rune) (list []found) {
	at := int32(0)
	for i := 0; i < len(text); {
		at, i = a.run(at, text, i)
		for e := a.states[at].ends; e != 0; e = a.ends[e].next {
			list = append(list, found{i, int(a.ends[e].length), a.ends[e].list})
		}
	}
	return list
}

// naive looks at every place for every word.
func naive(words []word, text []rune) (list []found) {
	seen := make(map[found]bool)
	for to := 1; to <= len(text); to++ {
		for _, w := range words {
			f := found{to, len(w.runes), w.list}
			if from := to - len(w.runes); from >= 0 && slices.Equal(text[from:to], w.runes) && !seen[f] {
				seen[f] = true
				list = append(list, f)
			}
		}
	}
	return list
}

func TestAutomatonFindsWhatIsThere(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	alphabets := []string{"ab", "abc", "a我😀b", "abcdefghijklmnopqrstuvwxyz", "的一是不了在人有我他这"}
	random := func(letters []rune, n int) []rune {
		text := make([]rune, n)
		for i := range text {
			text[i] = letters[r.IntN(len(letters))]
		}
		return text
	}
	order := func(a, b found) int { return (a.to-b.to)*1e6 + (a.length-b.length)*1e3 + int(a.list) - int(b.list) }
	hits := 0
	for round := range 2000 {
		letters := []rune(alphabets[round%len(alphabets)])
		var words []word
		for range 1 + r.IntN(40) {
			words = append(words, word{random(letters, 1+r.IntN(6)), uint8(r.IntN(3))})
		}
		a, err := newAutomaton(words)
		if err != nil {
			t.Fatal(err)
		}
		text := random(append(letters, 'ü', '🦊'), r.IntN(60))
		got, want := a.all(text), naive(words, text)
		slices.SortFunc(got, order)
		slices.SortFunc(want, order)
		if !slices.Equal(got, want) {
			t.Fatalf("words %v in %q:\n%v, want\n%v", words, string(text), got, want)
		}
		hits += len(want)
	}
	if hits < 10_000 {
		t.Errorf("only %d hits: the test shows little", hits)
	}
}

// Each of very many words is found, and the memory is what the documentation says.
func TestAutomatonOfManyWords(t *testing.T) {
	n := manyWords
	if raced {
		n /= 20
	}
	list := WordList{Name: "w", Action: "reject", Words: vocabulary(n)}
	s, err := newWordSet([]WordList{list})
	if err != nil {
		t.Fatal(err)
	}
	var sc Scratch
	for _, text := range list.Words {
		sc.fold(text)
		if !slices.ContainsFunc(s.find.all(sc.runes), func(f found) bool { return f.to == len(sc.runes) && f.length == f.to }) {
			t.Fatalf("%q is not found", text)
		}
	}
	runes := 0
	for _, text := range list.Words {
		runes += len([]rune(text))
	}
	if n := s.find.bytes(); n > 16<<20 {
		t.Errorf("%d words of %d characters take %d bytes", len(list.Words), runes, n)
	} else {
		t.Logf("%d words of %d characters: %d states, %d bytes", len(list.Words), runes, len(s.find.states), n)
	}
}

func TestTooMany(t *testing.T) {
	if raced {
		t.Skip("compiles a hundred thousand words, on one goroutine")
	}
	var words []string
	for i := range wordsMax + 1 {
		words = append(words, fmt.Sprintf("word%d", i))
	}
	d := desk(t, Options{})
	if err := d.SetWordList(WordList{Name: "a", Action: "mask", Words: words}, "test"); err == nil || !strings.Contains(err.Error(), "100000") {
		t.Errorf("too many words: %v", err)
	}
	if err := d.SetWordList(WordList{Name: "a", Action: "mask", Words: words[:wordsMax]}, "test"); err != nil {
		t.Errorf("as many as allowed: %v", err)
	}
	if err := d.SetWordList(WordList{Name: "b", Action: "mask", Words: []string{"one"}}, "test"); err == nil {
		t.Error("one list more is taken")
	}
	d.RemoveWordList("a", "test")
	for i := range listsMax {
		if err := d.SetWordList(WordList{Name: fmt.Sprint("l", i), Action: "mask", Words: []string{"one"}}, "test"); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.SetWordList(WordList{Name: "b", Action: "mask", Words: []string{"one"}}, "test"); err == nil {
		t.Error("too many lists are taken")
	}
}
