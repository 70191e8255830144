package admin

import (
	"crypto/sha256"
	"encoding/json"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
)

// asked is one request of a test.
type asked struct {
	method, path, body string
	key                string // "" = none
	header             http.Header
	host, from         string
	reader             io.Reader // instead of body
}

// testKeys has one key for each role: "reader-key" and so on.
func testKeys() []Key {
	var keys []Key
	for role := Reader; role <= Admin; role++ {
		name := role.String()
		keys = append(keys, Key{name, role, sha256.Sum256([]byte(name + "-key"))})
	}
	return keys
}

func testAPI(f *fake, o Options) *API {
	o.Log = slog.New(slog.DiscardHandler)
	return New(f, o)
}

// ask serves one request in memory, as from this host.
func ask(t testing.TB, a *API, q asked) *httptest.ResponseRecorder {
	t.Helper()
	body := q.reader
	if body == nil {
		body = strings.NewReader(q.body)
	}
	r := httptest.NewRequest(q.method, "http://127.0.0.1:8081/", body)
	path, query, _ := strings.Cut(q.path, "?")
	r.URL.RawQuery = query
	if err := setPath(r, path); err != nil {
		t.Skip("no path for a request: ", err)
	}
	r.RemoteAddr = "127.0.0.1:5555"
	if q.from != "" {
		r.RemoteAddr = q.from
	}
	if q.host != "" {
		r.Host = q.host
	}
	if q.body != "" || q.reader != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if q.key != "" {
		r.Header.Set("Authorization", "Bearer "+q.key)
	}
	for name, values := range q.header {
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	a.Handler().ServeHTTP(w, r)
	return w
}

func setPath(r *http.Request, path string) error {
	u, err := r.URL.Parse("http://127.0.0.1:8081" + path)
	if err != nil {
		return err
	}
	u.RawQuery = r.URL.RawQuery
	r.URL = u
	return nil
}

// spec is the document as it is served.
type spec struct {
	Paths map[string]map[string]struct {
		ID         string `json:"operationId"`
		Role       string `json:"x-role"`
		Parameters []struct{ Name, In string }
		Body       *struct {
			Content map[string]struct{ Schema map[string]any }
		} `json:"requestBody"`
		Responses map[string]struct {
			Content map[string]struct{ Schema map[string]any }
		}
	}
	Components struct{ Schemas map[string]map[string]any }

	made map[string]*schema
}

func readSpec(t testing.TB, a *API, key string) *spec {
	t.Helper()
	w := ask(t, a, asked{method: "GET", path: "/openapi.json", key: key})
	s := &spec{made: map[string]*schema{}}
	if err := json.Unmarshal(w.Body.Bytes(), s); err != nil || w.Code != 200 {
		t.Fatalf("openapi.json: %d, %v", w.Code, err)
	}
	return s
}

// schema reads a schema back out of the document.
func (s *spec) schema(t testing.TB, m map[string]any) *schema {
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	// Those that nest are read one by one.
	var out schema
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if name, ok := strings.CutPrefix(out.Ref, "#/components/schemas/"); ok {
		if s.made[name] == nil {
			component := s.Components.Schemas[name]
			if component == nil {
				t.Fatalf("no schema %s in the document", name)
			}
			s.made[name] = &schema{}
			*s.made[name] = *s.schema(t, component)
		}
		out.target = s.made[name]
	}
	if items, ok := m["items"].(map[string]any); ok {
		out.Items = s.schema(t, items)
	}
	if values, ok := m["additionalProperties"].(map[string]any); ok {
		out.Values = s.schema(t, values)
	}
	if properties, ok := m["properties"].(map[string]any); ok {
		for name, p := range properties {
			out.Properties[name] = s.schema(t, p.(map[string]any))
		}
	}
	return &out
}

// conforms checks an answer against the document: its status, its media type, and
// every member of it.
func (s *spec) conforms(t testing.TB, rt *route, w *httptest.ResponseRecorder) {
	t.Helper()
	op, ok := s.Paths[rt.path][strings.ToLower(rt.method)]
	if !ok {
		t.Fatalf("%s %s is not in the document", rt.method, rt.path)
	}
	response, ok := op.Responses[strconv.Itoa(w.Code)]
	if !ok {
		t.Fatalf("%s %s answers %d, which is not in the document: %.300s", rt.method, rt.path, w.Code, w.Body)
	}
	if len(response.Content) == 0 {
		if w.Body.Len() > 0 {
			t.Errorf("%s %s: %d has a body: %.300s", rt.method, rt.path, w.Code, w.Body)
		}
		return
	}
	kind, _, err := mime.ParseMediaType(w.Header().Get("Content-Type"))
	media, ok := response.Content[kind]
	if err != nil || !ok {
		t.Fatalf("%s %s: %d comes as %q", rt.method, rt.path, w.Code, w.Header().Get("Content-Type"))
	}
	if !strings.HasSuffix(kind, "json") || kind == "application/x-ndjson" {
		return
	}
	v, p := parseStrict(w.Body.Bytes())
	if p == nil {
		p = s.schema(t, media.Schema).check("", v, media.Schema["$ref"] != nil)
	}
	if p != nil {
		t.Errorf("%s %s: %d: %s in %.300s", rt.method, rt.path, w.Code, p.Detail, w.Body)
	}
	if w.Code >= 400 {
		s.isProblem(t, w)
	}
}

// isProblem checks what every problem document has.
func (s *spec) isProblem(t testing.TB, w *httptest.ResponseRecorder) {
	t.Helper()
	var p problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != w.Code || p.Detail == "" || p.Title == "" ||
		w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %s is no problem document: %s", w.Code, w.Header().Get("Content-Type"), w.Body)
	}
	if w.Code == 503 && w.Header().Get("Retry-After") == "" {
		t.Errorf("503 without Retry-After: %s", w.Body)
	}
	if w.Code == 401 && w.Header().Get("WWW-Authenticate") == "" {
		t.Error("401 without WWW-Authenticate")
	}
}

// recorded is what a route answered.
type recorded struct{ *httptest.ResponseRecorder }
