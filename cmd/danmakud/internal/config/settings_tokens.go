package config

// Tokens is who viewers are: tokens, their keys, and the callback at connect.
type Tokens struct {
}

var tableTokens = []definition{}
