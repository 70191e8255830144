package config

// Setting is one value in force, as it may be shown.
type Setting struct {
	Name    string `json:"name"`
	Value   string `json:"value"` // as on the command line; "(secret)" for a secret that is set
	Default string `json:"default"`
	Origin  string `json:"origin"`
	Kind    string `json:"kind"`   // string, bool, number, bytes, rate, duration or list
	Reload  bool   `json:"reload"` // a running server can change it
	Secret  bool   `json:"secret,omitempty"`
}

// List returns all settings in the order of the table.
func (c *Config) List() []Setting {
	defaults := Default()
	list := make([]Setting, len(table))
	for i, d := range table {
		list[i] = Setting{
			Name: d.flag, Value: d.shown(c), Default: d.shown(&defaults), Origin: c.Origin(d.flag).String(),
			Kind: d.value(c).Type(), Reload: d.reload, Secret: d.secret,
		}
	}
	return list
}
