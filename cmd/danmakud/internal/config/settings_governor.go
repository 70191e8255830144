package config

// Governor is how much of what is said one batch may carry.
type Governor struct {
}

var tableGovernor = []definition{}
