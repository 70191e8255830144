package config

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// ControlKey is a key of the control API. The key itself is not kept.
type ControlKey struct {
	Name, Role string
	Sum        [sha256.Size]byte // SHA-256 of the key
}

// ControlRoles are the roles that a key may have.
var ControlRoles = []string{"reader", "publisher", "moderator", "admin"}

const (
	controlKeyName = "control-key" // of the key that --control-key gives
	controlKeysMax = 1 << 20       // bytes of the file
	controlNameMax = 64
)

// keyFile is the file of --control-keys:
//
//	[[key]]
//	name = "back end"
//	role = "publisher"
//	key = "…"          # or sha256 = "…", of the key in hexadecimal
type keyFile struct {
	Key []struct {
		Name   string `toml:"name"`
		Role   string `toml:"role"`
		Key    string `toml:"key"`
		SHA256 string `toml:"sha256"`
	} `toml:"key"`
}

// ReadControlKeys returns all keys of the control API: that of --control-key, and
// those in the file. No error has any part of a key.
func (c *Config) ReadControlKeys() ([]ControlKey, error) {
	var keys []ControlKey
	if c.ControlKey != "" {
		keys = append(keys, ControlKey{controlKeyName, "admin", sha256.Sum256([]byte(c.ControlKey))})
	}
	if c.ControlKeys == "" {
		return keys, nil
	}
	file, err := readKeyFile(c.ControlKeys)
	if err != nil {
		return nil, fmt.Errorf("--control-keys: %w", err)
	}
	for i, k := range file.Key {
		key := ControlKey{Name: k.Name, Role: k.Role}
		err := key.check(k.Key, k.SHA256)
		if err == nil && slices.ContainsFunc(keys, func(other ControlKey) bool { return other.Name == k.Name }) {
			err = errors.New("the name stands twice")
		}
		if err == nil && slices.ContainsFunc(keys, func(other ControlKey) bool { return other.Sum == key.Sum }) {
			err = errors.New("the key stands twice")
		}
		if err != nil {
			return nil, fmt.Errorf("--control-keys: %s: key %d: %w", c.ControlKeys, i+1, err)
		}
		keys = append(keys, key)
	}
	if len(file.Key) == 0 { // which would open the API to this host where a mistake is likelier
		return nil, fmt.Errorf("--control-keys: %s: has no [[key]]", c.ControlKeys)
	}
	return keys, nil
}

func readKeyFile(path string) (file keyFile, err error) {
	f, err := os.Open(path)
	if err != nil {
		return file, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, controlKeysMax+1))
	if err == nil && len(data) > controlKeysMax {
		err = errors.New("is too large")
	}
	if err != nil {
		return file, fmt.Errorf("%s: %w", path, err)
	}
	d := toml.NewDecoder(bytes.NewReader(data))
	if err := d.DisallowUnknownFields().Decode(&file); err != nil {
		return file, fmt.Errorf("%s: %w", path, keyFileError(err))
	}
	return file, nil
}

// keyFileError says where a file is wrong without quoting it.
func keyFileError(err error) error {
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) && len(unknown.Errors) > 0 {
		line, _ := unknown.Errors[0].Position()
		return fmt.Errorf("line %d: %s is no setting of a key; there are name, role, key and sha256", line, strings.Join(unknown.Errors[0].Key(), "."))
	}
	var bad *toml.DecodeError
	if errors.As(err, &bad) {
		line, column := bad.Position()
		return fmt.Errorf("line %d, column %d: is no TOML of keys", line, column)
	}
	return errors.New("is no TOML of keys")
}

// check completes a key of the file.
func (k *ControlKey) check(key, sum string) error {
	switch {
	case k.Name == "" || len(k.Name) > controlNameMax || strings.ContainsFunc(k.Name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("name: want 1 to %d bytes without control characters", controlNameMax)
	case !slices.Contains(ControlRoles, k.Role):
		return fmt.Errorf("role %q: want one of %s", k.Role, strings.Join(ControlRoles, ", "))
	case (key == "") == (sum == ""):
		return errors.New("want either key or sha256")
	case key != "" && !keyFits(key):
		return errors.New("key: " + keyForm)
	case key != "":
		k.Sum = sha256.Sum256([]byte(key))
		return nil
	}
	digits, err := hex.DecodeString(sum)
	if err != nil || len(digits) != sha256.Size {
		return errors.New("sha256: want 64 hexadecimal digits")
	}
	copy(k.Sum[:], digits)
	return nil
}
