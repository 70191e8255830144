package token

import (
	"encoding/json"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/danmakud/danmakud/room"
	"github.com/golang-jwt/jwt/v5"
)

// Bounds of what a token may say.
const (
	userMax  = 64 // bytes
	nameMax  = 64 // bytes; what is longer is cut
	idMax    = 128
	roomsMax = 100
)

// Claims are what a good token says.
type Claims struct {
	User    string    // sub
	Name    string    // to be shown; may be ""
	Role    room.Role // RoleViewer if the token does not say
	Rooms   []string  // names, or beginnings of names with a * behind; nil = all
	ID      string    // jti; may be ""
	Issued  int64     // iat, Unix seconds; 0 = not said
	Expires int64     // exp, Unix seconds
}

// payload is a token's claims as they come: what the library checks, and ours.
type payload struct {
	jwt.RegisteredClaims
	Claims
}

// UnmarshalJSON takes claims by their exact names: encoding/json would take "ROLE"
// for "role", and an issuer may let its users fill in claims of other names.
func (p *payload) UnmarshalJSON(text []byte) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	p.Role = room.RoleViewer
	for name, value := range all {
		if err := p.take(name, value); err != nil {
			return err
		}
	}
	return nil
}

func (p *payload) take(name string, value json.RawMessage) error {
	switch name {
	case "sub":
		return text(value, &p.User, ValidUser, ErrUser)
	case "name":
		p.Name = ""
		if err := text(value, &p.Name, ValidName, ErrName); err != nil {
			return err
		}
		p.Name = CutName(p.Name)
	case "role":
		var s string
		known := func(s string) (ok bool) { p.Role, ok = room.ParseRole(s); return ok }
		return text(value, &s, known, ErrRole)
	case "rooms":
		return p.takeRooms(value)
	case "jti":
		return text(value, &p.Claims.ID, func(s string) bool { return len(s) <= idMax && clean(s) }, ErrClaims)
	case "iss":
		return text(value, &p.Issuer, utf8.ValidString, ErrClaims)
	case "aud":
		if json.Unmarshal(value, &p.Audience) != nil {
			return ErrClaims
		}
	case "exp":
		return date(value, &p.ExpiresAt)
	case "nbf":
		return date(value, &p.NotBefore)
	case "iat":
		return date(value, &p.IssuedAt)
	}
	return nil
}

// text reads a string that good accepts.
func text(value json.RawMessage, to *string, good func(string) bool, otherwise *Problem) error {
	if len(value) == 0 || value[0] != '"' || json.Unmarshal(value, to) != nil || !good(*to) {
		return otherwise
	}
	return nil
}

// dateMax is the end of the year 9999: what is beyond does not fit everywhere.
const dateMax = 253402300799

// date reads seconds since 1970, which may have a fraction.
func date(value json.RawMessage, to **jwt.NumericDate) error {
	var seconds float64
	if value[0] == 'n' || json.Unmarshal(value, &seconds) != nil || seconds < 0 || seconds > dateMax {
		return ErrClaims
	}
	whole, fraction := math.Modf(seconds)
	*to = jwt.NewNumericDate(time.Unix(int64(whole), int64(fraction*1e9)))
	return nil
}

// takeRooms reads one name or a list of them. null is neither: nobody should get
// into all rooms by a mistake of whoever made the token.
func (p *payload) takeRooms(value json.RawMessage) error {
	var list jwt.ClaimStrings
	if value[0] == 'n' || json.Unmarshal(value, &list) != nil || !ValidRooms(list) {
		return ErrRooms
	}
	p.Rooms = append([]string{}, list...)
	return nil
}

// ValidRooms reports whether all of a list are names of rooms, or beginnings of
// names with a * behind.
func ValidRooms(list []string) bool {
	for _, pattern := range list {
		beginning, open := strings.CutSuffix(pattern, "*")
		if !room.ValidName(beginning) && !(open && beginning == "") {
			return false
		}
	}
	return len(list) <= roomsMax
}

// ValidUser reports whether a site may call a user that. What begins with the mark
// of guests could be taken for one.
func ValidUser(s string) bool {
	return len(s) >= 1 && len(s) <= userMax && s[0] != room.GuestMark && clean(s)
}

// CutName cuts a name to what is shown of it, between characters.
func CutName(s string) string {
	if len(s) <= nameMax {
		return s
	}
	end := nameMax
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// ValidName reports whether s may be shown as a name, once it is cut.
func ValidName(s string) bool { return clean(s) }

func clean(s string) bool { return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl) }
