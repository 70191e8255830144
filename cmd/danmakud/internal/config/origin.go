package config

import "strconv"

// Kinds of origins, the strongest first.
const (
	originAPI         = "API"
	originCommandLine = "command line"
	originEnvironment = "environment"
	originCredential  = "credential"
	originFile        = "file"
	originDefault     = "default"
)

// Origin is where the value of a setting came from. The zero value is its default.
type Origin struct {
	kind string
	name string // variable, credential, path of the file, or who asked
	line int    // of a file
}

func (o Origin) String() string {
	switch o.kind {
	case "":
		return originDefault
	case originFile:
		return o.name + ":" + strconv.Itoa(o.line)
	case originCommandLine:
		return o.kind
	}
	return o.kind + " " + o.name
}

// subject names the setting the way its source does, for errors.
func (o Origin) subject(flag string) string {
	switch o.kind {
	case originFile:
		return o.String() + ": " + flag
	case originEnvironment:
		return o.name
	case originCredential:
		return o.String()
	}
	return "--" + flag
}

// Origin returns where a setting came from.
func (c *Config) Origin(flag string) Origin { return c.origins[flag] }
