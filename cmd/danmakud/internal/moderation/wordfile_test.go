package moderation

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// folder writes word files and returns their directory.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestWordFiles(t *testing.T) {
	dir := folder(t, map[string]string{
		"base.reject.txt": "\ufeff# what nobody may say\n\n  bad  \r\n傻逼\n",
		"soft.mask.txt":   "@rooms quiet, a:b\n@rooms c\nhmm\n# end",
		"empty.hold.txt":  "",
		".hidden":         "x",
	})
	if err := os.Mkdir(filepath.Join(dir, "..data"), 0o700); err != nil {
		t.Fatal(err)
	}
	d := desk(t, Options{Words: dir})
	want := []WordList{
		{Name: "base", Action: "reject", Count: 2, File: filepath.Join(dir, "base.reject.txt")},
		{Name: "empty", Action: "hold", File: filepath.Join(dir, "empty.hold.txt")},
		{Name: "soft", Action: "mask", Rooms: []string{"quiet", "a:b", "c"}, Count: 1, File: filepath.Join(dir, "soft.mask.txt")},
	}
	if got := d.Words(); !reflect.DeepEqual(got, want) {
		t.Errorf("lists\n%+v, want\n%+v", got, want)
	}
	if l, err := d.WordList("base"); err != nil || !reflect.DeepEqual(l.Words, []string{"bad", "傻逼"}) {
		t.Errorf("%+v, %v", l, err)
	}
	if v := say(d, "quiet", nil, viewer("u"), "hmm", 0); v.Text != "***" {
		t.Errorf("%+v", v)
	}
	if v := say(d, "r", nil, viewer("u"), "hmm", 0); v.Text != "hmm" {
		t.Errorf("%+v", v)
	}
	refused(t, say(d, "r", nil, viewer("u"), "BAD", 0), codeBlockedWord, 0)
	for _, err := range []error{
		d.SetWordList(WordList{Name: "base", Action: "mask", Words: []string{"x"}}, "test"), d.RemoveWordList("base", "test"),
	} {
		if err == nil || !strings.Contains(err.Error(), "base.reject.txt") {
			t.Errorf("a file's list is changed: %v", err)
		}
	}
}

// A bad file names its line, and what was in force stays.
func TestBadWordFiles(t *testing.T) {
	good := folder(t, map[string]string{"a.reject.txt": "bad\n"})
	d := desk(t, Options{Words: good, UserRate: 1, UserBurst: 1}, WordList{Name: "taken", Action: "mask", Words: []string{"x"}})
	for _, c := range []struct{ name, text, want string }{
		{"a.reject.txt", "ok\n\n...\n", "a.reject.txt:3: \"...\": nothing is left"},
		{"a.reject.txt", "c++\n", "a.reject.txt:1: \"c++\": only \"c\" is left"},
		{"a.reject.txt", "ok\nb\xffd\n", "a.reject.txt:2: the line is not UTF-8"},
		{"a.reject.txt", "ok\n" + strings.Repeat("x", 101), "a.reject.txt:2: a word has at most 100 characters, this has 101"},
		{"a.reject.txt", "ok\n" + strings.Repeat("x", 5000), "a.reject.txt:2: the line is longer"},
		{"a.reject.txt", "@room r\n", "a.reject.txt:1: \"@room r\": only @rooms"},
		{"a.reject.txt", "@rooms good bad/one\n", "a.reject.txt:1: \"bad/one\": a room name"},
		{"a.reject.txt", strings.Repeat("ab\n", wordsMax+1), "a.reject.txt:100001: all lists together have at most 100000 words"},
		{"a.txt", "ok\n", "a.txt: a word list is named NAME.ACTION.txt"},
		{"a.rejects.txt", "ok\n", "a.rejects.txt: a word list is named"},
		{"a.reject.text", "ok\n", "a.reject.text: a word list is named"},
		{"A.reject.txt", "ok\n", "A.reject.txt: a word list is named"},
		{"b.mask.txt", "ok\n", "another file of the list \"b\""},
		{"taken.hold.txt", "ok\n", "there is a list \"taken\" already"},
	} {
		dir := folder(t, map[string]string{"b.hold.txt": "word\n", c.name: c.text})
		if err := d.Configure(Options{Words: dir}); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if _, err := Open(Options{Words: dir}); err == nil && c.name != "taken.hold.txt" {
			t.Errorf("%s: a server starts with it", c.name)
		}
	}
	if err := d.Configure(Options{Words: filepath.Join(good, "none")}); err == nil || !strings.Contains(err.Error(), "word lists: ") {
		t.Errorf("no directory: %v", err)
	}
	refused(t, say(d, "r", nil, viewer("u"), "bad", 0), codeBlockedWord, 0) // all is as it was
	refused(t, say(d, "r", nil, viewer("u"), "x", 0), codeRateLimited, 1000)
}

func TestWordFilesAreReadAgain(t *testing.T) {
	dir := folder(t, map[string]string{"a.reject.txt": "bad\n"})
	d := desk(t, Options{Words: dir})
	for path, text := range map[string]string{"a.reject.txt": "worse\n", "b.hold.txt": "maybe\n"} {
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, say(d, "r", nil, viewer("u"), "bad", 0), codeBlockedWord, 0)
	if err := d.Configure(Options{Words: dir}); err != nil {
		t.Fatal(err)
	}
	passed(t, say(d, "r", nil, viewer("u"), "bad", 0))
	refused(t, say(d, "r", nil, viewer("u"), "worse", 0), codeBlockedWord, 0)
	if v := say(d, "r", nil, viewer("u"), "maybe", 0); v.Action != Hold {
		t.Errorf("%+v", v)
	}
	if err := d.Configure(Options{}); err != nil || len(d.Words()) != 0 {
		t.Errorf("without a directory: %v %v", d.Words(), err)
	}
}

func TestListsOfTheAPIAreChecked(t *testing.T) {
	d := desk(t, Options{})
	for _, c := range []struct {
		l    WordList
		want string
	}{
		{WordList{Name: "", Action: "mask"}, "a list's name"},
		{WordList{Name: "a/b", Action: "mask"}, "a list's name"},
		{WordList{Name: strings.Repeat("a", 65), Action: "mask"}, "a list's name"},
		{WordList{Name: "a", Action: "delete"}, "a list's action"},
		{WordList{Name: "a", Action: "mask", Words: []string{"ok", ""}}, "word 2"},
		{WordList{Name: "a", Action: "mask", Words: []string{strings.Repeat("a ", 3000)}}, "word 1: longer"},
		{WordList{Name: "a", Action: "mask", Rooms: []string{"a b"}}, "room name"},
		{WordList{Name: "a", Action: "mask", Rooms: make([]string, listRoomsMax+1)}, "at most 1000 rooms"},
	} {
		if err := d.SetWordList(c.l, "test"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.l, err, c.want)
		}
	}
	if err := d.RemoveWordList("none", "test"); err != ErrNotFound {
		t.Errorf("%v", err)
	}
	if _, err := d.WordList("none"); err != ErrNotFound {
		t.Errorf("%v", err)
	}
	if events, _ := d.Audit(10); len(events) != 0 {
		t.Errorf("%v", events)
	}
}

func FuzzWordFile(f *testing.F) {
	for _, s := range []string{"", "bad\n傻逼", "# c\n@rooms a b\nx y", "@rooms", "\ufeff\n\r\n", "...", "c++", "\xff", strings.Repeat("\u0301", 200), "@", "@rooms ,,,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l := WordList{Name: "w", Action: "reject"}
		if err := parseWords(strings.NewReader(text), &l); err != nil {
			if first, _, _ := strings.Cut(err.Error(), ":"); first == "" || strings.Trim(first, "0123456789") != "" {
				t.Errorf("%q: the error does not begin with a line: %v", text, err)
			}
			return
		}
		if err := checkList(&l); err != nil {
			t.Errorf("%q is a list of a file, and none of the API: %v", text, err)
		}
		s, err := newWordSet([]WordList{l})
		if err != nil {
			t.Fatal(err)
		}
		in := "r"
		if len(l.Rooms) > 0 {
			in = l.Rooms[0]
		}
		var sc Scratch
		for _, w := range l.Words {
			if !utf8.ValidString(w) {
				t.Errorf("%q is a word", w)
			}
			sc.fold(w)
			if s.scan(&sc, in) < 0 {
				t.Errorf("%q is not found in itself", w)
			}
		}
	})
}
