package main

import (
	"testing"
)

func TestReadMachine(t *testing.T) {
	m := ReadMachine()
	if m.CPUs < 1 || m.OS == "" || m.GoMaxProcs < 1 || m.OpenFiles == 0 || m.OpenFiles > m.OpenFilesHi {
		t.Errorf("%+v", m)
	}
	if m.OS == "linux" && (m.Kernel == "" || m.MemoryBytes < 1<<20 || m.Sysctls["net.core.somaxconn"] == "") {
		t.Errorf("%+v", m)
	}
	m.fillCPU("processor\t: 0\nmodel name\t: Some CPU\ncpu MHz\t\t: 2500.5\nflags\t\t: fpu hypervisor\n\nprocessor\t: 1\nmodel name\t: Other\n")
	if m.CPUModel != "Some CPU" || m.CPUMHz != 2500.5 || !m.Hypervisor {
		t.Errorf("%+v", m)
	}
	if d := distro("ID=x\nPRETTY_NAME=\"Some Linux 12\"\n"); d != "Some Linux 12" {
		t.Errorf("%q", d)
	}
	if b := ReadBuild(); b.GoVersion == "" || b.Version == "" {
		t.Errorf("%+v", b)
	}
}
