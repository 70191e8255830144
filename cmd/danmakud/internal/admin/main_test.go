package admin

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain fails if a goroutine of this package outlives the tests.
func TestMain(m *testing.M) {
	code := m.Run()
	for deadline := time.Now().Add(10 * time.Second); code == 0; time.Sleep(10 * time.Millisecond) {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		leaks := 0
		for _, stack := range strings.Split(string(stacks), "\n\n") {
			if strings.Contains(stack, "internal/admin.") && !strings.Contains(stack, "admin.TestMain(") {
				leaks++
			}
		}
		if leaks == 0 {
			break
		}
		if time.Now().After(deadline) {
			os.Stderr.WriteString("goroutines are left:\n" + string(stacks))
			code = 1
		}
	}
	os.Exit(code)
}
