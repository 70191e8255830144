package token

import (
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"github.com/golang-jwt/jwt/v5"
)

// jwk is a JSON Web Key, RFC 7517; of its fields those of the kinds we take.
type jwk struct {
	Type      string `json:"kty"`
	ID        string `json:"kid"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
	N         string `json:"n"`
	E         string `json:"e"`
	Curve     string `json:"crv"`
	X         string `json:"x"`
	K         string `json:"k"`
	D         string `json:"d"` // the private half
}

// readJWKS reads a set of keys. Keys of kinds that are not for us are left out, as
// RFC 7517 section 5 asks for; a broken one of ours makes the whole file broken.
func readJWKS(path string) (keySet, error) {
	text, err := readBounded(path, jwksFileMax)
	if err != nil {
		return nil, err
	}
	keys, err := parseJWKS(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}

func parseJWKS(text []byte) (keySet, error) {
	var set struct {
		Keys []jwk `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("no JSON Web Key Set: %w", err)
	}
	if len(set.Keys) > keysMax {
		return nil, fmt.Errorf("%d keys, at most %d are taken", len(set.Keys), keysMax)
	}
	var keys keySet
	for i, j := range set.Keys {
		if !j.ours() {
			continue
		}
		k, err := j.key()
		if err != nil {
			return nil, fmt.Errorf("key %d (kid %q): %w", i+1, j.ID, err)
		}
		k.id, k.strict = j.ID, j.ID != ""
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, errors.New("no key for HS256, RS256 or EdDSA in the set")
	}
	return keys, nil
}

// ours reports whether a key is for verifying tokens by one of our algorithms.
func (j *jwk) ours() bool {
	if j.Use != "" && j.Use != "sig" {
		return false
	}
	want := map[string]string{
		"RSA": jwt.SigningMethodRS256.Alg(), "OKP": jwt.SigningMethodEdDSA.Alg(), "oct": jwt.SigningMethodHS256.Alg(),
	}[j.Type]
	if want == "" || j.Type == "OKP" && j.Curve != "Ed25519" {
		return false
	}
	return j.Algorithm == "" || j.Algorithm == want || j.Type == "OKP" && j.Algorithm == "Ed25519" // RFC 9864
}

func (j *jwk) key() (key, error) {
	if j.D != "" {
		return key{}, errors.New("this is a private key, which the server does not need and should not have")
	}
	switch j.Type {
	case "oct":
		secret, err := decodeBase64(j.K)
		if err != nil {
			return key{}, errors.New("k is no base64url")
		}
		return secretKey(secret)
	case "OKP":
		x, err := decodeBase64(j.X)
		if err != nil || len(x) != ed25519.PublicKeySize {
			return key{}, fmt.Errorf("x is not %d bytes in base64url", ed25519.PublicKeySize)
		}
		return publicKey(ed25519.PublicKey(x))
	}
	n, errN := decodeBase64(j.N)
	e, errE := decodeBase64(j.E)
	if errN != nil || errE != nil || len(e) == 0 || len(e) > 4 {
		return key{}, errors.New("n and e are numbers in base64url, e below 2^31")
	}
	exponent := new(big.Int).SetBytes(e).Int64()
	if exponent > 1<<31-1 {
		return key{}, errors.New("e is below 2^31")
	}
	return publicKey(&rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent)})
}
