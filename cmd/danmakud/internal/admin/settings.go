package admin

import "github.com/danmakud/danmakud/cmd/danmakud/internal/config"

// OptionsOf returns the options that a configuration says: keys and limits. It reads
// the file of keys; after an error what is in force should stay so.
func OptionsOf(c *config.Config) (Options, error) {
	given, err := c.ReadControlKeys()
	if err != nil {
		return Options{}, err
	}
	o := Options{Body: c.ControlBody, Requests: c.ControlRequests, Streams: c.ControlStreams}
	for _, k := range given {
		role, err := ParseRole(k.Role)
		if err != nil {
			return Options{}, err
		}
		o.Keys = append(o.Keys, Key{k.Name, role, k.Sum})
	}
	return o, nil
}
