package moderation

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/danmakud/danmakud/room"
)

// What word lists may have.
const (
	wordsMax     = 100_000 // of all lists together
	wordRunesMax = 100     // of one word
	listsMax     = 64      // a text's lists are a bit set
	listNameMax  = 64
	listRoomsMax = 1000
	lineBytesMax = 4096
)

// listActions are the actions of word lists, the mildest first.
var listActions = [...]string{"mask", "hold", "shadow", "reject"}

const (
	listMask = iota
	listHold
	listShadow
	listReject
)

// roomsMark begins the line of a word file that says where its words count.
const roomsMark = "@rooms"

// readWordFiles reads all lists of a directory, "" has none. What else is in the
// directory than NAME.ACTION.txt is an error: a misnamed list would be one that is
// not in force.
func readWordFiles(dir string) ([]WordList, error) {
	if dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("word lists: %w", err)
	}
	var lists []WordList
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") || entry.IsDir() {
			continue // of editors and mounted volumes
		}
		l, err := readWordFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(lists, func(o WordList) bool { return o.Name == l.Name }) {
			return nil, fmt.Errorf("%s: a list has one action, and there is another file of the list %q", l.File, l.Name)
		}
		lists = append(lists, l)
	}
	return lists, nil
}

func readWordFile(path string) (WordList, error) {
	base, ok := strings.CutSuffix(filepath.Base(path), ".txt")
	name, action, dotted := strings.Cut(base, ".")
	if !ok || !dotted || !validListName(name) || !slices.Contains(listActions[:], action) {
		return WordList{}, fmt.Errorf("%s: a word list is named NAME.ACTION.txt; NAME of a-z 0-9 _ -, ACTION one of reject, mask, hold, shadow", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return WordList{}, fmt.Errorf("word lists: %w", err)
	}
	defer f.Close()
	l := WordList{Name: name, Action: action, File: path}
	if err := parseWords(f, &l); err != nil {
		return WordList{}, fmt.Errorf("%s:%w", path, err)
	}
	return l, nil
}

// parseWords reads a word file into l. An error begins with the number of the line.
func parseWords(r io.Reader, l *WordList) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, lineBytesMax), lineBytesMax)
	var sc Scratch
	n := 0
	for lines.Scan() {
		n++
		line := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		if line == "" || line[0] == '#' {
			continue
		}
		if line[0] == '@' {
			if err := parseRooms(line, l); err != nil {
				return fmt.Errorf("%d: %w", n, err)
			}
			continue
		}
		if err := checkWord(&sc, line); err != nil {
			return fmt.Errorf("%d: %w", n, err)
		}
		if len(l.Words) == wordsMax {
			return fmt.Errorf("%d: all lists together have at most %d words", n, wordsMax)
		}
		l.Words = append(l.Words, line)
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("%d: the line is longer than %d bytes", n+1, lineBytesMax)
	}
	if lines.Err() != nil {
		return fmt.Errorf("%d: %w", n+1, lines.Err())
	}
	return nil
}

func parseRooms(line string, l *WordList) error {
	mark, rest, _ := strings.Cut(line, " ")
	if mark != roomsMark {
		return fmt.Errorf("%q: only %s begins with @; leave it out of words, it is not looked at", line, roomsMark)
	}
	l.Rooms = append(l.Rooms, strings.Fields(strings.ReplaceAll(rest, ",", " "))...)
	return checkRooms(l.Rooms)
}

func checkRooms(rooms []string) error {
	if len(rooms) > listRoomsMax {
		return fmt.Errorf("a list is for at most %d rooms, or for all", listRoomsMax)
	}
	for _, name := range rooms {
		if !room.ValidName(name) {
			return fmt.Errorf("%q: a room name is 1 to 64 of A-Z a-z 0-9 _ . : -", name)
		}
	}
	return nil
}

// checkWord says what is wrong with a word of a list.
func checkWord(sc *Scratch, text string) error {
	if !utf8.ValidString(text) {
		return errors.New("the line is not UTF-8")
	}
	folded := sc.foldWord(text)
	switch {
	case len(folded) == 0:
		return fmt.Errorf("%q: nothing is left of it: words are looked for without spaces and punctuation", text)
	case len(folded) == 1 && len(sc.squeezed) > squeezedRune && folded[0] < utf8.RuneSelf:
		return fmt.Errorf("%q: only %q is left of it, which would be found everywhere: words are looked for without spaces and punctuation", text, string(folded))
	case len(folded) > wordRunesMax:
		return fmt.Errorf("a word has at most %d characters, this has %d", wordRunesMax, len(folded))
	}
	return nil
}

func validListName(s string) bool {
	if s == "" || len(s) > listNameMax {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '-'
	})
}

// checkList says what is wrong with a list that the API sets.
func checkList(l *WordList) error {
	if !validListName(l.Name) {
		return fmt.Errorf("%q: a list's name is 1 to %d of a-z 0-9 _ -", l.Name, listNameMax)
	}
	if !slices.Contains(listActions[:], l.Action) {
		return fmt.Errorf("%q: a list's action is reject, mask, hold or shadow", l.Action)
	}
	if len(l.Words) > wordsMax {
		return fmt.Errorf("all lists together have at most %d words", wordsMax)
	}
	var sc Scratch
	for i, text := range l.Words {
		if len(text) > lineBytesMax {
			return fmt.Errorf("word %d: longer than %d bytes", i+1, lineBytesMax)
		}
		if err := checkWord(&sc, text); err != nil {
			return fmt.Errorf("word %d: %w", i+1, err)
		}
	}
	return checkRooms(l.Rooms)
}
