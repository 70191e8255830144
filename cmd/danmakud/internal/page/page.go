// Package page serves the demo page: a stage over which live comments (弹幕,
// danmaku) fly, with a box to send one's own. The files are embedded in the
// binary as they are; there is no build step and nothing comes from another
// origin.
//
//	GET /                   index.html ─┐
//	GET /assets/style.css               │
//	GET /assets/app.js  (+ modules)     ├─ read once at init: type, length, ETag
//	GET /assets/client/*    clients/js ─┘
//	      │
//	      └─ app.js ── client/     WebSocket to /ws/{room}: the client that npm gets too
//	               ├── stage.js    comments in flight ── lanes.js decides who flies where
//	               ├── scene.js    the animated background
//	               └── log.js, pins.js, composer.js, meters.js   what is around the stage
//
// The page runs under a strict Content-Security-Policy: no inline script or
// style, no foreign origin, and Trusted Types with no policy, so a comment
// could not become markup even by mistake.
package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"path"
	"time"

	js "github.com/danmakud/danmakud/clients/js"
)

//go:embed index.html assets
var files embed.FS

// Policy is the Content-Security-Policy of every answer of Handler.
//
// connect-src names ws: and wss: because not every browser takes 'self' to
// cover a WebSocket to the page's own host.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self' ws: wss:; base-uri 'none'; frame-ancestors 'none'; form-action 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// contentTypes is by file extension. The table of package mime depends on the
// host's files, and a wrong type would be refused by nosniff.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// asset is one file, fixed after Handler has read it.
type asset struct {
	name        string
	contentType string
	etag        string
	body        []byte
}

// Handler answers GET and HEAD for the page on "/" and for its files below
// "/assets/", with an ETag over the contents, so that a reload costs one short
// 304 per file. Every other path is 404 and every other method 405. The
// handler holds no state: any goroutine may call it.
func Handler() http.Handler {
	assets := load(files, "/")
	maps.Copy(assets, load(js.Files, "/assets/client/"))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		guard(w.Header())
		a, ok := assets[r.URL.Path]
		if !ok {
			http.Error(w, "404: there is no such page here", http.StatusNotFound)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "405: only GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		h := w.Header()
		h.Set("Content-Type", a.contentType)
		h.Set("ETag", a.etag)
		// Kept by the browser but asked about each time: the names carry no
		// version, and a page must not run with the modules of the release
		// before it.
		h.Set("Cache-Control", "no-cache")
		http.ServeContent(w, r, a.name, time.Time{}, bytes.NewReader(a.body))
	})
}

// guard sets the headers that every answer bears, errors too.
func guard(h http.Header) {
	h.Set("Content-Security-Policy", Policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// load reads every file of fsys into memory, by URL path, which begins with
// prefix. It panics when a file
// cannot be read or has a type not in contentTypes: both are mistakes of the
// build, found by the first test.
func load(fsys fs.FS, prefix string) map[string]asset {
	assets := make(map[string]asset)
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		contentType, ok := contentTypes[path.Ext(name)]
		if !ok {
			return fmt.Errorf("no content type for %s", name)
		}
		sum := sha256.Sum256(body)
		at := prefix + name
		if name == "index.html" {
			at = "/"
		}
		assets[at] = asset{
			name:        path.Base(name),
			contentType: contentType,
			etag:        `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`,
			body:        body,
		}
		return nil
	})
	if err != nil {
		panic("page: " + err.Error())
	}
	return assets
}
