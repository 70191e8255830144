package token

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/danmakud/danmakud/room"
	"github.com/golang-jwt/jwt/v5"
)

// issuer is the site: it has the private halves.
type issuer struct {
	secret []byte
	rsa    *rsa.PrivateKey
	ed     ed25519.PrivateKey
}

var site = sync.OnceValue(func() issuer {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	_, e, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return issuer{[]byte("0123456789abcdef0123456789abcdef"), r, e}
})

func (i issuer) key(m jwt.SigningMethod) any {
	switch m {
	case jwt.SigningMethodRS256, jwt.SigningMethodRS512, jwt.SigningMethodPS256:
		return i.rsa
	case jwt.SigningMethodEdDSA:
		return i.ed
	case jwt.SigningMethodNone:
		return jwt.UnsafeAllowNoneSignatureType
	}
	return i.secret
}

var now = time.Unix(1_800_000_000, 0)

// good returns claims that are fine, with changes; nil takes one away.
func good(changes ...any) jwt.MapClaims {
	c := jwt.MapClaims{"sub": "alice", "exp": now.Unix() + 3600}
	for i := 0; i < len(changes); i += 2 {
		name := changes[i].(string)
		if changes[i+1] == nil {
			delete(c, name)
		} else {
			c[name] = changes[i+1]
		}
	}
	return c
}

func signWith(t testing.TB, m jwt.SigningMethod, key any, c jwt.Claims, header ...string) string {
	t.Helper()
	made := jwt.NewWithClaims(m, c)
	for i := 0; i < len(header); i += 2 {
		made.Header[header[i]] = header[i+1]
	}
	text, err := made.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func sign(t testing.TB, m jwt.SigningMethod, c jwt.Claims, header ...string) string {
	t.Helper()
	return signWith(t, m, site().key(m), c, header...)
}

func write(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func publicPEM(t testing.TB, public any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// keyFiles has one key of each kind, as files.
func keyFiles(t testing.TB) []string {
	t.Helper()
	i := site()
	return []string{
		write(t, "hmac-1.key", append(i.secret, '\n')),
		write(t, "rsa-1.pem", publicPEM(t, &i.rsa.PublicKey)),
		write(t, "ed-1.pem", publicPEM(t, i.ed.Public())),
	}
}

func verifier(t testing.TB, o Options) *Verifier {
	t.Helper()
	o.Now = func() time.Time { return now }
	v, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestGoodTokens(t *testing.T) {
	v := verifier(t, Options{Files: keyFiles(t)})
	for _, c := range []struct {
		claims jwt.MapClaims
		want   Claims
	}{
		{good(), Claims{User: "alice", Role: room.RoleViewer}},
		{good("name", "爱丽丝", "role", "moderator", "jti", "t1", "iat", now.Unix()-5),
			Claims{User: "alice", Name: "爱丽丝", Role: room.RoleModerator, ID: "t1", Issued: now.Unix() - 5}},
		{good("rooms", []string{"a", "live:*", "*"}), Claims{User: "alice", Role: room.RoleViewer, Rooms: []string{"a", "live:*", "*"}}},
		{good("rooms", "a"), Claims{User: "alice", Role: room.RoleViewer, Rooms: []string{"a"}}},
		{good("rooms", []string{}), Claims{User: "alice", Role: room.RoleViewer, Rooms: []string{}}},
		{good("sub", strings.Repeat("x", 64), "name", ""), Claims{User: strings.Repeat("x", 64), Role: room.RoleViewer}},
		{good("name", strings.Repeat("名", 30)), Claims{User: "alice", Name: strings.Repeat("名", 21), Role: room.RoleViewer}},
		{good("role", "guest"), Claims{User: "alice", Role: room.RoleGuest}},
		{good("nbf", now.Unix()+5, "iat", now.Unix()+5), Claims{User: "alice", Role: room.RoleViewer, Issued: now.Unix() + 5}}, // within skew
		{good("Role", "admin", "SUB", "mallory", "ROOMS", nil), Claims{User: "alice", Role: room.RoleViewer}},
		{good("exp", float64(now.Unix())+3600.5), Claims{User: "alice", Role: room.RoleViewer}},
	} {
		c.want.Expires = now.Unix() + 3600
		for _, m := range []jwt.SigningMethod{jwt.SigningMethodHS256, jwt.SigningMethodRS256, jwt.SigningMethodEdDSA} {
			got, err := v.Verify(sign(t, m, c.claims))
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s %v: %+v, %v, want %+v", m.Alg(), c.claims, got, err, c.want)
			}
		}
	}
}

func TestWrongClaims(t *testing.T) {
	v := verifier(t, Options{Files: keyFiles(t), Audience: []string{"live", "chat"}, Issuer: "https://site", MaxLife: 24 * time.Hour})
	for _, c := range []struct {
		changes []any
		want    error
	}{
		{nil, nil},
		{[]any{"aud", []string{"x", "live"}}, nil},
		{[]any{"exp", now.Unix() - 1}, ErrExpired},
		{[]any{"exp", now.Unix()}, ErrExpired},
		{[]any{"exp", nil}, ErrNoExpiry},
		{[]any{"exp", "tomorrow"}, ErrClaims},
		{[]any{"exp", 1e300}, ErrClaims},
		{[]any{"exp", -1}, ErrClaims},
		{[]any{"exp", now.Unix() + 25*3600}, ErrLife},
		{[]any{"nbf", now.Unix() + 60}, ErrEarly},
		{[]any{"nbf", true}, ErrClaims},
		{[]any{"iat", now.Unix() + 60}, ErrEarly},
		{[]any{"aud", "other"}, ErrAudience},
		{[]any{"aud", nil}, ErrAudience},
		{[]any{"aud", 7}, ErrClaims},
		{[]any{"iss", "https://other"}, ErrIssuer},
		{[]any{"iss", nil}, ErrIssuer},
		{[]any{"sub", nil}, ErrUser},
		{[]any{"sub", ""}, ErrUser},
		{[]any{"sub", "~7"}, ErrUser},
		{[]any{"sub", strings.Repeat("x", 65)}, ErrUser},
		{[]any{"sub", "a\nb"}, ErrUser},
		{[]any{"sub", "a\u0085b"}, ErrUser},
		{[]any{"sub", 12345}, ErrUser},
		{[]any{"sub", []string{"alice"}}, ErrUser},
		{[]any{"name", "a\x00b"}, ErrName},
		{[]any{"name", 1}, ErrName},
		{[]any{"role", "owner"}, ErrRole},
		{[]any{"role", "Admin"}, ErrRole},
		{[]any{"role", ""}, ErrRole},
		{[]any{"role", 5}, ErrRole},
		{[]any{"rooms", json.RawMessage("null")}, ErrRooms},
		{[]any{"rooms", []string{"a b"}}, ErrRooms},
		{[]any{"rooms", []string{""}}, ErrRooms},
		{[]any{"rooms", []string{"a**"}}, ErrRooms},
		{[]any{"rooms", []string{"*a"}}, ErrRooms},
		{[]any{"rooms", []any{"a", 1}}, ErrRooms},
		{[]any{"rooms", make([]string, 101)}, ErrRooms},
		{[]any{"jti", strings.Repeat("x", 129)}, ErrClaims},
		{[]any{"jti", 5}, ErrClaims},
	} {
		claims := good(append([]any{"aud", "chat", "iss", "https://site"}, c.changes...)...)
		for _, m := range []jwt.SigningMethod{jwt.SigningMethodHS256, jwt.SigningMethodEdDSA} {
			if _, err := v.Verify(sign(t, m, claims)); !errors.Is(err, c.want) {
				t.Errorf("%v: %v, want %v", c.changes, err, c.want)
			}
		}
	}
}

// TestWrongSignatures: whatever the header says, a key does for its own algorithm
// and no other.
func TestWrongSignatures(t *testing.T) {
	i := site()
	v := verifier(t, Options{Files: keyFiles(t)})
	fine := sign(t, jwt.SigningMethodHS256, good())
	parts := strings.Split(fine, ".")
	encode := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	header := func(s string) string { return encode(s) + "." + parts[1] + "." + parts[2] }
	otherRSA, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public := publicPEM(t, &i.rsa.PublicKey)
	der, _ := pem.Decode(public)
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"fine":                   {fine, nil},
		"none":                   {sign(t, jwt.SigningMethodNone, good()), ErrAlgorithm},
		"none in capitals":       {encode(`{"alg":"NONE"}`) + "." + parts[1] + ".", ErrAlgorithm},
		"no algorithm":           {header(`{"typ":"JWT"}`), ErrAlgorithm},
		"algorithm no text":      {header(`{"alg":256}`), ErrAlgorithm},
		"public key as secret":   {signWith(t, jwt.SigningMethodHS256, public, good()), ErrSignature},
		"its DER as secret":      {signWith(t, jwt.SigningMethodHS256, der.Bytes, good()), ErrSignature},
		"ed key as secret":       {signWith(t, jwt.SigningMethodHS256, []byte(i.ed.Public().(ed25519.PublicKey)), good()), ErrSignature},
		"empty secret":           {signWith(t, jwt.SigningMethodHS256, []byte{}, good()), ErrSignature},
		"named RSA, HS256":       {signWith(t, jwt.SigningMethodHS256, public, good(), "kid", "rsa-1"), ErrSignature},
		"HS512":                  {sign(t, jwt.SigningMethodHS512, good()), ErrAlgorithm},
		"RS512":                  {sign(t, jwt.SigningMethodRS512, good()), ErrAlgorithm},
		"PS256":                  {sign(t, jwt.SigningMethodPS256, good()), ErrAlgorithm},
		"another RSA key":        {signWith(t, jwt.SigningMethodRS256, otherRSA, good()), ErrSignature},
		"header changed":         {header(`{"alg":"HS256","typ":"jwt"}`), ErrSignature},
		"claims changed":         {parts[0] + "." + encode(`{"sub":"bob","exp":1800003600}`) + "." + parts[2], ErrSignature},
		"signature cut":          {fine[:len(fine)-3], ErrSignature},
		"no signature":           {parts[0] + "." + parts[1] + ".", ErrSignature},
		"crit":                   {sign(t, jwt.SigningMethodHS256, good(), "crit", "b64"), ErrCritical},
		"kid no text":            {header(`{"alg":"HS256","kid":7}`), ErrMalformed},
		"two parts":              {parts[0] + "." + parts[1], ErrMalformed},
		"four parts":             {fine + ".x", ErrMalformed},
		"empty":                  {"", ErrMalformed},
		"dots":                   {"..", ErrMalformed},
		"garbage":                {"\x00\xff.\x01.\x02", ErrMalformed},
		"padded":                 {fine + "=", ErrMalformed},
		"header no JSON":         {header("hello"), ErrMalformed},
		"header a list":          {header(`[]`), ErrMalformed},
		"claims a list":          {parts[0] + "." + encode(`[1]`) + "." + parts[2], ErrMalformed},
		"huge":                   {strings.Repeat("A", 1<<20) + "." + parts[1] + "." + parts[2], ErrMalformed},
		"deep":                   {encode(`{"alg":"HS256","x":`+strings.Repeat("[", 5000)) + "." + parts[1] + "." + parts[2], ErrMalformed},
		"unused bits not zero":   {parts[0] + "." + parts[1] + "." + flipLast(parts[2]), ErrMalformed},
		"blank before":           {" " + fine, ErrMalformed},
		"with the word in front": {"Bearer " + fine, ErrMalformed},
	} {
		if _, err := v.Verify(c.text); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// flipLast changes the unused low bits of the last character.
func flipLast(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, s[len(s)-1])
	return s[:len(s)-1] + string(alphabet[last^1])
}

// set returns a JWKS of those members.
func set(members ...map[string]string) []byte {
	p, err := json.Marshal(map[string]any{"keys": members})
	if err != nil {
		panic(err)
	}
	return p
}

func b64(p []byte) string { return base64.RawURLEncoding.EncodeToString(p) }

func rsaJWK(k *rsa.PublicKey, id string) map[string]string {
	return map[string]string{"kty": "RSA", "kid": id, "alg": "RS256", "use": "sig", "n": b64(k.N.Bytes()), "e": b64(big.NewInt(int64(k.E)).Bytes())}
}

func edJWK(k ed25519.PrivateKey, id string) map[string]string {
	return map[string]string{"kty": "OKP", "crv": "Ed25519", "kid": id, "x": b64(k.Public().(ed25519.PublicKey))}
}

func TestJWKS(t *testing.T) {
	i := site()
	_, second, _ := ed25519.GenerateKey(rand.Reader)
	v := verifier(t, Options{JWKS: write(t, "jwks.json", set(
		rsaJWK(&i.rsa.PublicKey, "r"), edJWK(i.ed, "e1"), edJWK(second, "e2"),
		map[string]string{"kty": "oct", "kid": "h", "k": b64(i.secret)},
		map[string]string{"kty": "EC", "kid": "p", "crv": "P-256", "x": "AA", "y": "AA"}, // for others
		map[string]string{"kty": "RSA", "kid": "enc", "use": "enc", "n": "?"},
	))})
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"by name":              {sign(t, jwt.SigningMethodRS256, good(), "kid", "r"), nil},
		"second by name":       {signWith(t, jwt.SigningMethodEdDSA, second, good(), "kid", "e2"), nil},
		"secret by name":       {sign(t, jwt.SigningMethodHS256, good(), "kid", "h"), nil},
		"second, no name":      {signWith(t, jwt.SigningMethodEdDSA, second, good()), nil},
		"the other's name":     {signWith(t, jwt.SigningMethodEdDSA, second, good(), "kid", "e1"), ErrSignature},
		"unknown name":         {sign(t, jwt.SigningMethodEdDSA, good(), "kid", "e3"), ErrKey},
		"name of another kind": {sign(t, jwt.SigningMethodEdDSA, good(), "kid", "r"), ErrKey},
	} {
		if _, err := v.Verify(c.text); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	var many []map[string]string
	for n := range triesMax + 1 {
		many = append(many, edJWK(i.ed, fmt.Sprint(n)))
	}
	v = verifier(t, Options{JWKS: write(t, "jwks.json", set(many...))})
	if _, err := v.Verify(sign(t, jwt.SigningMethodEdDSA, good())); !errors.Is(err, ErrKeyName) {
		t.Errorf("one of %d keys: %v, want %v", len(many), err, ErrKeyName)
	}
}

// TestKeyFileNames: a token that names a file's key is tried with it alone; one
// with a name that no file has, with all.
func TestKeyFileNames(t *testing.T) {
	_, second, _ := ed25519.GenerateKey(rand.Reader)
	v := verifier(t, Options{Files: []string{
		write(t, "2025.pem", publicPEM(t, site().ed.Public())), write(t, "2026.pem", publicPEM(t, second.Public())),
	}})
	for id, want := range map[string]error{"2025": nil, "2026": ErrSignature, "other": nil} {
		if _, err := v.Verify(sign(t, jwt.SigningMethodEdDSA, good(), "kid", id)); !errors.Is(err, want) {
			t.Errorf("kid %s: %v, want %v", id, err, want)
		}
	}
	if _, err := v.Verify(sign(t, jwt.SigningMethodHS256, good())); !errors.Is(err, ErrKey) {
		t.Errorf("HS256 without a secret: %v, want %v", err, ErrKey)
	}
}

func TestKeysThatCannotBeUsed(t *testing.T) {
	i := site()
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(i.ed)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, p []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: p}) }
	privateJWK := rsaJWK(&i.rsa.PublicKey, "r")
	privateJWK["d"] = "AQAB"
	bad := func(name, value string) []byte {
		k := rsaJWK(&i.rsa.PublicKey, "r")
		k[name] = value
		return set(k)
	}
	for name, c := range map[string]struct {
		file, jwks []byte
		want       string
	}{
		"short secret":    {file: []byte("0123456789abcdef0123456789abcde\n"), want: "at least 32 bytes"},
		"short base64":    {file: []byte("base64:AAAA"), want: "at least 32 bytes"},
		"no base64":       {file: []byte("base64:!!"), want: "no base64"},
		"empty":           {file: nil, want: "at least 32 bytes"},
		"private":         {file: block("PRIVATE KEY", private), want: "private key"},
		"small RSA":       {file: publicPEM(t, &small.PublicKey), want: "2048 to 4096 bits"},
		"two keys":        {file: append(publicPEM(t, i.ed.Public()), publicPEM(t, i.ed.Public())...), want: "one key a file"},
		"no key":          {file: block("PUBLIC KEY", []byte("x")), want: "no public key"},
		"other block":     {file: block("DH PARAMETERS", []byte("x")), want: "no public key"},
		"broken PEM":      {file: []byte("-----BEGIN PUBLIC KEY-----\nx"), want: "broken"},
		"too long":        {file: make([]byte, keyFileMax+1), want: "more than"},
		"JWKS no JSON":    {jwks: []byte("hello"), want: "no JSON"},
		"JWKS empty":      {jwks: []byte(`{"keys":[]}`), want: "no key for"},
		"JWKS private":    {jwks: set(privateJWK), want: "private"},
		"JWKS no n":       {jwks: bad("n", "!"), want: "base64url"},
		"JWKS long e":     {jwks: bad("e", "AAAAAAAA"), want: "below 2^31"},
		"JWKS even e":     {jwks: bad("e", "Ag"), want: "exponent"},
		"JWKS small RSA":  {jwks: set(rsaJWK(&small.PublicKey, "s")), want: "2048"},
		"JWKS short x":    {jwks: set(map[string]string{"kty": "OKP", "crv": "Ed25519", "x": "AA"}), want: "32 bytes"},
		"JWKS short oct":  {jwks: set(map[string]string{"kty": "oct", "k": "AA"}), want: "at least 32 bytes"},
		"JWKS many":       {jwks: set(make([]map[string]string, keysMax+1)...), want: "at most"},
		"JWKS only other": {jwks: set(map[string]string{"kty": "EC"}), want: "no key for"},
	} {
		var o Options
		if c.jwks != nil {
			o.JWKS = write(t, "jwks.json", c.jwks)
		} else {
			o.Files = []string{write(t, "k.pem", c.file)}
		}
		_, err := New(o)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), t.TempDir()[:5]) {
			t.Errorf("%s: %v, want %q and the file", name, err, c.want)
		}
	}
	if _, err := New(Options{Files: []string{"/nowhere/k.pem"}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

func TestKeyForms(t *testing.T) {
	i := site()
	for name, c := range map[string]struct {
		content []byte
		method  jwt.SigningMethod
	}{
		"secret":            {i.secret, jwt.SigningMethodHS256},
		"secret and CRLF":   {append(i.secret, "\r\n"...), jwt.SigningMethodHS256},
		"secret in base64":  {[]byte("base64:" + base64.StdEncoding.EncodeToString(i.secret) + "\n"), jwt.SigningMethodHS256},
		"secret, base64url": {[]byte("base64: " + b64(i.secret)), jwt.SigningMethodHS256},
		"PKCS1":             {pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&i.rsa.PublicKey)}), jwt.SigningMethodRS256},
		"certificate":       {certificate(t, i), jwt.SigningMethodEdDSA},
	} {
		v := verifier(t, Options{Files: []string{write(t, "k", c.content)}})
		if _, err := v.Verify(sign(t, c.method, good())); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func certificate(t *testing.T, i issuer) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, i.ed.Public(), i.ed)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// TestRefresh: a changed file is taken over, a broken one is said once and leaves
// the keys, a good one after it is taken over again.
func TestRefresh(t *testing.T) {
	i := site()
	_, second, _ := ed25519.GenerateKey(rand.Reader)
	path := write(t, "jwks.json", set(edJWK(i.ed, "1")))
	v := verifier(t, Options{JWKS: path})
	serial := 0
	put := func(content []byte) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		serial++ // no two writes in the same instant of a coarse clock
		at := time.Now().Add(time.Duration(serial) * time.Second)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	old, fresh := sign(t, jwt.SigningMethodEdDSA, good(), "kid", "1"), signWith(t, jwt.SigningMethodEdDSA, second, good(), "kid", "2")
	expect := func(what string, keys int, broken bool, oldGood, freshGood bool) {
		t.Helper()
		n, err := v.Refresh(false)
		if n != keys || (err != nil) != broken {
			t.Errorf("%s: %d keys, %v", what, n, err)
		}
		if _, err := v.Verify(old); (err == nil) != oldGood {
			t.Errorf("%s: old key: %v", what, err)
		}
		if _, err := v.Verify(fresh); (err == nil) != freshGood {
			t.Errorf("%s: new key: %v", what, err)
		}
	}
	expect("unchanged", 0, false, true, false)
	put(set(edJWK(i.ed, "1"), edJWK(second, "2")))
	expect("second key", 2, false, true, true)
	put([]byte(`{"keys":[`))
	expect("broken", 0, true, true, true)
	expect("still broken", 0, false, true, true)
	put(set(edJWK(second, "2")))
	expect("first key gone", 1, false, false, true)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	expect("file gone", 0, true, false, true)
	if n, err := v.Refresh(true); n != 0 || err == nil {
		t.Errorf("asked for: %d, %v, want an error", n, err)
	}
}

func TestRevocations(t *testing.T) {
	r := NewRevocations(3)
	add := func(v Revocation) {
		t.Helper()
		if err := r.Add(v); err != nil {
			t.Fatal(err)
		}
	}
	add(Revocation{ID: "t1", At: 100, Until: 200})
	add(Revocation{User: "bob", At: 100})
	for _, c := range []struct {
		user, id string
		issued   int64
		want     bool
	}{
		{"alice", "t1", 150, true}, {"alice", "t2", 50, false}, {"alice", "", 0, false},
		{"bob", "", 99, true}, {"bob", "", 100, true}, {"bob", "", 101, false}, {"bob", "t3", 0, true}, {"", "", 0, false},
	} {
		if got := r.Revoked(c.user, c.id, c.issued); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	add(Revocation{User: "bob", At: 120})
	add(Revocation{User: "bob", At: 110}) // includes nothing new
	if !r.Revoked("bob", "", 120) {
		t.Error("an earlier revocation took the later one's place")
	}
	add(Revocation{ID: "t4", At: 1})
	if err := r.Add(Revocation{ID: "t5", At: 1}); !errors.Is(err, ErrRevocationsFull) {
		t.Errorf("beyond the bound: %v", err)
	}
	if err := r.Add(Revocation{ID: "t5", At: 199}); !errors.Is(err, ErrRevocationsFull) {
		t.Errorf("beyond the bound: %v", err)
	}
	add(Revocation{ID: "t5", At: 200}) // t1 has ended
	if r.Len() != 3 || r.Revoked("alice", "t1", 150) || !r.Revoked("alice", "t5", 150) {
		t.Errorf("%d kept, want 3 without t1", r.Len())
	}
}

func TestProblemsAreNamed(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range Problems() {
		if seen[p.Name] || p.Name == "" || p.Text == "" {
			t.Errorf("%+v: want a name of its own and a text", p)
		}
		seen[p.Name] = true
	}
}

// FuzzVerify: nothing that is not signed by the site is ever good, and every
// refusal is one of the problems.
func FuzzVerify(f *testing.F) {
	v := verifier(f, Options{Files: keyFiles(f)})
	for _, m := range []jwt.SigningMethod{jwt.SigningMethodHS256, jwt.SigningMethodEdDSA, jwt.SigningMethodNone} {
		// Signed by somebody else, or what the fuzzer makes of it could be good.
		key := any([]byte("fedcba9876543210fedcba9876543210"))
		switch m {
		case jwt.SigningMethodEdDSA:
			key = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
		case jwt.SigningMethodNone:
			key = jwt.UnsafeAllowNoneSignatureType
		}
		f.Add(signWith(f, m, key, good("name", "n", "role", "admin", "rooms", []string{"a*"}, "iat", 1, "jti", "x"), "kid", "hmac-1"))
	}
	f.Add("..")
	f.Add("eyJhbGciOiJIUzI1NiJ9.eyJleHAiOm51bGx9.")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := v.Verify(text)
		var p *Problem
		if !errors.As(err, &p) {
			t.Fatalf("%q: %+v, %v", text, c, err)
		}
	})
}

// FuzzClaims: whatever claims a site signs, what comes out keeps the bounds.
func FuzzClaims(f *testing.F) {
	f.Add([]byte(`{"sub":"alice","exp":1800003600,"name":"n","role":"vip","rooms":["a*"],"iat":1,"jti":"x","aud":"y","nbf":0,"iss":"z"}`))
	f.Add([]byte(`{"sub":null,"exp":1e9,"rooms":"*"}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var p payload
		if json.Unmarshal(text, &p) != nil {
			return
		}
		if p.User != "" && !ValidUser(p.User) || len(p.Name) > nameMax || !ValidName(p.Name) || p.Role >= room.Roles ||
			len(p.Rooms) > roomsMax || len(p.Claims.ID) > idMax {
			t.Fatalf("%s gives %+v", text, p)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	v := verifier(b, Options{Files: keyFiles(b)})
	claims := good("name", "爱丽丝", "role", "vip", "rooms", []string{"live:*"}, "jti", "0123456789abcdef", "iat", now.Unix())
	for _, m := range []jwt.SigningMethod{jwt.SigningMethodHS256, jwt.SigningMethodRS256, jwt.SigningMethodEdDSA} {
		b.Run(m.Alg(), func(b *testing.B) {
			text := sign(b, m, claims)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("strangerRSA4096", func(b *testing.B) { // the most that somebody without a token can ask for
		var jwks []map[string]string
		for n := range triesMax {
			k, err := rsa.GenerateKey(rand.Reader, rsaMax)
			if err != nil {
				b.Fatal(err)
			}
			jwks = append(jwks, rsaJWK(&k.PublicKey, fmt.Sprint(n)))
		}
		v := verifier(b, Options{JWKS: write(b, "jwks.json", set(jwks...))})
		k, err := rsa.GenerateKey(rand.Reader, rsaMax)
		if err != nil {
			b.Fatal(err)
		}
		text := signWith(b, jwt.SigningMethodRS256, k, claims)
		for b.Loop() {
			if _, err := v.Verify(text); err == nil {
				b.Fatal("a stranger's token is good")
			}
		}
	})
}
