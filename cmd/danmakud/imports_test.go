package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

const module = "github.com/danmakud/danmakud"

// repository is the root of the tree, seen from this package.
const repository = "../.."

// source is one Go file of the repository.
type source struct {
	path   string // from the root, with slashes
	dir    string // "poller", "cmd/danmakud/internal/server"
	test   bool
	syntax *ast.File
}

// sources parses every Go file, those of other systems and tags included.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	walk(t, func(path string) {
		if filepath.Ext(path) != ".go" {
			return
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), filepath.Join(repository, path), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return
		}
		all = append(all, source{path: path, dir: filepath.ToSlash(filepath.Dir(path)), test: strings.HasSuffix(path, "_test.go"), syntax: syntax})
	})
	if len(all) < 20 {
		t.Fatalf("only %d Go files found: the test shows nothing", len(all))
	}
	return all
}

// walk visits the files of the repository that a person wrote.
func walk(t *testing.T, visit func(path string)) {
	t.Helper()
	err := filepath.WalkDir(repository, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if os.IsNotExist(err) { // a build beside us removed it
				return nil
			}
			return err
		}
		if d.IsDir() {
			if slices.Contains([]string{".git", "node_modules", "bin", "out", "testdata"}, d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if d.Name() == ".git" { // a file, in a further worktree
			return nil
		}
		rel, err := filepath.Rel(repository, path)
		if err == nil && d.Type().IsRegular() {
			visit(filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// importRules says who may import what. The first rule whose prefix fits an
// import decides; packages of the standard library fit none.
var importRules = []struct {
	prefix string
	allow  func(s source) bool
	why    string
}{
	{"golang.org/x/sys", in("poller"), "only poller speaks to the kernel"},
	{"github.com/gobwas/ws", in("wsproto"), "only wsproto knows the framing library"},
	{"github.com/klauspost/compress/zlib", in("cmd/danmakud/internal/packet"), "only a dialect that asks for it writes zlib"},
	{"github.com/klauspost/compress/s2", in("cmd/danmakud/internal/cluster"), "only the bus writes S2"},
	{"github.com/klauspost/compress", in("wsproto"), "only wsproto compresses frames"},
	{"github.com/prometheus/", in("cmd/danmakud/internal"), "metrics belong to the server command"},
	{"github.com/spf13/cobra/doc", testOnly, "man pages are written by a test, so that the program has no library for it"},
	{"github.com/spf13/", in("cmd/danmakud", "bench"), "libraries do not read flags"},
	{"github.com/pelletier/go-toml/", in("cmd/danmakud/internal/config"), "settings are read in one place"},
	{"github.com/coreos/go-systemd/", in("cmd/danmakud"), "libraries do not know what started them"},
	{"github.com/HdrHistogram/", in("bench"), "only the load tool keeps histograms"},
	{"github.com/axiomhq/hyperloglog", in("room"), "only rooms estimate how many viewers they had"},
	{"github.com/cespare/xxhash/", in("cmd/danmakud/internal/server"), "only sessions make hashes of viewers"},
	{"go.etcd.io/bbolt", in("cmd/danmakud/internal/moderation"), "one store keeps what outlives the process"},
	{"github.com/nats-io/", in("cmd/danmakud/internal/cluster", "cmd/danmakud/internal/natstest"), "the bus is in one place"},
	{"google.golang.org/protobuf", func(s source) bool { return s.test || in("cmd/danmakud/internal", "clients/proto")(s) }, "only dialects and the bus write it"},
	{"golang.org/x/text", in("cmd/danmakud/internal/moderation"), "only moderation compares texts"},
	{"github.com/golang-jwt/jwt/", func(s source) bool { return s.test || in("cmd/danmakud/internal/token")(s) }, "tokens are judged in one place"},
	{"github.com/valyala/fastjson", in("cmd/danmakud/internal/server", "cmd/danmakud/internal/packet", "cmd/danmakud/internal/strictjson", "cmd/danmakud/internal/protobuf"), "only sessions and dialects parse on the way of a comment"},
	{"github.com/coder/websocket", func(s source) bool { return s.test || in("clients/go")(s) }, "the server has a protocol code of its own; other libraries serve its clients"},
	{"github.com/gorilla/websocket", testOnly, "other libraries serve as foreign clients in tests"},
	{module + "/cmd/danmakud/internal/natstest", testOnly, "NATS servers are started by tests"},
	{module + "/cmd/", in("cmd"), "nothing points up to a command"},
	{module + "/clients/proto", testOnly, "the server writes the wire format itself; the types are for viewers"},
	{module + "/clients/js", in("cmd/danmakud/internal/page"), "the demo page serves the JavaScript client"},
	{module + "/clients/go", in("clients/go"), "the Go client is for others, and knows the server by its protocol alone"},
	{module + "/bench", in("bench"), "nothing points up to a command"},
	{module + "/room", in("room", "cmd"), "room is above poller and wsproto and apart from bench"},
	{module + "/poller", in("poller", "cmd", "bench"), "room has no socket, wsproto no I/O"},
	{module + "/wsproto", in("wsproto", "room", "cmd", "bench"), "poller knows nothing of WebSocket"},
	{"", func(s source) bool { return false }, "this dependency has no rule"},
}

func in(dirs ...string) func(source) bool {
	return func(s source) bool {
		return slices.ContainsFunc(dirs, func(dir string) bool {
			return s.dir == dir || strings.HasPrefix(s.dir, dir+"/")
		})
	}
}

// rawSyscalls reports whether s is a file that speaks to one kernel directly.
// Only there a pointer must be handed over as a number.
func rawSyscalls(s source) bool {
	return in("poller", "bench")(s) && (strings.HasSuffix(s.path, "_linux.go") || strings.HasSuffix(s.path, "_bsd.go")) ||
		s.dir == "cmd/danmakud" && strings.HasSuffix(s.path, "_linux_test.go")
}

// generated reports whether protoc-gen-go has written s.
func generated(s source) bool { return in("clients/proto")(s) && strings.HasSuffix(s.path, ".pb.go") }

func testOnly(s source) bool { return s.test }

// TestImportRule: imports point down, and each foreign library has one place.
func TestImportRule(t *testing.T) {
	for _, s := range sources(t) {
		for _, spec := range s.syntax.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if path == "C" || path == "unsafe" && !rawSyscalls(s) && !generated(s) {
				t.Errorf("%s imports %s", s.path, path)
			}
			first, _, _ := strings.Cut(path, "/")
			if !strings.Contains(first, ".") {
				continue // standard library
			}
			for _, rule := range importRules {
				if strings.HasPrefix(path, rule.prefix) {
					if !rule.allow(s) {
						t.Errorf("%s imports %s: %s", s.path, path, rule.why)
					}
					break
				}
			}
		}
	}
}

// TestOneValidator: fastjson's validator takes seconds for a few KiB that are nested
// deep, so strictjson alone calls it.
func TestOneValidator(t *testing.T) {
	found := 0
	for _, s := range sources(t) {
		ast.Inspect(s.syntax, func(n ast.Node) bool {
			call, ok := n.(*ast.SelectorExpr)
			if !ok || !strings.HasPrefix(call.Sel.Name, "Validate") {
				return true
			}
			if x, ok := call.X.(*ast.Ident); !ok || x.Name != "fastjson" {
				return true
			}
			if found++; !in("cmd/danmakud/internal/strictjson")(s) {
				t.Errorf("%s calls fastjson.%s", s.path, call.Sel.Name)
			}
			return true
		})
	}
	if found == 0 {
		t.Error("no call found: the test shows nothing")
	}
}

// unwantedNouns do not name anything of ours (architecture, section 3).
var unwantedNouns = []string{"topic", "channel", "engine", "manager", "helper", "util", "utils"}

// TestNames: no declared name, package or file uses a noun that the glossary
// leaves out.
func TestNames(t *testing.T) {
	for _, s := range sources(t) {
		check := func(kind, name string) {
			for _, word := range words(name) {
				if slices.Contains(unwantedNouns, word) {
					t.Errorf("%s: %s %s: %q is no word of the glossary", s.path, kind, name, word)
				}
			}
		}
		check("file", strings.TrimSuffix(filepath.Base(s.path), ".go"))
		check("package", s.syntax.Name.Name)
		for _, d := range s.syntax.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				check("func", d.Name.Name)
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						check("type", spec.Name.Name)
					case *ast.ValueSpec:
						for _, name := range spec.Names {
							check("name", name.Name)
						}
					}
				}
			}
		}
	}
}

// words splits a name in camel case or with underscores into lower-case words.
func words(name string) []string {
	var list []string
	start := 0
	runes := []rune(name)
	for i := 1; i <= len(runes); i++ {
		if i == len(runes) || runes[i] == '_' || unicode.IsUpper(runes[i]) && !unicode.IsUpper(runes[i-1]) {
			if word := strings.Trim(string(runes[start:i]), "_"); word != "" {
				list = append(list, strings.ToLower(word))
			}
			start = i
		}
	}
	return list
}

func TestWords(t *testing.T) {
	for name, want := range map[string][]string{
		"a": {"a"}, "newLoop": {"new", "loop"}, "fd_mutex": {"fd", "mutex"}, "HTTPUtil": {"httputil"}, "loopManager": {"loop", "manager"},
		"kernel_linux": {"kernel", "linux"}, "": nil, "_": nil,
	} {
		if got := words(name); !slices.Equal(got, want) {
			t.Errorf("words(%q) = %q, want %q", name, got, want)
		}
	}
}

// TestNoLeftovers: no mark of unfinished work, and no path of the machine on
// which a file was written. The strings are put together here so that this file
// does not have them itself.
func TestNoLeftovers(t *testing.T) {
	leftovers := []string{"TO" + "DO", "FIX" + "ME", "XX" + "X:", "/wo" + "rk/", "/ro" + "ot/", "/tmp/con" + "tracts", "/home/run" + "ner"}
	binaries := []string{".png", ".jpg", ".ico", ".woff2", ".gz"}
	walk(t, func(path string) {
		if slices.Contains(binaries, filepath.Ext(path)) {
			return
		}
		text, err := os.ReadFile(filepath.Join(repository, path))
		if err != nil {
			if !os.IsNotExist(err) {
				t.Error(err)
			}
			return
		}
		if bytes.IndexByte(text, 0) >= 0 {
			return // a binary that a build left here
		}
		for _, leftover := range leftovers {
			if at := bytes.Index(text, []byte(leftover)); at >= 0 {
				t.Errorf("%s:%d has %q", path, 1+bytes.Count(text[:at], []byte("\n")), leftover)
			}
		}
	})
}

// TestFunctionsAreShort: a function that does not fit on a screen hides its
// control flow. Tests may have long tables.
func TestFunctionsAreShort(t *testing.T) {
	const linesMax = 80
	walk(t, func(path string) {
		if filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, filepath.Join(repository, path), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			if n := set.Position(f.End()).Line - set.Position(f.Pos()).Line + 1; n > linesMax {
				t.Errorf("%s: %s has %d lines, want at most %d", path, f.Name.Name, n, linesMax)
			}
		}
	})
}
