package doctor

import (
	"fmt"
	"strings"
)

// Remedy is what would have to change on the host for every check to be ok.
type Remedy struct {
	// OpenFiles is the hard limit of open files to set; 0 if it suffices.
	OpenFiles int64 `json:"open_files,omitempty"`
	// Sysctls in the order in which they must be set: a hard limit of open
	// files can be raised only after fs.nr_open.
	Sysctls []Sysctl `json:"sysctls,omitempty"`
	// Notes are changes that no command makes.
	Notes []string `json:"notes,omitempty"`
}

// Sysctl is one kernel setting.
type Sysctl struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func (r *Remedy) sysctl(name, value string) {
	r.Sysctls = append(r.Sysctls, Sysctl{Name: name, Value: value})
}

func (r *Remedy) note(s string) { r.Notes = append(r.Notes, s) }

// Empty reports whether there is nothing to change.
func (r Remedy) Empty() bool {
	return r.OpenFiles == 0 && len(r.Sysctls) == 0 && len(r.Notes) == 0
}

// Commands returns lines for a POSIX shell: what is no command is a comment,
// so all of it can be pasted. Empty when there is nothing to change.
func (r Remedy) Commands() string {
	var b strings.Builder
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "# %s\n", note)
	}
	if len(r.Sysctls) > 0 {
		b.WriteString("# kernel settings, at once:\n")
		for _, s := range r.Sysctls {
			fmt.Fprintf(&b, "sudo sysctl -w %s=%s\n", s.Name, quote(s.Value))
		}
		b.WriteString("# and for every start of the machine:\n")
		b.WriteString("sudo tee /etc/sysctl.d/60-danmakud.conf <<'EOF'\n")
		for _, s := range r.Sysctls {
			fmt.Fprintf(&b, "%s = %s\n", s.Name, s.Value)
		}
		b.WriteString("EOF\n")
	}
	if r.OpenFiles > 0 {
		r.openFileCommands(&b)
	}
	return b.String()
}

func (r Remedy) openFileCommands(b *strings.Builder) {
	fmt.Fprintf(b, "# open files, when systemd starts the server:\n")
	b.WriteString("sudo mkdir -p /etc/systemd/system/danmakud.service.d\n")
	b.WriteString("sudo tee /etc/systemd/system/danmakud.service.d/open-files.conf <<'EOF'\n")
	fmt.Fprintf(b, "[Service]\nLimitNOFILE=%d\nEOF\n", r.OpenFiles)
	b.WriteString("sudo systemctl daemon-reload\n")
	b.WriteString("# open files, when a shell starts it (this process is the shell):\n")
	fmt.Fprintf(b, "sudo prlimit --pid $$ --nofile=%d:%d && ulimit -n %d\n", r.OpenFiles, r.OpenFiles, r.OpenFiles)
	fmt.Fprintf(b, "# open files, when a container engine starts it: --ulimit nofile=%d:%d\n", r.OpenFiles, r.OpenFiles)
}

func quote(s string) string {
	if strings.ContainsAny(s, " \t") {
		return "'" + s + "'"
	}
	return s
}
