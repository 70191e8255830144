package moderation

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// marksOf are the code points that may join the one before them.
func marksOf() (marks []rune) {
	for r, f := range theFoldings().table {
		if f&foldJoins != 0 && utf8.ValidRune(rune(r)) {
			marks = append(marks, rune(r))
		}
	}
	return marks
}

// sameBothWays compares fold with the library alone.
func sameBothWays(t *testing.T, sc *Scratch, text string) {
	t.Helper()
	sc.fold(text)
	fast := sc.snapshot()
	sc.foldSlow(text)
	if slow := sc.snapshot(); !fast.equal(slow) {
		t.Fatalf("%+q: %+q %v, the slow way %+q %v", text, fast.runes, fast.origins, slow.runes, slow.origins)
	}
}

// TestComposeIsTheSlowWay: letters with marks become what normalization and case
// folding of the whole text make of them: all letters that are made of others, in their
// parts; every mark behind letters of every sort; and many marks in any order.
func TestComposeIsTheSlowWay(t *testing.T) {
	var sc Scratch
	bases := []rune("aeinowyzAEINOWYZßſKÅıİ1 .*×αωΑΩςиИеЕעבאאابيकनথกขか한가각ᄀᄒᅠⰀꙮ∃=😀𑄱𑒹ᾳǖẞꭰᎠ")
	marks := marksOf()
	if len(marks) < 1000 {
		t.Fatalf("only %d marks", len(marks))
	}
	step := 1
	if raced {
		step = 29
	}
	for i := 0; i < len(marks)*len(bases); i += step {
		sameBothWays(t, &sc, string([]rune{'x', bases[i%len(bases)], marks[i/len(bases)], 'x'}))
	}
	for r := rune(0); r < 0x30000; r += rune(step) {
		if !utf8.ValidRune(r) {
			continue
		}
		if parts := norm.NFD.String(string(r)); parts != string(r) {
			sameBothWays(t, &sc, parts)
			sameBothWays(t, &sc, strings.ToUpper(parts)+parts)
			sameBothWays(t, &sc, string(r)+string(marks[int(r)%len(marks)]))
		}
	}
	random := rand.New(rand.NewPCG(7, 8))
	common := []rune("\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0323\u0327\u0328\u0331\u0338\u0345\u3099\u309a\u1161\u11a8\u0e31\u0e49\u093c\u094d\u09be\u0bd7\u200d\ufe0f")
	for range 300_000 / step {
		text := []rune{bases[random.IntN(len(bases))]}
		for range 1 + random.IntN(5) {
			switch random.IntN(8) {
			case 0:
				text = append(text, bases[random.IntN(len(bases))])
			case 1:
				text = append(text, marks[random.IntN(len(marks))])
			default:
				text = append(text, common[random.IntN(len(common))])
			}
		}
		sameBothWays(t, &sc, string(text))
	}
	for _, text := range []string{"a" + strings.Repeat("\u0301", 100) + "b", "\u1112\u1161\u11a8\u11a8", "\u1112\u1161\u1161", "W\u0323\u030a\u0301"} {
		sameBothWays(t, &sc, text)
	}
}

// TestComposeTakesWhatIsCommon: the library is not asked for what people write.
func TestComposeTakesWhatIsCommon(t *testing.T) {
	var sc Scratch
	for _, text := range []string{
		"cafe\u0301", "CAFE\u0301", "tie\u0302\u0301ng vie\u0323\u0302t", "W\u030a", "か\u3099", "สวัสดีครับ ที่นี่", "नमस्ते क\u093cि", "مَرْحَبًا", "שָׁלוֹם",
		"\u1112\u1161\u11ab\u1100\u1173\u11af", "и\u0306", "x\u0338\u0301", "👍🏽🇩🇪❤️", "வணக்கம்",
	} {
		sc.begin()
		for i := 0; i < len(text); {
			f, size := theFoldings().at(text, i)
			if _, next := theFoldings().at(text, i+size); next == 0 && i+size >= len(text) && f&foldJoins == 0 {
				break
			}
			g, _ := theFoldings().at(text, i+size)
			if (f|g)&foldJoins == 0 {
				i += size
				continue
			}
			end, ok := sc.compose(text, i)
			if !ok {
				t.Errorf("%+q: the library is asked at %d", text, i)
				break
			}
			i = end
		}
	}
}
