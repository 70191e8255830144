// Package token says whether a viewer's token is good, and what it says of the
// viewer. Tokens are JWT (RFC 7519) signed by HS256, RS256 or EdDSA.
//
//	key files ─┐
//	JWKS file ─┴─► keySet ─► Verifier.Verify(text) ─► Claims, or a Problem
//	                               Revocations ─► or ErrRevoked
//
// Verify blocks nowhere and costs 10 µs (HS256), 40 µs (RS256 with 2,048 bits, 0.4 ms
// with 4,096) or 50 µs (EdDSA), about what the rest of a handshake costs: loops call
// it. What reads files (New, Refresh) must not be called there.
package token

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Options say which tokens are good.
type Options struct {
	Files    []string         // keys, one a file: PEM or a secret
	JWKS     string           // file with a JSON Web Key Set; "" = none
	Audience []string         // one of them must be in aud; none = aud does not matter
	Issuer   string           // iss must be it; "" = does not matter
	MaxLife  time.Duration    // exp is at most this far away; 0 = does not matter
	Now      func() time.Time // nil = time.Now
}

// Wanted reports whether o names any key.
func (o *Options) Wanted() bool { return len(o.Files) > 0 || o.JWKS != "" }

// skew is how far the clock of whoever makes the tokens may be ahead of ours.
const skew = 10 * time.Second

// Verifier verifies tokens. Any goroutine.
type Verifier struct {
	// Fixed after construction.
	options Options
	parser  *jwt.Parser

	// Atomic; any goroutine.
	keys atomic.Pointer[keySet]

	mu sync.Mutex
	// Guarded by mu, by which refreshes take turns; held while files are read.
	seen []stamp
}

// New reads the keys. The error names the file that cannot be used.
func New(o Options) (*Verifier, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	parse := []jwt.ParserOption{
		jwt.WithValidMethods(algorithms), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
		jwt.WithLeeway(skew), jwt.WithStrictDecoding(), jwt.WithTimeFunc(o.Now),
	}
	if len(o.Audience) > 0 {
		parse = append(parse, jwt.WithAudience(o.Audience...))
	}
	if o.Issuer != "" {
		parse = append(parse, jwt.WithIssuer(o.Issuer))
	}
	v := &Verifier{options: o, parser: jwt.NewParser(parse...), seen: o.stamps()}
	keys, err := o.read()
	if err != nil {
		return nil, err
	}
	v.keys.Store(&keys)
	return v, nil
}

var algorithms = []string{jwt.SigningMethodHS256.Alg(), jwt.SigningMethodRS256.Alg(), jwt.SigningMethodEdDSA.Alg()}

// Verify returns what a good token says. The error is a *Problem. Safe for a loop.
func (v *Verifier) Verify(text string) (Claims, error) {
	var p payload
	t, err := v.parser.ParseWithClaims(text, &p, v.find)
	if err != nil {
		return Claims{}, v.problemOf(t, &p, err)
	}
	c := p.Claims
	c.Expires = p.ExpiresAt.Unix()
	if p.IssuedAt != nil {
		c.Issued = p.IssuedAt.Unix()
	}
	left := p.ExpiresAt.Sub(v.options.Now())
	switch {
	case c.User == "":
		return Claims{}, ErrUser
	case left <= 0: // skew is not for the end
		return Claims{}, ErrExpired
	case v.options.MaxLife > 0 && left > v.options.MaxLife+skew:
		return Claims{}, ErrLife
	}
	return c, nil
}

// find is what the parser asks for the keys of a token.
func (v *Verifier) find(t *jwt.Token) (any, error) {
	if _, demands := t.Header["crit"]; demands { // RFC 7515 section 4.1.11
		return nil, ErrCritical
	}
	id := ""
	if named, ok := t.Header["kid"]; ok {
		if id, ok = named.(string); !ok {
			return nil, ErrMalformed
		}
	}
	return v.keys.Load().find(t.Method.Alg(), id)
}

// problemOf says what the library found, in our words. t may be nil.
func (v *Verifier) problemOf(t *jwt.Token, p *payload, err error) error {
	var own *Problem
	switch {
	case errors.As(err, &own):
		return own
	case !errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
	case p.ExpiresAt == nil:
		return ErrNoExpiry
	case len(v.options.Audience) > 0 && len(p.Audience) == 0:
		return ErrAudience
	default:
		return ErrIssuer
	}
	if t != nil && !errors.Is(err, jwt.ErrTokenMalformed) {
		if algorithm, _ := t.Header["alg"].(string); !slices.Contains(algorithms, algorithm) {
			return ErrAlgorithm
		}
	}
	for _, known := range []struct {
		err     error
		problem *Problem
	}{
		{jwt.ErrTokenMalformed, ErrMalformed},
		{jwt.ErrTokenSignatureInvalid, ErrSignature},
		{jwt.ErrTokenExpired, ErrExpired},
		{jwt.ErrTokenNotValidYet, ErrEarly},
		{jwt.ErrTokenUsedBeforeIssued, ErrEarly},
		{jwt.ErrTokenInvalidAudience, ErrAudience},
		{jwt.ErrTokenInvalidIssuer, ErrIssuer},
	} {
		if errors.Is(err, known.err) {
			return known.problem
		}
	}
	return ErrMalformed
}

// stamp is what tells that a file has changed.
type stamp struct {
	modified time.Time
	size     int64
}

func (o *Options) paths() []string {
	if o.JWKS == "" {
		return o.Files
	}
	return append(slices.Clone(o.Files), o.JWKS)
}

func (o *Options) stamps() (all []stamp) {
	for _, path := range o.paths() {
		var s stamp // of a file that is not there
		if info, err := os.Stat(path); err == nil {
			s = stamp{info.ModTime(), info.Size()}
		}
		all = append(all, s)
	}
	return all
}

func (o *Options) read() (keys keySet, err error) {
	for _, path := range o.Files {
		k, err := readKeyFile(path)
		if err != nil {
			return nil, fmt.Errorf("token key: %w", err)
		}
		keys = append(keys, k)
	}
	if o.JWKS != "" {
		set, err := readJWKS(o.JWKS)
		if err != nil {
			return nil, fmt.Errorf("token keys: %w", err)
		}
		keys = append(keys, set...)
	}
	if len(keys) == 0 {
		return nil, errors.New("token keys: there are none")
	}
	return keys, nil
}

// Refresh reads the files again if they have changed since they were looked at, or
// if always is set. It returns how many keys there are now, 0 if nothing was read. After
// an error the keys stay as they were. Not for loops.
func (v *Verifier) Refresh(always bool) (keys int, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.options.stamps() // before reading: what changes meanwhile is read again
	if !always && slices.Equal(now, v.seen) {
		return 0, nil
	}
	v.seen = now
	set, err := v.options.read()
	if err != nil {
		return 0, err
	}
	v.keys.Store(&set)
	return len(set), nil
}
