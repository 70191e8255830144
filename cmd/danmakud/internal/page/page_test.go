package page

import (
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	js "github.com/danmakud/danmakud/clients/js"
)

// get asks the handler as net/http would and returns the answer with its body.
func get(t *testing.T, method, target string, header ...string) (*http.Response, string) {
	t.Helper()
	request := httptest.NewRequest(method, target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	recorder := httptest.NewRecorder()
	Handler().ServeHTTP(recorder, request)
	response := recorder.Result()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

// sources gives every embedded file by its path at the server, without the slash
// it begins with.
func sources(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for prefix, fsys := range map[string]fs.FS{"": files, "assets/client/": js.Files} {
		err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			body, err := fs.ReadFile(fsys, name)
			all[prefix+name] = string(body)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(all) < 5 {
		t.Fatalf("only %d files are embedded", len(all))
	}
	return all
}

func TestAnswers(t *testing.T) {
	cases := []struct {
		method, target string
		status         int
		contentType    string
	}{
		{"GET", "/", 200, "text/html; charset=utf-8"},
		{"GET", "/?room=r1", 200, "text/html; charset=utf-8"},
		{"HEAD", "/", 200, "text/html; charset=utf-8"},
		{"GET", "/assets/style.css", 200, "text/css; charset=utf-8"},
		{"GET", "/assets/app.js", 200, "text/javascript; charset=utf-8"},
		{"GET", "/assets/client/client.js", 200, "text/javascript; charset=utf-8"},
		{"GET", "/assets/client/files.go", 404, "text/plain; charset=utf-8"},
		{"GET", "/assets/client/package.json", 404, "text/plain; charset=utf-8"},
		{"GET", "/assets/icon.svg", 200, "image/svg+xml"},
		{"POST", "/", 405, "text/plain; charset=utf-8"},
		{"DELETE", "/assets/app.js", 405, "text/plain; charset=utf-8"},
		{"GET", "/assets", 404, "text/plain; charset=utf-8"},
		{"GET", "/assets/", 404, "text/plain; charset=utf-8"},
		{"GET", "/index.html", 404, "text/plain; charset=utf-8"},
		{"GET", "/page.go", 404, "text/plain; charset=utf-8"},
		{"GET", "/assets/../page.go", 404, "text/plain; charset=utf-8"},
		{"GET", "/favicon.ico", 404, "text/plain; charset=utf-8"},
		{"POST", "/nowhere", 404, "text/plain; charset=utf-8"},
	}
	for _, c := range cases {
		t.Run(c.method+" "+c.target, func(t *testing.T) {
			response, body := get(t, c.method, c.target)
			if response.StatusCode != c.status {
				t.Fatalf("status %d, want %d", response.StatusCode, c.status)
			}
			if got := response.Header.Get("Content-Type"); got != c.contentType {
				t.Errorf("content type %q, want %q", got, c.contentType)
			}
			if c.status == 405 && response.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("Allow is %q", response.Header.Get("Allow"))
			}
			if c.method == "HEAD" && (body != "" || response.Header.Get("Content-Length") == "") {
				t.Errorf("HEAD has %d bytes of body and length %q", len(body), response.Header.Get("Content-Length"))
			}
			if c.method == "GET" && c.status == 200 && body == "" {
				t.Error("empty body")
			}
		})
	}
}

func TestPolicyOnEveryAnswer(t *testing.T) {
	for _, target := range []string{"/", "/assets/app.js", "/nowhere"} {
		response, _ := get(t, "GET", target)
		h := response.Header
		if got := h.Get("Content-Security-Policy"); got != Policy {
			t.Errorf("%s: policy %q", target, got)
		}
		if got := h.Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("%s: X-Content-Type-Options %q", target, got)
		}
	}
	directives := make(map[string]string)
	for directive := range strings.SplitSeq(Policy, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), " ")
		directives[name] = value
	}
	want := map[string]string{
		"default-src":               "'none'",
		"script-src":                "'self'",
		"style-src":                 "'self'",
		"img-src":                   "'self' data:",
		"connect-src":               "'self' ws: wss:",
		"base-uri":                  "'none'",
		"frame-ancestors":           "'none'",
		"form-action":               "'none'",
		"require-trusted-types-for": "'script'",
		"trusted-types":             "'none'",
	}
	for name, value := range want {
		if directives[name] != value {
			t.Errorf("%s is %q, want %q", name, directives[name], value)
		}
	}
	if len(directives) != len(want) {
		t.Errorf("the policy has %d directives, want %d: %s", len(directives), len(want), Policy)
	}
}

func TestConditionalGet(t *testing.T) {
	seen := make(map[string]string)
	for name := range sources(t) {
		target := "/" + name
		if name == "index.html" {
			target = "/"
		}
		first, body := get(t, "GET", target)
		etag := first.Header.Get("ETag")
		if len(etag) < 10 || etag[0] != '"' {
			t.Fatalf("%s: ETag %q is not a strong one", target, etag)
		}
		if other, ok := seen[etag]; ok {
			t.Errorf("%s and %s have one ETag", target, other)
		}
		seen[etag] = target
		if got := first.Header.Get("Cache-Control"); got != "no-cache" {
			t.Errorf("%s: Cache-Control %q", target, got)
		}
		again, rest := get(t, "GET", target, "If-None-Match", etag)
		if again.StatusCode != http.StatusNotModified || rest != "" {
			t.Errorf("%s: with its ETag: status %d, %d bytes", target, again.StatusCode, len(rest))
		}
		if again.Header.Get("ETag") != etag {
			t.Errorf("%s: 304 without the ETag", target)
		}
		stale, whole := get(t, "GET", target, "If-None-Match", `"older"`)
		if stale.StatusCode != http.StatusOK || whole != body {
			t.Errorf("%s: with an old ETag: status %d, %d bytes of %d", target, stale.StatusCode, len(whole), len(body))
		}
	}
}

// The policy would block these at run time, without a word to the viewer.
func TestNothingInline(t *testing.T) {
	html := sources(t)["index.html"]
	forbidden := map[string]string{
		"style element":   `(?i)<style[\s>]`,
		"style attribute": `(?i)<[^>]*\sstyle\s*=`,
		"event attribute": `(?i)<[^>]*\son[a-z]+\s*=`,
		"inline script":   `(?i)<script[^>]*>\s*[^<\s]`,
		"javascript URL":  `(?i)javascript:`,
		"base element":    `(?i)<base[\s>]`,
	}
	for what, pattern := range forbidden {
		if found := regexp.MustCompile(pattern).FindString(html); found != "" {
			t.Errorf("%s in index.html: %q", what, found)
		}
	}
	for _, tag := range regexp.MustCompile(`(?i)<script[^>]*>`).FindAllString(html, -1) {
		if !strings.Contains(tag, ` src="/assets/`) {
			t.Errorf("a script that is no file of ours: %s", tag)
		}
	}
}

// Comments are text. The ways in which a string becomes markup or code are not
// used at all, so nobody has to judge each use.
func TestNoMarkupFromStrings(t *testing.T) {
	forbidden := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|setHTML|document\.write|` +
		`createContextualFragment|DOMParser|srcdoc|\beval\(|new Function|setAttribute\('on|` +
		`set(?:Timeout|Interval)\(['"` + "`]")
	scripts := 0
	for name, body := range sources(t) {
		if path.Ext(name) != ".js" {
			continue
		}
		scripts++
		if found := forbidden.FindString(body); found != "" {
			t.Errorf("%s uses %s", name, found)
		}
	}
	if scripts == 0 {
		t.Error("no script was looked at")
	}
}

func TestNoForeignOrigin(t *testing.T) {
	// An address with a host, in any way a browser reads one. The namespace of
	// SVG is a name, not an address: nothing is fetched from it.
	address := regexp.MustCompile(`(?i)(?:https?:|wss?:)?//[a-z0-9[][^\s"'` + "`" + `)]*|@import|@font-face`)
	comment := regexp.MustCompile(`(?m)^\s*//.*$|\s// .*$`)
	for name, body := range sources(t) {
		body = strings.ReplaceAll(body, `xmlns="http://www.w3.org/2000/svg"`, "")
		if path.Ext(name) == ".js" {
			body = comment.ReplaceAllString(body, "")
		}
		if found := address.FindString(body); found != "" {
			t.Errorf("%s names another origin: %s", name, found)
		}
	}
}

// A name misspelt in one of the files shows up here and not at a viewer's.
func TestFilesFitTogether(t *testing.T) {
	all := sources(t)
	html := all["index.html"]
	for _, match := range regexp.MustCompile(`(?:href|src)="(/[^"]+)"`).FindAllStringSubmatch(html, -1) {
		if _, ok := all[strings.TrimPrefix(match[1], "/")]; !ok {
			t.Errorf("index.html asks for %s", match[1])
		}
	}
	imports := regexp.MustCompile(`(?m)^import .* from '\./([^']+)';$`)
	for name, body := range all {
		for _, match := range imports.FindAllStringSubmatch(body, -1) {
			imported := path.Join(path.Dir(name), match[1])
			if _, ok := all[imported]; !ok {
				t.Errorf("%s imports %s", name, imported)
			}
			if !strings.Contains(html, `"/`+imported+`"`) {
				t.Errorf("%s is not preloaded by index.html", imported)
			}
		}
	}
	ids := regexp.MustCompile(`\$\('([^']+)'\)`).FindAllStringSubmatch(all["assets/app.js"], -1)
	if len(ids) == 0 {
		t.Fatal("app.js asks for no element")
	}
	for _, match := range ids {
		if strings.Count(html, ` id="`+match[1]+`"`) != 1 {
			t.Errorf("app.js asks for #%s, of which index.html has %d", match[1], strings.Count(html, ` id="`+match[1]+`"`))
		}
	}
}

func TestUnknownTypePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a file of an unknown type was taken")
		}
	}()
	load(fstest.MapFS{"assets/video.mp4": {Data: []byte("x")}}, "/")
}
