//go:build verify

package main

// With the verify tag the server checks its invariants at the end of each turn.
func init() { buildFlags = append(buildFlags, "-tags=verify") }

const verifyBuild = true
