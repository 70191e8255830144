package token

// Problem is why a token is not good. Its text is for the person with the token,
// and tells nothing about the keys or about other tokens.
type Problem struct {
	Name string // label for metrics
	Text string
}

func (p *Problem) Error() string { return p.Text }

// Problems of tokens. The predeclared ones are read-only and may be compared with ==.
var (
	ErrMalformed = &Problem{"malformed", "the token is no signed JWT"}
	ErrAlgorithm = &Problem{"algorithm", "the token is not signed by HS256, RS256 or EdDSA"}
	ErrKey       = &Problem{"key", "the token is signed with a key that is not known here"}
	ErrKeyName   = &Problem{"key_name", "the token must say which key it is signed with (kid)"}
	ErrSignature = &Problem{"signature", "the token's signature does not fit"}
	ErrCritical  = &Problem{"critical", "the token demands extensions that are not known here (crit)"}
	ErrNoExpiry  = &Problem{"no_expiry", "the token does not say when it ends (exp)"}
	ErrExpired   = &Problem{"expired", "the token has expired"}
	ErrEarly     = &Problem{"early", "the token is not good yet (nbf, iat)"}
	ErrLife      = &Problem{"life", "the token lasts longer than this server takes"}
	ErrAudience  = &Problem{"audience", "the token is not for this server (aud)"}
	ErrIssuer    = &Problem{"issuer", "the token is from somebody else (iss)"}
	ErrUser      = &Problem{"user", "sub must name the user: 1 to 64 bytes, no control characters, not beginning with ~"}
	ErrName      = &Problem{"name", "name is a text without control characters"}
	ErrRole      = &Problem{"role", "role is guest, viewer, vip, moderator, anchor or admin"}
	ErrRooms     = &Problem{"rooms", "rooms is a list of at most 100 room names, or beginnings of names with a * behind"}
	ErrClaims    = &Problem{"claims", "a claim of the token has the wrong type or size"}
	ErrNoKeys    = &Problem{"no_keys", "this server takes no tokens; connect without one"}
	ErrRevoked   = &Problem{"revoked", "the token has been revoked"}
)

var problems = []*Problem{
	ErrMalformed, ErrAlgorithm, ErrKey, ErrKeyName, ErrSignature, ErrCritical, ErrNoExpiry, ErrExpired, ErrEarly,
	ErrLife, ErrAudience, ErrIssuer, ErrUser, ErrName, ErrRole, ErrRooms, ErrClaims, ErrNoKeys, ErrRevoked,
}

// Problems returns every one there is, so that each can be given its counter at
// start. The slice must not be changed.
func Problems() []*Problem { return problems }
