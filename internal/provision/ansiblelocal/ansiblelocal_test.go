//go:build unix

package ansiblelocal

import (
	"context"
	"errors"
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
func project(t testing.TB, files ...string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for _, name := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("- text of "+name+"\n"), 0o644); err != nil {
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

// guest is a machine on which Ansible is installed; each call notes the
// command line and the files that there are then.
type guest struct {
	*fake.Machine
	calls, files []string
	code         int
}

func newGuest() *guest {
	g := &guest{Machine: fake.NewMachine()}
	for _, name := range []string{"ansible-playbook", "ansible-galaxy"} {
		g.Program(name, func(_ context.Context, p *fake.Process) int {
			env := ""
			for _, v := range []string{"PYTHONUNBUFFERED", "ANSIBLE_ROLES_PATH", "ANSIBLE_COLLECTIONS_PATH"} {
				if x := p.Getenv(v); x != "" {
					env += v + "=" + x + " "
				}
			}
			g.calls = append(g.calls, strings.ReplaceAll(env+strings.Join(p.Args, " "), p.Dir, "DIR"))
			g.files = nil
			for _, f := range p.Files() {
				if rest, ok := strings.CutPrefix(f, p.Dir+"/"); ok {
					if body, _, err := p.ReadFile(f); err == nil {
						g.files = append(g.files, rest+": "+strings.ReplaceAll(strings.TrimSpace(string(body)), "\n", "|"))
					}
				}
			}
			fmt.Fprintln(p.Stdout, "ok")
			return g.code
		})
	}
	return g
}

func TestContract(t *testing.T) {
	project(t, "site.yml", "roles/a/tasks/main.yml", "b/roles/a/x")
	componenttest.Provisioner(t, componenttest.ProvisionerConfig{
		New: New,
		Valid: componenttest.Configs{
			"few":  {"playbook_file": str("site.yml")},
			"many": {"playbook_files": strs("site.yml"), "role_paths": strs("roles/a"), "staging_directory": str("/srv/x"), "clean_staging_directory": cty.True, "extra_arguments": strs("-v")},
		},
		Invalid: componenttest.Configs{
			"no playbook":   {},
			"both":          {"playbook_file": str("site.yml"), "playbook_files": strs("site.yml")},
			"not there":     {"playbook_file": str("none.yml")},
			"folder":        {"playbook_file": str("roles")},
			"no folder":     {"playbook_file": str("site.yml"), "playbook_dir": str("site.yml")},
			"same name":     {"playbook_file": str("site.yml"), "role_paths": strs("roles/a", "b/roles/a")},
			"relative":      {"playbook_file": str("site.yml"), "staging_directory": str("x")},
			"of the system": {"playbook_file": str("site.yml"), "staging_directory": str("/tmp/"), "clean_staging_directory": cty.True},
			"group":         {"playbook_file": str("site.yml"), "inventory_groups": strs("a b")},
			"template":      {"playbook_file": str("site.yml"), "extra_arguments": strs("{{")},
		},
		Target: func(_ testing.TB, r component.Run) component.Target {
			return component.Target{Run: r, Comm: newGuest().Connect(fake.Options{})}
		},
	})
}

// TestUpload: everything is where Ansible looks for it, and gone afterwards.
func TestUpload(t *testing.T) {
	project(t, "site.yml", "sub/site.yml", "play/inner/one.yml", "play/ansible.cfg", "roles/web/tasks/main.yml", "coll/ansible_collections/a/b/x", "gv/all.yml", "hv/h.yml", "hosts", "more/extra.yml")
	r, _, events := componenttest.NewRun(t)
	g := newGuest()
	before := g.Files()
	err := plan(t, map[string]cty.Value{
		"playbook_files": strs("site.yml", "sub/site.yml", "inner/one.yml", "play/inner/one.yml"), "playbook_dir": str("play"), "role_paths": strs("roles/web"),
		"collection_paths": strs("coll/ansible_collections"), "playbook_paths": strs("more"), "group_vars": str("gv"), "host_vars": str("hv"),
		"inventory_file": str("hosts"), "extra_arguments": strs("--diff", "-e", "x={{build_name}}"),
	}).Apply(t.Context(), component.Target{Run: r, Comm: g.Connect(fake.Options{}), HTTPAddr: "h:80"})
	if err != nil {
		t.Fatal(err)
	}
	tail := " -e @DIR/ingot-vars.json -c local -i DIR/ingot-inventory --diff -e x=test"
	want := []string{"PYTHONUNBUFFERED=1 ansible-playbook DIR/site.yml" + tail, "PYTHONUNBUFFERED=1 ansible-playbook DIR/2-site.yml" + tail, "PYTHONUNBUFFERED=1 ansible-playbook DIR/inner/one.yml" + tail, "PYTHONUNBUFFERED=1 ansible-playbook DIR/inner/one.yml" + tail}
	if diff := cmp.Diff(want, g.calls); diff != "" {
		t.Error(diff)
	}
	files := []string{
		"site.yml: - text of site.yml", "2-site.yml: - text of sub/site.yml", "inner/one.yml: - text of play/inner/one.yml", "ansible.cfg: - text of play/ansible.cfg",
		"roles/web/tasks/main.yml: - text of roles/web/tasks/main.yml", "collections/ansible_collections/a/b/x: - text of coll/ansible_collections/a/b/x",
		"group_vars/all.yml: - text of gv/all.yml", "host_vars/h.yml: - text of hv/h.yml", "playbooks/more/extra.yml: - text of more/extra.yml",
		"ingot-inventory: - text of hosts", `ingot-vars.json: {"packer_build_name":"test","packer_builder_type":"null","packer_http_addr":"h:80"}`,
	}
	slices.Sort(files)
	slices.Sort(g.files)
	if diff := cmp.Diff(files, g.files); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(before, g.Files()); diff != "" {
		t.Errorf("left on the machine: %s", diff)
	}
	if got := events.Lines(component.Stdout); len(got) != 4 {
		t.Errorf("printed %v", got)
	}
}

func TestDefaultInventory(t *testing.T) {
	project(t, "site.yml")
	r, _, _ := componenttest.NewRun(t)
	g := newGuest()
	if err := plan(t, map[string]cty.Value{"playbook_file": str("site.yml"), "inventory_groups": strs("web", "db")}).Apply(t.Context(), component.Target{Run: r, Comm: g.Connect(fake.Options{})}); err != nil {
		t.Fatal(err)
	}
	if want := "ingot-inventory: 127.0.0.1||[web]|127.0.0.1||[db]|127.0.0.1"; !slices.Contains(g.files, want) {
		t.Errorf("no %q in %v", want, g.files)
	}
}

func TestGalaxy(t *testing.T) {
	project(t, "site.yml")
	if err := os.WriteFile("r.yml", []byte("roles: [a]\ncollections: [b.c]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, _, _ := componenttest.NewRun(t)
	g := newGuest()
	err := plan(t, map[string]cty.Value{"playbook_file": str("site.yml"), "galaxy_file": str("r.yml"), "galaxy_collections_path": str("/opt/c d")}).Apply(t.Context(), component.Target{Run: r, Comm: g.Connect(fake.Options{})})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"ansible-galaxy role install -r DIR/ingot-requirements.yml -p DIR/roles",
		"ansible-galaxy collection install -r DIR/ingot-requirements.yml -p /opt/c d",
		"PYTHONUNBUFFERED=1 ANSIBLE_COLLECTIONS_PATH=/opt/c d ansible-playbook DIR/site.yml -e @DIR/ingot-vars.json -c local -i DIR/ingot-inventory",
	}
	if diff := cmp.Diff(want, g.calls); diff != "" {
		t.Error(diff)
	}
}

// TestStagingDirectory: a folder that the user names stays unless it is to be
// removed, a new one goes unless it is to stay.
func TestStagingDirectory(t *testing.T) {
	project(t, "site.yml")
	for name, c := range map[string]struct {
		values map[string]cty.Value
		stays  bool
	}{
		"named":         {map[string]cty.Value{"staging_directory": str("/srv/my place")}, true},
		"named, remove": {map[string]cty.Value{"staging_directory": str("/srv/my place"), "clean_staging_directory": cty.True}, false},
		"new":           {nil, false},
		"new, keep":     {map[string]cty.Value{"clean_staging_directory": cty.False}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r, _, _ := componenttest.NewRun(t)
			g := newGuest()
			values := map[string]cty.Value{"playbook_file": str("site.yml")}
			for n, v := range c.values {
				values[n] = v
			}
			if err := plan(t, values).Apply(t.Context(), component.Target{Run: r, Comm: g.Connect(fake.Options{})}); err != nil {
				t.Fatal(err)
			}
			left := strings.Join(g.Files(), "\n")
			if got := strings.Contains(left, "/site.yml"); got != c.stays {
				t.Errorf("the machine has\n%s", left)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	project(t, "site.yml")
	for name, c := range map[string]struct {
		code int
		want string
	}{
		"task":      {2, "ended with exit code 2"},
		"not there": {127, "Ansible is not installed on the machine"},
	} {
		t.Run(name, func(t *testing.T) {
			r, _, _ := componenttest.NewRun(t)
			g := newGuest()
			g.code = c.code
			before := g.Files()
			err := plan(t, map[string]cty.Value{"playbook_file": str("site.yml")}).Apply(t.Context(), component.Target{Run: r, Comm: g.Connect(fake.Options{})})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if diff := cmp.Diff(before, g.Files()); diff != "" {
				t.Errorf("left on the machine: %s", diff)
			}
		})
	}
}

// TestCancel: an interrupted step leaves nothing either.
func TestCancel(t *testing.T) {
	project(t, "site.yml")
	r, _, _ := componenttest.NewRun(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	g := newGuest()
	g.Program("ansible-playbook", func(ctx context.Context, _ *fake.Process) int {
		cancel(cause)
		<-ctx.Done()
		return 1
	})
	before := g.Files()
	if err := plan(t, map[string]cty.Value{"playbook_file": str("site.yml")}).Apply(ctx, component.Target{Run: r, Comm: g.Connect(fake.Options{})}); !errors.Is(err, cause) {
		t.Errorf("got %v, want the cause", err)
	}
	if diff := cmp.Diff(before, g.Files()); diff != "" {
		t.Errorf("left on the machine: %s", diff)
	}
}

// TestLive: the real Ansible finds playbooks, roles and variables.
func TestLive(t *testing.T) {
	if _, err := exec.LookPath("ansible-playbook"); err != nil {
		if os.Getenv("INGOT_LIVE") == "require" {
			t.Fatal("INGOT_LIVE=require and ansible-playbook is not installed")
		}
		t.Skip("SKIPPED LIVE TEST: ansible-playbook is not installed; run `make deps`")
	}
	project(t)
	t.Setenv("HOME", t.TempDir())
	for name, text := range map[string]string{
		"site.yml":                   "- hosts: web\n  gather_facts: false\n  roles: [greet]\n",
		"roles/greet/tasks/main.yml": "- debug: {msg: \"{{ greeting }} {{ packer_build_name }}\"}\n",
		"vars/web.yml":               "greeting: hello\n",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	machine := local.New(new(componenttest.MemoryJournal))
	defer machine.Close()
	r, _, events := componenttest.NewRun(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	err := plan(t, map[string]cty.Value{"playbook_file": str("site.yml"), "role_paths": strs("roles/greet"), "group_vars": str("vars"), "inventory_groups": strs("web")}).Apply(ctx, component.Target{Run: r, Comm: machine})
	out := strings.Join(events.Lines(component.Stdout), "\n")
	if err != nil || !strings.Contains(out, "hello test") {
		t.Errorf("%v\n%s", err, out)
	}
	if left, _ := filepath.Glob("/tmp/ingot-ansible-local-*"); len(left) > 0 && strings.Contains(events.Said(), left[0]) {
		t.Errorf("left behind: %v", left)
	}
}
