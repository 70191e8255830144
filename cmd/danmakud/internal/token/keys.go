package token

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

const (
	keyFileMax  = 64 << 10
	jwksFileMax = 1 << 20
	keysMax     = 256
	// triesMax is how many keys a token that names none is tried with: each costs
	// the loop a verification. Two, as there are while one replaces the other.
	triesMax = 2
	// secretMin is what RFC 7518 section 3.2 asks of a secret for HS256, in bytes.
	secretMin = 32
	// RSA with fewer bits is weak, with more it takes long: time grows by the square.
	rsaMin, rsaMax = 2048, 4096
)

// key is one to verify with. It has one algorithm: a public key is never taken for
// a secret, whatever a token's header says.
type key struct {
	id        string // kid; "" = it has none
	strict    bool   // only for tokens that name it
	algorithm string
	value     any
}

// keySet is never changed.
type keySet []key

// find returns the keys that may have signed a token with that header: the one it
// names; without such a name those that can also serve unnamed.
func (ks keySet) find(algorithm, id string) (jwt.VerificationKeySet, error) {
	var named, others jwt.VerificationKeySet
	for _, k := range ks {
		switch {
		case k.algorithm != algorithm:
		case id != "" && k.id == id:
			named.Keys = append(named.Keys, k.value)
		case !k.strict || id == "":
			others.Keys = append(others.Keys, k.value)
		}
	}
	switch {
	case len(named.Keys) > 0:
		return named, nil
	case len(others.Keys) == 0:
		return others, ErrKey
	case len(others.Keys) > triesMax:
		return others, ErrKeyName
	}
	return others, nil
}

// readKeyFile reads a public key in PEM or a secret. The file's name without its
// ending is the key's id.
func readKeyFile(path string) (key, error) {
	text, err := readBounded(path, keyFileMax)
	if err != nil {
		return key{}, err
	}
	k, err := parseKey(text)
	if err != nil {
		return key{}, fmt.Errorf("%s: %w", path, err)
	}
	k.id = strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	return k, nil
}

func readBounded(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(text)) > most:
		return nil, fmt.Errorf("%s: more than %d bytes", path, most)
	}
	return text, nil
}

// secretPrefix begins a secret that is written in base64. Without it the bytes are
// the secret: base64 cannot be told from a secret that only looks like it.
const secretPrefix = "base64:"

func parseKey(text []byte) (key, error) {
	if bytes.Contains(text, []byte("-----BEGIN ")) {
		return parsePEM(text)
	}
	secret := bytes.TrimRight(text, "\r\n")
	if encoded, ok := strings.CutPrefix(string(secret), secretPrefix); ok {
		decoded, err := decodeBase64(strings.TrimSpace(encoded))
		if err != nil {
			return key{}, errors.New("what follows base64: is no base64")
		}
		secret = decoded
	}
	return secretKey(secret)
}

func secretKey(secret []byte) (key, error) {
	if len(secret) < secretMin {
		return key{}, fmt.Errorf("a secret has at least %d bytes, this one %d", secretMin, len(secret))
	}
	return key{algorithm: jwt.SigningMethodHS256.Alg(), value: secret}, nil
}

// decodeBase64 takes both alphabets, with and without padding.
func decodeBase64(s string) ([]byte, error) {
	s = strings.TrimRight(s, "=")
	if p, err := base64.RawURLEncoding.DecodeString(s); err == nil {
		return p, nil
	}
	return base64.RawStdEncoding.DecodeString(s)
}

func parsePEM(text []byte) (key, error) {
	block, rest := pem.Decode(text)
	switch {
	case block == nil:
		return key{}, errors.New("the PEM is broken")
	case len(bytes.TrimSpace(rest)) > 0:
		return key{}, errors.New("one key a file; there is more behind the first")
	case strings.Contains(block.Type, "PRIVATE"):
		return key{}, errors.New("this is a private key, which the server does not need and should not have: give it the public one")
	}
	var public any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		public, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		public, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var certificate *x509.Certificate
		if certificate, err = x509.ParseCertificate(block.Bytes); err == nil {
			public = certificate.PublicKey
		}
	default:
		return key{}, fmt.Errorf("a PEM block %q is no public key", block.Type)
	}
	if err != nil {
		return key{}, errors.New("the PEM holds no public key that can be read")
	}
	return publicKey(public)
}

// publicKey pins a key to its algorithm.
func publicKey(public any) (key, error) {
	switch p := public.(type) {
	case *rsa.PublicKey:
		if n := p.N.BitLen(); n < rsaMin || n > rsaMax {
			return key{}, fmt.Errorf("an RSA key has %d to %d bits, this one %d", rsaMin, rsaMax, n)
		}
		if p.E < 3 || p.E%2 == 0 {
			return key{}, errors.New("the RSA key's exponent is none")
		}
		return key{algorithm: jwt.SigningMethodRS256.Alg(), value: p}, nil
	case ed25519.PublicKey:
		return key{algorithm: jwt.SigningMethodEdDSA.Alg(), value: p}, nil
	}
	return key{}, errors.New("a public key is RSA or Ed25519")
}
