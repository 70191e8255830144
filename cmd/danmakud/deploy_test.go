package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
)

// tool skips the test, saying why, where a program is missing.
func tool(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("skipped: %s is not installed", name)
	}
}

func inRepository(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = repository
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// chartValues has everything in it that is off by default.
const chartValues = `
config: {max-text: 80, comment-rate: 0.5, max-rooms: 2000000, compression: false, origin: ["https://a.example", "*.b.example"]}
drain: {graceSeconds: 7, timeSeconds: 11}
secret: keys
caBundle: bundle
autoscaling: {enabled: true}
serviceMonitor: {enabled: true}
networkPolicy: {controlFrom: [{podSelector: {}}]}
nats: {url: ["tls://a.example:4222", "tls://b.example:4222"], credentials: user, tls: trust, clientCertificate: true}
`

// TestChart: helm has nothing to say against the chart, a pod has the time that its
// drain needs, and the settings in it are settings.
func TestChart(t *testing.T) {
	tool(t, "helm")
	const chart = "deploy/helm/danmakud"
	inRepository(t, "helm", "lint", "--strict", chart)
	values := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(values, []byte(chartValues), 0o600); err != nil {
		t.Fatal(err)
	}
	render := func(args ...string) string {
		return inRepository(t, "helm", append([]string{"template", "demo", chart, "--kube-version", "1.31.0"}, args...)...)
	}
	kinds := regexp.MustCompile(`(?m)^kind: (\w+)`)
	for _, tc := range []struct {
		args []string
		want string
	}{
		{nil, "ConfigMap NetworkPolicy PodDisruptionBudget Service Service ServiceAccount StatefulSet"},
		{[]string{"-f", values}, "ConfigMap HorizontalPodAutoscaler NetworkPolicy PodDisruptionBudget Service Service ServiceAccount ServiceMonitor StatefulSet"},
		{[]string{"-f", values, "--set", "persistence.enabled=false,networkPolicy.enabled=false"},
			"ConfigMap Deployment HorizontalPodAutoscaler PodDisruptionBudget Service Service ServiceAccount ServiceMonitor"},
	} {
		var got []string
		for _, m := range kinds.FindAllStringSubmatch(render(tc.args...), -1) {
			got = append(got, m[1])
		}
		slices.Sort(got)
		if text := strings.Join(got, " "); text != tc.want {
			t.Errorf("%q: kinds\n%s, want\n%s", tc.args, text, tc.want)
		}
	}

	all := render("-f", values)
	for _, want := range []string{"terminationGracePeriodSeconds: 38", "averageValue: \"50000\"", "runAsNonRoot: true", "readOnlyRootFilesystem: true"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
	_, settings, _ := strings.Cut(render("-f", values, "-s", "templates/configmap.yaml"), "danmakud.toml: |\n")
	file := newSettingsFile(t, strings.ReplaceAll(settings, "    ", ""))
	problems, warnings := config.Check(file.path)
	if len(problems) > 0 || len(warnings) != 1 || !strings.Contains(settings, "max-rooms = 2000000\n") {
		t.Errorf("problems %q, warnings %q; want one, that the control listener is open\n%s", problems, warnings, settings)
	}
	for _, want := range []string{`nats-url = ["tls://a.example:4222","tls://b.example:4222"]`, `cluster = "demo"`, `nats-creds = "/run/secrets/nats/user.creds"`, `nats-key = "/run/secrets/nats-tls/tls.key"`} {
		if !strings.Contains(settings, want) {
			t.Errorf("no %s in\n%s", want, settings)
		}
	}
	for _, want := range []string{"secretName: user", "mountPath: /run/secrets/nats,", "secretName: trust", "mountPath: /run/secrets/nats-tls,"} {
		if strings.Count(all, want) != 1 {
			t.Errorf("%q is not there once in\n%s", want, all)
		}
	}
	if seed := render("-f", values, "--set", "nats.nkey=true"); !strings.Contains(seed, "nats-nkey = \"/run/secrets/nats/nkey.seed\"") || strings.Contains(seed, "nats-creds") {
		t.Errorf("an NKey is not one:\n%s", seed)
	}
	if alone := render(); strings.Contains(alone, "nats") {
		t.Errorf("a pod by itself knows of NATS:\n%s", alone)
	}
	cmd := exec.Command("helm", "template", "demo", chart, "--kube-version", "1.31.0", "--set", "config.listen=x")
	cmd.Dir = repository
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "'listen'") {
		t.Errorf("a setting that is the chart's can be given: %v\n%s", err, out)
	}
}

// TestCompose: the files are such, and a container has the time that its drain needs.
func TestCompose(t *testing.T) {
	compose := []string{"docker-compose"}
	if _, err := exec.LookPath(compose[0]); err != nil {
		compose = []string{"docker", "compose"}
		if exec.Command("docker", "compose", "version").Run() != nil {
			t.Skip("skipped: docker compose is not installed")
		}
	}
	for file, nodes := range map[string]int{"compose.yaml": 1, "compose.nats.yaml": 3} {
		text := inRepository(t, compose[0], append(compose[1:], "-f", "deploy/docker/"+file, "config")...)
		var variables []string
		grace := map[string][]time.Duration{}
		for _, m := range regexp.MustCompile(`(?m)^ *(\w+): "?([^"\n]+)"?$`).FindAllStringSubmatch(text, -1) {
			if strings.HasPrefix(m[1], "DANMAKUD_") {
				variables = append(variables, m[1]+"="+m[2])
			}
			if d, err := time.ParseDuration(m[2]); err == nil {
				grace[m[1]] = append(grace[m[1]], d)
			}
		}
		if unknown := config.UnknownEnv(variables); len(variables) < 3*nodes || len(unknown) > 0 {
			t.Errorf("%s: variables %q, of which %q are no settings", file, variables, unknown)
		}
		if n := len(grace["stop_grace_period"]); n != nodes {
			t.Errorf("%s: %d nodes, want %d", file, n, nodes)
		}
		for i, stopping := range grace["stop_grace_period"] {
			need := grace["DANMAKUD_DRAIN_GRACE"][i] + grace["DANMAKUD_DRAIN_TIME"][i] + 20*time.Second
			if need <= 20*time.Second || stopping < need {
				t.Errorf("%s: stopping may take %v, want %v", file, stopping, need)
			}
		}
		for _, name := range []string{"NODE", "ADVERTISE"} { // each its own
			values := regexp.MustCompile(`DANMAKUD_`+name+`: (\S+)`).FindAllString(text, -1)
			slices.Sort(values)
			if n := len(slices.Compact(values)); nodes > 1 && n != nodes {
				t.Errorf("%s: %d different values of DANMAKUD_%s", file, n, name)
			}
		}
	}
}

// TestReleaseFile: goreleaser takes its configuration.
func TestReleaseFile(t *testing.T) {
	tool(t, "goreleaser")
	inRepository(t, "goreleaser", "check")
}

// TestLicense: the repository has one, clients that are published by themselves have the
// same, and whatever says which it is says that.
func TestLicense(t *testing.T) {
	read := func(path string) string {
		text, err := os.ReadFile(filepath.Join(repository, path))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	license := read("LICENSE")
	if !strings.Contains(license, "Apache License\n") || !strings.Contains(license, "Version 2.0") {
		t.Error("LICENSE is another one")
	}
	for _, client := range []string{"js", "players"} {
		if read("clients/"+client+"/LICENSE") != license {
			t.Errorf("the client %s has another license", client)
		}
		if !strings.Contains(read("clients/"+client+"/package.json"), `"license": "Apache-2.0"`) {
			t.Errorf("the package of the client %s does not say its license", client)
		}
	}
	for path, words := range map[string]string{".goreleaser.yaml": "license: Apache-2.0", "deploy/helm/danmakud/Chart.yaml": "license: Apache-2.0"} {
		if !strings.Contains(read(path), words) {
			t.Errorf("%s does not say %q", path, words)
		}
	}
}

// TestThirdPartyLicenses: each module in the binary has its license in what goes along.
func TestThirdPartyLicenses(t *testing.T) {
	folder := t.TempDir()
	inRepository(t, "deploy/packages/licenses.sh", folder)
	all, err := os.ReadFile(filepath.Join(folder, "THIRD-PARTY"))
	if err != nil {
		t.Fatal(err)
	}
	modules := strings.Fields(inRepository(t, "go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", "./cmd/danmakud"))
	if len(modules) < 10 {
		t.Fatalf("modules %q", modules)
	}
	for _, module := range modules {
		if !strings.Contains(string(all), "\n"+module+" v") && !strings.HasPrefix(string(all), module+" v") {
			t.Errorf("no license of %s", module)
		}
	}
}

// TestPackagedFiles: what a package is made of is there.
func TestPackagedFiles(t *testing.T) {
	release, err := os.ReadFile(repository + "/.goreleaser.yaml")
	if err != nil {
		t.Fatal(err)
	}
	paths := regexp.MustCompile(`(?:src|dockerfile|postinstall|preremove): ((?:deploy|docs)/\S+)`).FindAllStringSubmatch(string(release), -1)
	if len(paths) < 10 {
		t.Fatalf("only %q", paths)
	}
	for _, m := range paths {
		if found, err := filepath.Glob(filepath.Join(repository, m[1])); err != nil || len(found) == 0 {
			t.Errorf("%s is not there (%v)", m[1], err)
		}
	}
}

// TestShippedSettings: the files that are installed say nothing wrong or unwise.
func TestShippedSettings(t *testing.T) {
	for _, name := range []string{"systemd/danmakud.toml", "danmakud.example.toml"} {
		problems, warnings := config.Check(repository + "/deploy/" + name)
		if len(problems)+len(warnings) > 0 {
			t.Errorf("%s: %q %q", name, problems, warnings)
		}
	}
}
