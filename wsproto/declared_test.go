package wsproto

import (
	"go/ast"
	"go/parser"
	"go/token"
	"testing"
)

// TestListsAreComplete reads the source: a violation or refusal that is
// declared but not listed would have no counter in the server.
func TestListsAreComplete(t *testing.T) {
	for _, c := range []struct {
		file, kind string
		listed     int
	}{
		{file: "violation.go", kind: "Violation", listed: len(Violations())},
		{file: "refusal.go", kind: "Refusal", listed: len(Refusals())},
	} {
		f, err := parser.ParseFile(token.NewFileSet(), c.file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		declared := 0
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, ok := n.(*ast.CompositeLit); ok {
				if name, ok := lit.Type.(*ast.Ident); ok && name.Name == c.kind {
					declared++
				}
			}
			return true
		})
		if declared == 0 || declared != c.listed {
			t.Errorf("%s: %d declared, %d listed", c.file, declared, c.listed)
		}
	}
}
