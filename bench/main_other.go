//go:build !linux

// Bench is the load tool of danmakud. Its loads use epoll and so need Linux;
// see main.go.
package main

import (
	"fmt"
	"os"
	"runtime"
)

func main() {
	fmt.Fprintf(os.Stderr, "bench: the load tool needs Linux (epoll, /proc); this is %s\n", runtime.GOOS)
	os.Exit(2)
}
