package natstest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// Operator has one account beside the system's own, and users in it by JWT.
type Operator struct {
	token         string            // JWT of the operator
	system        string            // public key of the system's account
	accountTokens map[string]string // of all accounts, by public key
	accountKeys   nkeys.KeyPair     // of the users' account
}

// NewOperator makes one, whose account may do everything, JetStream included.
func NewOperator(t testing.TB) *Operator {
	t.Helper()
	keys, public := newPair(t, nkeys.CreateOperator)
	accountKeys, account := newPair(t, nkeys.CreateAccount)
	_, system := newPair(t, nkeys.CreateAccount)
	o := &Operator{system: system, accountKeys: accountKeys}
	claims := jwt.NewAccountClaims(account)
	claims.Name = "natstest"
	claims.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit}
	systemClaims := jwt.NewAccountClaims(system)
	systemClaims.Name = "SYS"
	o.accountTokens = map[string]string{account: encode(t, claims, keys), system: encode(t, systemClaims, keys)}
	own := jwt.NewOperatorClaims(public)
	own.Name = "natstest"
	o.token = encode(t, own, keys)
	return o
}

// Creds writes the credentials file of a new user and returns its path. limit may
// restrict the user; nil is one who may do everything.
func (o *Operator) Creds(t testing.TB, limit func(*jwt.UserClaims)) string {
	t.Helper()
	keys, public := newPair(t, nkeys.CreateUser)
	claims := jwt.NewUserClaims(public)
	if limit != nil {
		limit(claims)
	}
	seed, err := keys.Seed()
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.FormatUserConfig(encode(t, claims, o.accountKeys), seed)
	if err != nil {
		t.Fatal(err)
	}
	return secret(t, "user.creds", text)
}

// CredsFor is Creds for a user who may publish and hear these subjects alone.
func (o *Operator) CredsFor(t testing.TB, subjects ...string) string {
	t.Helper()
	return o.Creds(t, func(c *jwt.UserClaims) {
		c.Permissions.Pub.Allow.Add(subjects...)
		c.Permissions.Sub.Allow.Add(subjects...)
	})
}

// NewNKey makes a user by key alone, for Options.NKeys, and writes its seed to a file.
func NewNKey(t testing.TB) (public, seedFile string) {
	t.Helper()
	keys, public := newPair(t, nkeys.CreateUser)
	seed, err := keys.Seed()
	if err != nil {
		t.Fatal(err)
	}
	return public, secret(t, "user.nk", seed)
}

func newPair(t testing.TB, create func() (nkeys.KeyPair, error)) (keys nkeys.KeyPair, public string) {
	t.Helper()
	keys, err := create()
	if err == nil {
		public, err = keys.PublicKey()
	}
	if err != nil {
		t.Fatal(err)
	}
	return keys, public
}

func encode(t testing.TB, claims jwt.Claims, keys nkeys.KeyPair) string {
	t.Helper()
	token, err := claims.Encode(keys)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func secret(t testing.TB, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
