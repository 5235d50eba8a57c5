package internal_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// layers says which packages of this module a package may import, by longest
// matching prefix. A package that is not listed fails the test, so that a new
// one gets a place on purpose.
var layers = []struct {
	prefix string
	may    []string
	reason string
}{
	{"addr", nil, "addresses are leaves: everything names things with them"},
	{"diag", nil, "diagnostics are leaves: every layer reports with them"},
	{"retry", nil, "error classes are leaves: every layer classifies with them"},
	{"gotmpl", nil, "template actions know no component"},
	{"galaxyfile", nil, "requirements files know no component"},
	{"fileid", nil, "identities of files are leaves"},
	{"procid", nil, "identities of processes are leaves"},
	{"qmp", nil, "talking to a QEMU process knows no build"},
	{"bootcmd", nil, "what is typed at a machine knows no machine"},
	{"treecopy", nil, "archives know no transport"},
	{"ratelimit", []string{"retry", "failpoint"}, "pacing calls knows endpoints, not what is behind them"},
	{"component/componenttest", []string{"ratelimit", "component", "addr", "diag", "retry", "gotmpl", "treecopy"}, "suites know contracts, not implementations"},
	{"component", []string{"addr", "diag", "retry", "ratelimit", "gotmpl"}, "contracts do not depend on who keeps them"},
	{"dockerengine", []string{"ratelimit", "failpoint", "component", "addr", "diag", "retry", "gotmpl", "outfile"}, "the engine client is shared by components"},
	{"localscript", []string{"component", "addr", "diag", "retry", "gotmpl", "shellenv", "hostproc"}, "shared by the two shell-local components"},
	{"winguest", []string{"component", "addr", "diag", "retry", "gotmpl"}, "shared by the Windows provisioners"},
	{"readiness", []string{"component", "addr", "diag", "retry", "gotmpl"}, "shared by the communicators that wait for machines"},
	{"staging", []string{"component", "addr", "diag", "retry", "gotmpl", "shellenv", "treecopy"}, "shared by components that run what they upload"},
	{"sshfront", []string{"component", "addr", "diag", "retry", "gotmpl"}, "shared by components whose programs know nothing but SSH"},
	{"sshkey", []string{"component", "addr", "diag", "retry", "gotmpl"}, "shared by builders whose machines are given a key"},
	{"shellenv", []string{"component", "addr", "diag", "retry", "gotmpl"}, "shared by the shell components"},
	{"outfile", []string{"component", "addr", "diag", "retry", "gotmpl", "fileid"}, "shared by components that write local files"},
	{"gitmodule", []string{"outfile", "component", "addr", "diag", "retry", "gotmpl", "fileid"}, "fetching modules knows repositories, not templates"},
	{"hostproc", []string{"component", "addr", "diag", "retry", "gotmpl", "procid"}, "shared by components that start programs on this machine"},
	{"qemuimg", []string{"component", "addr", "diag", "retry", "gotmpl", "hostproc"}, "shared by components that make or convert disk images"},
	{"media", []string{"component", "addr", "diag", "retry", "gotmpl"}, "shared by builders that attach media to machines"},
	{"fileserver", []string{"component", "addr", "diag", "retry", "gotmpl"}, "shared by builders whose machines fetch files"},
	{"fetch", []string{"component", "addr", "diag", "retry", "gotmpl"}, "shared by components that download files; the command line lists its cache"},
	{"builder", componentLayer, componentReason},
	{"comm", componentLayer, componentReason},
	{"provision", componentLayer, componentReason},
	{"postproc", componentLayer, componentReason},
	{"datasource", componentLayer, componentReason},
	{"failpoint", []string{"retry"}, "failpoints are leaves: every layer may have moments at which it fails"},
	{"journal", []string{"component", "addr", "failpoint", "procid"}, "the journal knows resources, not who makes them"},
	{"plugin/packerwire", []string{"component", "addr", "diag", "retry", "gotmpl", "shellenv", "treecopy"}, "the wire knows contracts, not processes or configurations"},
	{"plugin/process", []string{"component", "addr", "diag", "retry", "gotmpl", "hostproc", "reap", "plugin/packerwire"}, "a process knows the wire, not what is said over it"},
	{"plugin/host", []string{"component", "addr", "diag", "retry", "gotmpl", "plugin/packerwire", "plugin/process", "plugin/store", "plugin/wirespec"}, "components of plugins are known by their contracts, as native ones"},
	{"reap", []string{"component", "addr", "fileid", "procid"}, "reapers know resources only"},
	{"stepcache", []string{"component", "addr", "diag", "retry", "gotmpl", "treecopy"}, "the step cache knows checkpoints, not who makes or wants them"},
	{"watchdog", nil, "the watchdog knows a pipe; what it does then is the command line's"},
	{"legacy", []string{"addr", "diag", "gotmpl", "legacy"}, "legacy JSON is read and rewritten as text; what it means is the template's model"},
	{"template", []string{"addr", "diag", "gotmpl", "legacy"}, "the model holds what is written, not what it means"},
	{"console", []string{"diag"}, "the console reads and prints; what an expression means it is given"},
	{"lang/funcs", []string{"retry"}, "functions know values only"},
	{"hclformat", []string{"diag", "template"}, "layout knows texts, not what they mean; the template knows which ones are too deep to read"},
	{"lang", []string{"template", "component", "addr", "diag", "gotmpl"}, "evaluation does not know what is done with values"},
	{"plan", []string{"lang", "template", "component", "addr", "diag", "gotmpl", "retry"}, "planning does not run anything"},
	{"planview", []string{"plan", "lang", "component", "addr", "gotmpl"}, "views of a plan know what is planned, not who asks or prints"},
	{"lint", []string{"plan", "lang", "template", "component", "diag", "legacy"}, "lint judges what a template says and runs nothing"},
	{"schemadoc", []string{"component", "template", "lang/funcs", "diag"}, "descriptions are made of schemas, not of implementations"},
	{"plugin/serve", []string{"engine", "plan", "lang", "template", "journal", "ui", "plugin/packerwire", "plugin/store", "plugin/wirespec", "component", "addr", "diag", "ratelimit", "retry", "gotmpl"}, "serving is a second way to run components: what runs them is the engine, what there is arrives as arguments"},
	{"plugin/wirespec", []string{"component", "addr", "diag", "retry", "gotmpl"}, "encodings know schemas and values, not who exchanges them"},
	{"plugin/plugintest", nil, "plugins for tests know no host"},
	{"plugin/install", []string{"plugin/store", "component", "addr", "retry", "fetch", "outfile", "hostproc"}, "plugins are installed without knowing templates"},
	{"plugin/resolve", []string{"plugin/store", "plugin/lock", "template", "component", "addr", "diag"}, "what comes from where is decided without knowing how plugins are run"},
	{"plugin/lock", []string{"plugin/store", "template", "addr", "diag"}, "a lock file knows digests, not who compares them"},
	{"plugin/store", []string{"addr", "component", "hostproc", "retry"}, "what is installed is known without knowing who uses it"},
	{"outcome", []string{"component", "stepcache", "addr", "diag", "retry", "gotmpl"}, "what was made is remembered as data; who uses it again is the engine's business"},
	{"engine", []string{"ratelimit", "plan", "lang", "journal", "outcome", "stepcache", "component", "addr", "diag", "retry", "gotmpl"}, "dialers, clock and sinks arrive as arguments"},
	{"ui", []string{"component", "addr", "diag", "retry"}, "sinks know events only"},
	{"history", []string{"ui", "component", "addr", "diag", "retry", "procid"}, "the history holds events; what is shown of them is the command line's"},
	{"report", []string{"history", "ui", "component", "addr"}, "a report shows what the history holds"},
	{"junit", []string{"history", "component", "addr"}, "the results of tests are what the history holds"},
	{"otlp", []string{"history", "component", "addr", "retry"}, "a trace says what the history holds"},
	{"testkit/dockerrig", []string{"component", "dockerengine", "testkit"}, "a live engine for tests of docker components"},
	{"testkit/guestrig", []string{"qmp", "testkit"}, "a live virtual machine for tests"},
	{"testkit/netlab", []string{"component", "diag", "sshkey", "testkit"}, "networks with real SSH servers for tests of communicators"},
	{"testkit", []string{"ratelimit", "component", "addr", "diag", "retry", "gotmpl", "treecopy"}, "test tools know contracts only"},
	{"cli", []string{""}, "the command line wires everything together"},
}

var (
	componentLayer  = []string{"component", "addr", "diag", "retry", "ratelimit", "gotmpl", "treecopy", "dockerengine", "localscript", "shellenv", "winguest", "outfile", "fileid", "media", "fileserver", "fetch", "sshkey", "sshfront", "staging", "galaxyfile", "readiness", "bootcmd", "qemuimg", "hostproc", "qmp"}
	componentReason = "components know the contracts and their own SDK, never each other and never upward"
)

// testOnly are packages that no shipped code may import.
var testOnly = []string{"testkit", "plugin/plugintest", "component/componenttest", "comm/fake"}

// TestImportDirections keeps the layers of docs/architecture.md.
func TestImportDirections(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "ingot/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		fields := strings.Fields(line)
		pkg, ok := strings.CutPrefix(fields[0], "ingot/internal/")
		if !ok {
			continue
		}
		seen++
		for _, imp := range fields[1:] {
			dep, ours := strings.CutPrefix(imp, "ingot/internal/")
			if !ours {
				continue
			}
			if wrong := checkImport(pkg, dep); wrong != "" {
				t.Error(wrong)
			}
		}
		if layerOf(pkg) < 0 {
			t.Errorf("package %s has no place in the layers: add it to internal/layers_test.go and docs/architecture.md", pkg)
		}
	}
	if seen < 10 {
		t.Fatalf("only %d packages were checked: the list is wrong", seen)
	}
}

// checkImport returns what is wrong with an import, or "".
func checkImport(pkg, dep string) string {
	for _, p := range testOnly {
		if under(dep, p) && !under(pkg, p) && !under(pkg, "testkit") && !under(pkg, "component/componenttest") {
			return fmt.Sprintf("%s imports %s, which is for tests only", pkg, dep)
		}
	}
	i := layerOf(pkg)
	if i < 0 {
		return ""
	}
	l := layers[i]
	// Folders that hold one component each are separate rooms; the rest of
	// a layer is one room.
	if under(dep, l.prefix) && sameRoom(pkg, dep, l.prefix) {
		return ""
	}
	for _, m := range l.may {
		if m == "" || under(dep, m) {
			return ""
		}
	}
	return fmt.Sprintf("%s imports %s: %s", pkg, dep, l.reason)
}

// TestImportDirectionsCanFail proves that the check finds a wrong arrow.
func TestImportDirectionsCanFail(t *testing.T) {
	for _, wrong := range [][2]string{
		{"component", "engine"}, {"builder/docker", "builder/oci"}, {"builder/null", "journal"},
		{"engine", "ui"}, {"template", "lang"}, {"ui", "cli"}, {"engine", "comm/fake"},
	} {
		if checkImport(wrong[0], wrong[1]) == "" {
			t.Errorf("%s may import %s", wrong[0], wrong[1])
		}
	}
}

func layerOf(pkg string) int {
	best := -1
	for i, l := range layers {
		if under(pkg, l.prefix) && (best < 0 || len(l.prefix) > len(layers[best].prefix)) {
			best = i
		}
	}
	return best
}

func under(pkg, prefix string) bool {
	return pkg == prefix || strings.HasPrefix(pkg, prefix+"/")
}

func sameRoom(pkg, dep, layer string) bool {
	switch layer {
	case "builder", "comm", "provision", "postproc", "datasource":
		return room(pkg) == room(dep)
	}
	return true
}

// room is the first folder below a component layer.
func room(pkg string) string {
	parts := strings.SplitN(pkg, "/", 3)
	return strings.Join(parts[:min(2, len(parts))], "/")
}
