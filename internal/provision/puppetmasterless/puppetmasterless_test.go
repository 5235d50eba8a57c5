//go:build unix

package puppetmasterless

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/comm/fake"
	"ingot/internal/comm/local"
	"ingot/internal/component"
	"ingot/internal/component/componenttest"
)

func strs(s ...string) cty.Value {
	out := make([]cty.Value, len(s))
	for i, v := range s {
		out[i] = cty.StringVal(v)
	}
	return cty.ListVal(out)
}

func str(s string) cty.Value { return cty.StringVal(s) }

// project makes files in a new working directory.
func project(t testing.TB, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func plan(t testing.TB, values map[string]cty.Value) component.Step {
	t.Helper()
	s, diags := New().Plan(t.Context(), New().Schema().Object(values))
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	return s
}

// guest is a machine on which Puppet is installed.
type guest struct {
	*fake.Machine
	calls, files []string
	code         int
}

// newGuest makes a machine whose commands run as the user with the number.
func newGuest(uid string) *guest {
	g := &guest{Machine: fake.NewMachine()}
	g.Program("id", func(_ context.Context, p *fake.Process) int {
		fmt.Fprintln(p.Stdout, uid)
		return 0
	})
	puppet := func(_ context.Context, p *fake.Process) int {
		facts := ""
		for _, f := range []string{"packer_build_name", "packer_builder_type", "packer_http_addr", "role"} {
			if v := p.Getenv("FACTER_" + f); v != "" {
				facts += f + "=" + v + " "
			}
		}
		g.calls = append(g.calls, strings.ReplaceAll(facts+strings.Join(p.Args, " "), p.Dir, "DIR"))
		g.files = nil
		for _, f := range p.Files() {
			if rest, ok := strings.CutPrefix(f, p.Dir+"/"); ok {
				if body, _, err := p.ReadFile(f); err == nil {
					g.files = append(g.files, rest+": "+string(body))
				}
			}
		}
		return g.code
	}
	for _, name := range []string{"puppet", "sudo", "/opt/bin/puppet"} {
		g.Program(name, puppet)
	}
	return g
}

func TestContract(t *testing.T) {
	project(t, map[string]string{"site.pp": "", "mods/a/x": ""})
	componenttest.Provisioner(t, componenttest.ProvisionerConfig{
		New: New,
		Valid: componenttest.Configs{
			"few":  {"manifest_file": str("site.pp")},
			"many": {"manifest_file": str("mods"), "module_paths": strs("mods"), "facter": cty.MapVal(map[string]cty.Value{"a": str("b")}), "guest_os_type": str("unix"), "staging_directory": str("/srv/x")},
		},
		Invalid: componenttest.Configs{
			"no manifest":   {},
			"not there":     {"manifest_file": str("none.pp")},
			"windows":       {"manifest_file": str("site.pp"), "guest_os_type": str("windows")},
			"manifest_dir":  {"manifest_file": str("site.pp"), "manifest_dir": str("mods")},
			"fact":          {"manifest_file": str("site.pp"), "facter": cty.MapVal(map[string]cty.Value{"a b": str("b")})},
			"no module":     {"manifest_file": str("site.pp"), "module_paths": strs("site.pp")},
			"no hiera":      {"manifest_file": str("site.pp"), "hiera_config_path": str("mods")},
			"template":      {"manifest_file": str("site.pp"), "execute_command": str("{{")},
			"of the system": {"manifest_file": str("site.pp"), "staging_directory": str("/etc"), "clean_staging_directory": cty.True},
		},
		Target: func(_ testing.TB, r component.Run) component.Target {
			return component.Target{Run: r, Comm: newGuest("0").Connect(fake.Options{})}
		},
	})
}

func TestCommand(t *testing.T) {
	project(t, map[string]string{"site.pp": "site", "many/a.pp": "a", "mods/m/init.pp": "m", "more/n/init.pp": "n", "h.yaml": "hiera"})
	const facts = "packer_build_name=test packer_builder_type=null "
	for name, c := range map[string]struct {
		uid    string
		values map[string]cty.Value
		call   string
		files  []string
	}{
		"root": {"0", map[string]cty.Value{"manifest_file": str("site.pp")},
			facts + "puppet apply --detailed-exitcodes DIR/manifests/site.pp", []string{"manifests/site.pp: site"}},
		"user": {"1000", map[string]cty.Value{"manifest_file": str("many")},
			facts + "sudo -E puppet apply --detailed-exitcodes DIR/manifests", []string{"manifests/a.pp: a"}},
		"no sudo": {"1000", map[string]cty.Value{"manifest_file": str("site.pp"), "prevent_sudo": cty.True, "puppet_bin_dir": str("/opt/bin")},
			facts + "/opt/bin/puppet apply --detailed-exitcodes DIR/manifests/site.pp", []string{"manifests/site.pp: site"}},
		"all": {"0", map[string]cty.Value{
			"manifest_file": str("site.pp"), "module_paths": strs("mods", "more"), "hiera_config_path": str("h.yaml"),
			"facter": cty.MapVal(map[string]cty.Value{"role": str("it's")}), "extra_arguments": strs("--verbose", "--tags={{build_name}}"),
		}, facts + "role=it's puppet apply --detailed-exitcodes --modulepath=DIR/module-0:DIR/module-1 --hiera_config=DIR/hiera.yaml --verbose --tags=test DIR/manifests/site.pp",
			[]string{"hiera.yaml: hiera", "manifests/site.pp: site", "module-0/m/init.pp: m", "module-1/n/init.pp: n"}},
		"own": {"0", map[string]cty.Value{"manifest_file": str("site.pp"), "execute_command": str("cd {{.WorkingDir}} && puppet own {{.ManifestFile}} [{{.Sudo}}]")},
			"puppet own DIR/manifests/site.pp []", []string{"manifests/site.pp: site"}},
	} {
		t.Run(name, func(t *testing.T) {
			r, _, _ := componenttest.NewRun(t)
			g := newGuest(c.uid)
			before := g.Files()
			if err := plan(t, c.values).Apply(t.Context(), component.Target{Run: r, Comm: g.Connect(fake.Options{})}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{c.call}, g.calls); diff != "" {
				t.Error(diff)
			}
			slices.Sort(g.files)
			if diff := cmp.Diff(c.files, g.files); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(before, g.Files()); diff != "" {
				t.Errorf("left on the machine: %s", diff)
			}
		})
	}
}

func TestExitCodes(t *testing.T) {
	project(t, map[string]string{"site.pp": ""})
	for code, want := range map[int]string{
		0: "", 2: "", 1: "running Puppet ended with exit code 1", 4: "resources could not be brought", 6: "resources could not be brought", 127: "no Puppet was found on the machine",
	} {
		for _, ignore := range []bool{false, true} {
			r, _, events := componenttest.NewRun(t)
			g := newGuest("0")
			g.code = code
			before := g.Files()
			err := plan(t, map[string]cty.Value{"manifest_file": str("site.pp"), "ignore_exit_codes": cty.BoolVal(ignore)}).Apply(t.Context(), component.Target{Run: r, Comm: g.Connect(fake.Options{})})
			said := ""
			if err != nil {
				said = err.Error()
			} else if ignore {
				said = events.Said()
			}
			if (err != nil) != (want != "" && !ignore) || !strings.Contains(said, want) {
				t.Errorf("code %d, ignored %v: %v, said %q", code, ignore, err, events.Said())
			}
			if diff := cmp.Diff(before, g.Files()); diff != "" {
				t.Errorf("left on the machine: %s", diff)
			}
		}
	}
}

// TestLive: the real Puppet applies a manifest with a module, facts and Hiera.
func TestLive(t *testing.T) {
	if _, err := exec.LookPath("puppet"); err != nil {
		if os.Getenv("INGOT_LIVE") == "require" {
			t.Fatal("INGOT_LIVE=require and puppet is not installed")
		}
		t.Skip("SKIPPED LIVE TEST: puppet is not installed; run `make deps`")
	}
	made := filepath.Join(t.TempDir(), "made")
	project(t, map[string]string{
		"site.pp":                      "class { 'greet': path => '" + made + "' }\n",
		"mods/greet/manifests/init.pp": "class greet(String $path) { file { $path: content => \"${facts['role']} ${facts['packer_build_name']}\" } }\n",
	})
	t.Setenv("HOME", t.TempDir())
	machine := local.New(new(componenttest.MemoryJournal))
	defer machine.Close()
	r, _, events := componenttest.NewRun(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	values := map[string]cty.Value{
		"manifest_file": str("site.pp"), "module_paths": strs("mods"), "facter": cty.MapVal(map[string]cty.Value{"role": str("it's web")}),
		"prevent_sudo": cty.True, "extra_arguments": strs("--confdir=$HOME/conf", "--vardir=$HOME/var"),
	}
	err := plan(t, values).Apply(ctx, component.Target{Run: r, Comm: machine})
	if text, readErr := os.ReadFile(made); err != nil || string(text) != "it's web test" {
		t.Errorf("%v\nmade %q, %v\n%s\n%s", err, text, readErr, strings.Join(events.Lines(component.Stdout), "\n"), strings.Join(events.Lines(component.Stderr), "\n"))
	}
	if err := os.WriteFile("site.pp", []byte("file { '/proc/none/x': ensure => file }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := plan(t, values).Apply(ctx, component.Target{Run: r, Comm: machine}); err == nil || !strings.Contains(err.Error(), "resources could not be brought into the state") {
		t.Errorf("a manifest that cannot be applied: %v", err)
	}
}
