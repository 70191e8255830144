package config

// API is who may use the control API and how much of it.
type API struct {
}

var tableAPI = []definition{}
