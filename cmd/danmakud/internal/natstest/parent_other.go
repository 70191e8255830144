//go:build !linux

package natstest

import "os/exec"

// dieWithParent cannot be asked for here: a test program that is killed leaves its
// servers.
func dieWithParent(*exec.Cmd) {}
