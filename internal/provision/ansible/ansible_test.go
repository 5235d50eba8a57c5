//go:build unix

package ansible

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/comm/fake"
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

// file makes a file in a folder of the test.
func file(t testing.TB, name, text string, mode fs.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func plan(t testing.TB, values map[string]cty.Value) component.Step {
	t.Helper()
	s, diags := New().Plan(t.Context(), New().Schema().Object(values))
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	return s
}

// reachable is a communicator whose machine others can connect to.
type reachable struct {
	component.Communicator
	access component.Access
}

func (r reachable) Access() (component.Access, error) { return r.access, nil }

func container() component.Communicator {
	return fake.NewMachine().Connect(fake.Options{Transport: "docker"})
}

func withSSH(a component.Access) component.Communicator {
	a.Transport = "ssh"
	return reachable{fake.NewMachine().Connect(fake.Options{Transport: "ssh"}), a}
}

// player is a program that shows what Ansible would be given.
func player(t testing.TB) string {
	return file(t, "ansible-playbook", `#!/bin/sh
for a; do echo "arg $a"; done
while [ $# -gt 0 ]; do
  case $1 in
  -i) echo "file $(stat -c %a "$2")"; sed 's/^/inventory /' "$2";;
  -e) f=${2#@}; echo "file $(stat -c %a "$f")"; sed 's/^/vars /' "$f";;
  esac
  shift
done
for f in "$(dirname "$f")"/*config; do sed 's/^/ssh /' "$f"; done
env | grep -E '^(ANSIBLE|EXTRA|no_proxy)' | sort | sed 's/^/env /'
`, 0o755)
}

func TestContract(t *testing.T) {
	playbook := file(t, "site.yml", "[]", 0o600)
	componenttest.Provisioner(t, componenttest.ProvisionerConfig{
		New: New,
		Valid: componenttest.Configs{
			"few":  {"playbook_file": str(playbook), "command": str("true")},
			"many": {"playbook_file": str(playbook), "command": str("true"), "extra_arguments": strs("{{.Host}}"), "ansible_env_vars": strs("A={{.User}}"), "groups": strs("a"), "limit": str("a"), "use_proxy": cty.True, "inventory_directory": str(filepath.Dir(playbook))},
		},
		Invalid: componenttest.Configs{
			"no playbook":  {},
			"not there":    {"playbook_file": str("/nowhere/x.yml")},
			"folder":       {"playbook_file": str("/")},
			"navigator":    {"playbook_file": str(playbook), "navigator_mode": str("stdout")},
			"port":         {"playbook_file": str(playbook), "local_port": cty.NumberIntVal(65536)},
			"environment":  {"playbook_file": str(playbook), "ansible_env_vars": strs("x")},
			"template":     {"playbook_file": str(playbook), "extra_arguments": strs("{{")},
			"group":        {"playbook_file": str(playbook), "groups": strs("a]")},
			"alias":        {"playbook_file": str(playbook), "host_alias": str("a b")},
			"no directory": {"playbook_file": str(playbook), "inventory_directory": str(playbook)},
			"no inventory": {"playbook_file": str(playbook), "inventory_file": str("/nowhere/hosts")},
			"no galaxy":    {"playbook_file": str(playbook), "galaxy_file": str("/nowhere/r.yml")},
			"no host key":  {"playbook_file": str(playbook), "ssh_host_key_file": str("/nowhere/key")},
		},
		Target: func(t testing.TB, r component.Run) component.Target {
			return component.Target{Run: r, Comm: container()}
		},
	})
}

func TestWarnings(t *testing.T) {
	playbook := file(t, "site.yml", "[]", 0o600)
	_, diags := New().Plan(t.Context(), New().Schema().Object(map[string]cty.Value{
		"playbook_file": str(playbook), "inventory_file": str(playbook), "groups": strs("a"), "skip_version_check": cty.True, "galaxy_force_install": cty.True,
	}))
	var got []string
	for _, d := range diags {
		got = append(got, d.Path[0].(cty.GetAttrStep).Name)
	}
	if diff := cmp.Diff([]string{"skip_version_check", "groups", "galaxy_force_install"}, got); diff != "" || diags.HasErrors() {
		t.Error(diff, diags.Err())
	}
}

// lines runs a step with player and returns what it printed, with the step's
// folder as DIR.
func lines(t *testing.T, comm component.Communicator, values map[string]cty.Value, change ...func(*component.Target)) ([]string, *componenttest.Events) {
	t.Helper()
	r, journal, events := componenttest.NewRun(t)
	values["command"] = str(player(t))
	if values["playbook_file"] == cty.NilVal {
		values["playbook_file"] = str(file(t, "site.yml", "[]", 0o600))
	}
	target := component.Target{Run: r, Comm: comm}
	for _, c := range change {
		c(&target)
	}
	if err := plan(t, values).Apply(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(r.WorkDir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if len(journal.Open()) > 0 {
		t.Errorf("still held: %v", journal.Open())
	}
	var out []string
	for _, l := range events.Lines(component.Stdout) {
		if at := strings.Index(l, r.WorkDir); at >= 0 {
			end := at + len(r.WorkDir) + len("/ansible-")
			for end < len(l) && l[end] >= '0' && l[end] <= '9' {
				end++
			}
			l = strings.ReplaceAll(l, l[at:end], "DIR")
		}
		out = append(out, l)
	}
	return out, events
}

func has(t *testing.T, got []string, want ...string) {
	t.Helper()
	all := "\n" + strings.Join(got, "\n") + "\n"
	for _, w := range want {
		if !strings.Contains(all, "\n"+w+"\n") {
			t.Errorf("no line %q in:%s", w, all)
		}
	}
}

func hasNot(t *testing.T, got []string, parts ...string) {
	t.Helper()
	all := strings.Join(got, "\n")
	for _, p := range parts {
		if strings.Contains(all, p) {
			t.Errorf("there is %q in:\n%s", p, all)
		}
	}
}

// TestDirect: where the machine has SSH and a key logs in, Ansible connects to
// it, and the host key is the one that the build has seen.
func TestDirect(t *testing.T) {
	got, events := lines(t, withSSH(component.Access{
		Host: "10.0.0.7", Port: 2222, User: "admin", PrivateKey: []byte("PRIVATE"), HostKeys: []string{"ssh-ed25519 AAAA"}, Ciphers: []string{"aes128-ctr"},
	}), map[string]cty.Value{
		"groups": strs("web", "db"), "empty_groups": strs("cache", "web"), "extra_arguments": strs("--diff", "host={{.Host}}:{{.Port}}"),
		"ansible_env_vars": strs("EXTRA={{.User}}"), "roles_path": str("/r"), "collections_path": str("/c"), "use_sftp": cty.True, "limit": str("web"),
	}, func(tt *component.Target) { tt.HTTPAddr = "10.0.0.1:8000" })
	has(t, got,
		"arg -e", "arg @DIR/vars.yml", "arg DIR/inventory", "arg DIR/connection.yml", "arg --limit", "arg web", "arg --diff", "arg host=10.0.0.7:2222",
		"inventory default ansible_host=10.0.0.7 ansible_user=admin ansible_port=2222",
		"inventory [web]\ninventory default\ninventory\ninventory [db]\ninventory default\ninventory\ninventory [cache]",
		`inventory all:`, `inventory       ansible_connection: !unsafe "ssh"`,
		`inventory       ansible_host_key_checking: true`,
		`inventory       ansible_ssh_common_args: !unsafe "-F 'DIR/ssh_config'"`,
		`vars packer_build_name: !unsafe "test"`, `vars packer_builder_type: !unsafe "null"`, `vars packer_http_addr: !unsafe "10.0.0.1:8000"`,
		"ssh   HostKeyAlias ingot-machine", "ssh   StrictHostKeyChecking yes", `ssh   UserKnownHostsFile "DIR/known_hosts"`,
		`ssh   IdentityFile "DIR/key"`, "ssh   IdentitiesOnly yes", "ssh   Ciphers aes128-ctr",
		"env ANSIBLE_LOCAL_TEMP=DIR/tmp", "env ANSIBLE_ROLES_PATH=/r", "env ANSIBLE_COLLECTIONS_PATH=/c", "env ANSIBLE_SSH_TRANSFER_METHOD=sftp", "env EXTRA=admin",
	)
	hasNot(t, got, "PRIVATE", "file 644")
	if !strings.Contains(events.Said(), "Ansible connects to 10.0.0.7:2222 as admin.") {
		t.Errorf("said %q", events.Said())
	}
}

// TestNoHostKey: when the user does not want host keys to be checked, Ansible
// does not check them either.
func TestNoHostKey(t *testing.T) {
	got, _ := lines(t, withSSH(component.Access{Host: "h", Port: 22, User: "u", AgentSocket: "/run/agent"}), map[string]cty.Value{"host_alias": str("web1"), "user": str("other")})
	has(t, got, "ssh   StrictHostKeyChecking no", `ssh   IdentityAgent "/run/agent"`, "ssh   IdentitiesOnly no", "inventory web1 ansible_host=h ansible_user=other ansible_port=22", `inventory     "web1":`, `inventory       ansible_host_key_checking: false`)
	hasNot(t, got, "IdentityFile")
}

// TestProxy: Ansible goes through the local SSH server where it has to, and
// the build says why.
func TestProxy(t *testing.T) {
	key := component.Access{Host: "h", Port: 22, User: "u", PrivateKey: []byte("k")}
	through, password := key, key
	through.Through = "the bastion host b:22"
	password.PrivateKey, password.Password = nil, "secret"
	for name, c := range map[string]struct {
		comm   component.Communicator
		values map[string]cty.Value
		why    string
	}{
		"container": {container(), map[string]cty.Value{}, `(the machine is reached by "docker", which Ansible does not know)`},
		"bastion":   {withSSH(through), map[string]cty.Value{}, "(the way to the machine leads through the bastion host b:22)"},
		"password":  {withSSH(password), map[string]cty.Value{}, "(the login is made without a key)"},
		"asked for": {withSSH(key), map[string]cty.Value{"use_proxy": cty.True, "ansible_proxy_key_type": str("ECDSA")}, "(use_proxy = true)"},
	} {
		t.Run(name, func(t *testing.T) {
			got, events := lines(t, c.comm, c.values)
			has(t, got, "ssh   StrictHostKeyChecking yes", `ssh   IdentityFile "DIR/key"`)
			hasNot(t, got, "secret")
			host := ""
			for _, l := range got {
				if strings.HasPrefix(l, "inventory default") {
					host = l
				}
			}
			if !strings.HasPrefix(host, "inventory default ansible_host=127.0.0.1 ansible_user=root ansible_port=") {
				t.Errorf("the host is %q", host)
			}
			if !strings.Contains(events.Said(), "Ansible connects through a local SSH server "+c.why) {
				t.Errorf("said %q, want %q", events.Said(), c.why)
			}
		})
	}
}

func TestNoWay(t *testing.T) {
	playbook := file(t, "site.yml", "[]", 0o600)
	for name, c := range map[string]struct {
		comm  component.Communicator
		proxy cty.Value
		want  string
	}{
		"container without proxy": {container(), cty.False, "use_proxy = false, but there is no direct way: the machine is reached by"},
		"WinRM with proxy":        {reachable{container(), component.Access{Transport: "winrm"}}, cty.True, "there is no way around WinRM"},
		"no machine":              {fake.NewMachine().Connect(fake.Options{NoRun: true}), cty.NullVal(cty.Bool), "this build has no machine"},
	} {
		t.Run(name, func(t *testing.T) {
			r, _, _ := componenttest.NewRun(t)
			err := plan(t, map[string]cty.Value{"playbook_file": str(playbook), "use_proxy": c.proxy, "command": str("true")}).Apply(t.Context(), component.Target{Run: r, Comm: c.comm})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestWinRM: the password is in a private file only, and what the build knows
// about the connection holds for Ansible too.
func TestWinRM(t *testing.T) {
	a := component.Access{Transport: "winrm", Host: "h", Port: 5986, User: `DOM\me`, Password: "pass {{ word }}", TLS: true, Insecure: true, NTLM: true, NoProxy: true}
	got, _ := lines(t, reachable{container(), a}, map[string]cty.Value{})
	has(t, got, `inventory default ansible_host=h ansible_user='DOM\me' ansible_port=5986`,
		`inventory       ansible_connection: !unsafe "winrm"`, `inventory       ansible_password: !unsafe "pass {{ word }}"`,
		`inventory       ansible_winrm_scheme: !unsafe "https"`, `inventory       ansible_winrm_transport: !unsafe "ntlm"`,
		`inventory       ansible_winrm_server_cert_validation: !unsafe "ignore"`, "env no_proxy=h")
	for _, l := range got {
		if strings.HasPrefix(l, "arg") && strings.Contains(l, "pass") || l == "file 644" {
			t.Errorf("the password can be seen: %q", l)
		}
	}
	certified := a
	certified.Certificate, certified.PrivateKey, certified.NTLM = []byte("CERT"), []byte("KEY"), false
	got, _ = lines(t, reachable{container(), certified}, map[string]cty.Value{})
	has(t, got, `inventory       ansible_winrm_transport: !unsafe "certificate"`, `inventory       ansible_winrm_cert_pem: !unsafe "DIR/client.pem"`, `inventory       ansible_winrm_cert_key_pem: !unsafe "DIR/client-key.pem"`)
	got, _ = lines(t, reachable{container(), a}, map[string]cty.Value{"ansible_winrm_use_http": cty.True})
	has(t, got, `inventory       ansible_winrm_scheme: !unsafe "http"`)
}

// TestOwnInventory: the user's inventory is used as it is; what logs in comes
// as variables.
func TestOwnInventory(t *testing.T) {
	hosts := file(t, "hosts", "machine ansible_host=h\n", 0o600)
	got, _ := lines(t, withSSH(component.Access{Host: "h", Port: 22, User: "u", PrivateKey: []byte("k"), HostKeys: []string{"ssh-ed25519 AAAA"}}), map[string]cty.Value{"inventory_file": str(hosts)})
	has(t, got, "arg "+hosts, "inventory machine ansible_host=h", `vars ansible_ssh_common_args: !unsafe "-F 'DIR/ssh_config_foreign'"`)
	hasNot(t, got, "connection.yml")
	got, _ = lines(t, reachable{container(), component.Access{Transport: "winrm", Password: "secret"}}, map[string]cty.Value{"inventory_file": str(hosts)})
	has(t, got, `vars ansible_password: !unsafe "secret"`)
}

// TestInventoryDirectory: the inventory is beside the user's variables while
// the playbook runs, and goes unless it is to be kept.
func TestInventoryDirectory(t *testing.T) {
	comm := withSSH(component.Access{Host: "h", Port: 22, User: "u", PrivateKey: []byte("k")})
	dir := t.TempDir()
	got, _ := lines(t, comm, map[string]cty.Value{"inventory_directory": str(dir), "inventory_file_template": str("{{.HostAlias}} ansible_host={{.Host}} x=y")})
	has(t, got, "inventory default ansible_host=h x=y")
	if !strings.Contains(strings.Join(got, "\n"), "arg "+dir+"/ingot-inventory-") {
		t.Errorf("got %v", got)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	t.Setenv("TMPDIR", t.TempDir())
	_, events := lines(t, comm, map[string]cty.Value{"keep_inventory_file": cty.True})
	at := strings.Index(events.Said(), "The inventory stays at ")
	if at < 0 {
		t.Fatalf("said %q", events.Said())
	}
	kept, _, _ := strings.Cut(events.Said()[at+len("The inventory stays at "):], "\n")
	text, err := os.ReadFile(kept)
	if err != nil || string(text) != "default ansible_host=h ansible_user=u ansible_port=22\n" {
		t.Errorf("%s holds %q, %v", kept, text, err)
	}
}

func TestGalaxy(t *testing.T) {
	tool := file(t, "ansible-galaxy", "#!/bin/sh\necho galaxy \"$@\"\n", 0o755)
	for name, c := range map[string]struct {
		text   string
		values map[string]cty.Value
		want   []string
		err    string
	}{
		"list":        {"- src: geerlingguy.java\n", nil, []string{"galaxy role install -r FILE"}, ""},
		"both":        {"roles: [{name: a}]\ncollections: [b.c]\n", map[string]cty.Value{"roles_path": str("/r"), "collections_path": str("/c"), "galaxy_force_install": cty.True}, []string{"galaxy role install -r FILE -p /r --force", "galaxy collection install -r FILE -p /c --force"}, ""},
		"collections": {"collections: [b.c]\n", map[string]cty.Value{"galaxy_force_with_deps": cty.True}, []string{"galaxy collection install -r FILE --force-with-deps"}, ""},
		"nothing":     {"other: 1\n", nil, nil, "neither roles nor collections"},
		"not YAML":    {"a: [\n", nil, nil, "not YAML"},
	} {
		t.Run(name, func(t *testing.T) {
			r, _, events := componenttest.NewRun(t)
			path := file(t, "requirements.yml", c.text, 0o600)
			values := map[string]cty.Value{"playbook_file": str(path), "command": str("true"), "galaxy_command": str(tool), "galaxy_file": str(path)}
			for n, v := range c.values {
				values[n] = v
			}
			err := plan(t, values).Apply(t.Context(), component.Target{Run: r, Comm: container()})
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("got %v, want %q", err, c.err)
			}
			var got []string
			for _, l := range events.Lines(component.Stdout) {
				got = append(got, strings.ReplaceAll(l, path, "FILE"))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	playbook := file(t, "site.yml", "[]", 0o600)
	for name, c := range map[string]struct{ script, want string }{
		"task":        {"exit 2", "ansible: a task has failed, see above: failing: exit status 2"},
		"unreachable": {"exit 4", "ansible: the machine could not be reached, or Ansible could not read what it was given, see above: failing: exit status 4"},
		"other":       {"exit 1", "ansible: failing: exit status 1"},
	} {
		t.Run(name, func(t *testing.T) {
			r, journal, _ := componenttest.NewRun(t)
			err := plan(t, map[string]cty.Value{"playbook_file": str(playbook), "command": str(file(t, "failing", "#!/bin/sh\n"+c.script+"\n", 0o755))}).Apply(t.Context(), component.Target{Run: r, Comm: container()})
			if err == nil || err.Error() != c.want {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if left, _ := os.ReadDir(r.WorkDir); len(left) > 0 || len(journal.Open()) > 0 {
				t.Errorf("left behind: %v, %v", left, journal.Open())
			}
		})
	}
	r, _, _ := componenttest.NewRun(t)
	err := plan(t, map[string]cty.Value{"playbook_file": str(playbook), "command": str("no-such-program")}).Apply(t.Context(), component.Target{Run: r, Comm: container()})
	if err == nil || !strings.Contains(err.Error(), "no-such-program was not found on this machine; install Ansible") {
		t.Errorf("got %v", err)
	}
}

// TestCancel: the program and all that it has started end with the step.
func TestCancel(t *testing.T) {
	r, journal, _ := componenttest.NewRun(t)
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	r.Events = component.SinkFunc(func(e component.Event) {
		if o, ok := e.(component.Output); ok && o.Line == "ready" {
			cancel(cause)
		}
	})
	step := plan(t, map[string]cty.Value{"playbook_file": str(file(t, "site.yml", "[]", 0o600)), "command": str(file(t, "slow", "#!/bin/sh\nsleep 600 & echo ready; wait\n", 0o755))})
	if err := step.Apply(ctx, component.Target{Run: r, Comm: container()}); !errors.Is(err, cause) {
		t.Errorf("got %v, want the cause", err)
	}
	if len(journal.Released()) != 1 {
		t.Errorf("released %v", journal.Released())
	}
}

// TestLostConnection: when the build's own connection fails under the local
// SSH server, the error says so.
func TestLostConnection(t *testing.T) {
	r, _, _ := componenttest.NewRun(t)
	n := 0
	comm := fake.NewMachine().Connect(fake.Options{Transport: "docker", Before: func(context.Context, fake.Op) error {
		if n++; n > 1 {
			return fmt.Errorf("exec: %w", component.ErrDisconnected)
		}
		return nil
	}})
	script := `#!/bin/sh
dir=$(dirname "${2#@}")
port=$(sed -n 's/.*ansible_port=//p' "$dir/inventory")
ssh -F "$dir/ssh_config" -p "$port" root@127.0.0.1 true
exit 4
`
	err := plan(t, map[string]cty.Value{"playbook_file": str(file(t, "site.yml", "[]", 0o600)), "command": str(file(t, "play", script, 0o755))}).Apply(t.Context(), component.Target{Run: r, Comm: comm})
	if err == nil || !errors.Is(err, component.ErrDisconnected) {
		t.Errorf("got %v", err)
	}
}
