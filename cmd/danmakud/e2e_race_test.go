//go:build race

package main

// With -race the server under test is built with it too.
func init() { buildFlags = append(buildFlags, "-race") }
