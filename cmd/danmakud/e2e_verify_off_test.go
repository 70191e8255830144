//go:build !verify

package main

const verifyBuild = false
