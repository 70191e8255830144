package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteText writes the report for a reader: the table, the verdict, and the
// commands that make every check ok.
func (r Report) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "STATUS\tCHECK\tVALUE\tWANTED\tWHY")
	counts := map[Status]int{}
	for _, c := range r.Checks {
		counts[c.Status]++
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", c.Status, c.Name, c.Value, c.Wanted, c.Why)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s connections: ", number(int64(r.Connections)))
	switch {
	case counts[Fail] > 0:
		fmt.Fprintf(&b, "this host cannot hold them (%d failed, %d warnings)\n", counts[Fail], counts[Warn])
	case counts[Warn] > 0:
		fmt.Fprintf(&b, "this host can hold them (%d warnings)\n", counts[Warn])
	default:
		b.WriteString("this host can hold them\n")
	}
	if r.OS != "linux" {
		fmt.Fprintf(&b, "On %s only the limit of open files is checked.\n", r.OS)
	}
	if !r.Remedy.Empty() {
		fmt.Fprintf(&b, "\nWhat to change (can be pasted):\n\n%s", r.Remedy.Commands())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteJSON writes the report as one indented JSON object.
func (r Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
