package danmakuv1_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

var update = flag.Bool("update", false, "write what is generated of the schema")

// TestGenerated: the Go types are what protoc makes of the schema now. Its own version
// is in a comment, which may differ.
func TestGenerated(t *testing.T) {
	protoc, err := exec.LookPath("protoc")
	if err != nil {
		t.Skip("skipped: protoc is not installed (Debian: protobuf-compiler), danmaku.pb.go is not held against its schema")
	}
	dir := t.TempDir()
	plugin := filepath.Join(dir, "protoc-gen-go")
	run(t, "go", "build", "-o", plugin, "google.golang.org/protobuf/cmd/protoc-gen-go") // of the version in go.mod
	run(t, protoc, "--plugin=protoc-gen-go="+plugin, "-I", "../..", "--go_out="+dir, "--go_opt=paths=source_relative", "danmaku/v1/danmaku.proto")
	made, err := os.ReadFile(filepath.Join(dir, "danmaku/v1/danmaku.pb.go"))
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("danmaku.pb.go", made, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile("danmaku.pb.go")
	if err != nil {
		t.Fatal(err)
	}
	versions := regexp.MustCompile(`(?m)^// \tprotoc .*\n`)
	if string(versions.ReplaceAll(have, nil)) != string(versions.ReplaceAll(made, nil)) {
		t.Error("danmaku.pb.go is not what the schema says; run make generate")
	}
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}
