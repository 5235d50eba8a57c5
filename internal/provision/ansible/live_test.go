//go:build unix

package ansible

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/comm/local"
	"ingot/internal/comm/ssh"
	"ingot/internal/component"
	"ingot/internal/component/componenttest"
	"ingot/internal/testkit/guestrig"
	"ingot/internal/testkit/live"
)

// requireAnsible skips the test where Ansible is not installed.
func requireAnsible(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("ansible-playbook"); err == nil {
		return
	}
	if os.Getenv("INGOT_LIVE") == "require" {
		t.Fatal("INGOT_LIVE=require and ansible-playbook is not installed")
	}
	t.Skip("SKIPPED LIVE TEST: ansible-playbook is not installed; run `make deps`")
}

// play runs a playbook with the real Ansible and checks that nothing is left
// on this machine.
func play(t *testing.T, comm component.Communicator, playbook string, values map[string]cty.Value) *componenttest.Events {
	t.Helper()
	r, journal, events := componenttest.NewRun(t)
	t.Setenv("HOME", t.TempDir()) // no configuration of the user's
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.WriteFile("site.yml", []byte(playbook), 0o600); err != nil {
		t.Fatal(err)
	}
	all := map[string]cty.Value{"playbook_file": str("site.yml")}
	for n, v := range values {
		all[n] = v
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	err := plan(t, all).Apply(ctx, component.Target{Run: r, Comm: comm})
	if err != nil {
		t.Errorf("%v\n%s\n%s", err, strings.Join(events.Lines(component.Stdout), "\n"), strings.Join(events.Lines(component.Stderr), "\n"))
	}
	if left, err := os.ReadDir(r.WorkDir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if len(journal.Open()) > 0 {
		t.Errorf("still held: %v", journal.Open())
	}
	return events
}

// TestLiveDirect: Ansible connects to an OpenSSH server itself, with the host
// key that the build has seen, and copies a file.
func TestLiveDirect(t *testing.T) {
	host := live.Require(t).SSH
	requireAnsible(t)
	r, _, _ := componenttest.NewRun(t)
	comm, err := ssh.NewDialer(ssh.Deps{Home: t.TempDir()}).Dial(t.Context(), r, func(context.Context) (component.Endpoint, error) {
		return component.Endpoint{
			Transport: "ssh", Host: host.Host, Port: host.Port, HostKeys: []string{host.HostKey},
			Connection: &component.Connection{SSHUsername: host.User, SSHPrivateKeyFile: host.KeyFile},
		}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer comm.Close()
	events := play(t, comm, `
- hosts: web
  gather_facts: false
  tasks:
    - tempfile: {}
      register: file
    - copy: {content: "made by {{ packer_build_name }}", dest: "{{ file.path }}"}
    - command: cat {{ file.path }}
      register: text
    - debug: {msg: "user={{ ansible_user }} text={{ text.stdout }} secret={{ secret }}"}
    - file: {path: "{{ file.path }}", state: absent}
`, map[string]cty.Value{"groups": strs("web"), "extra_arguments": strs("-e", "secret=x y")})
	out := strings.Join(events.Lines(component.Stdout), "\n")
	if want := "user=" + host.User + " text=made by test secret=x"; !strings.Contains(out, want) {
		t.Errorf("no %q in:\n%s", want, out)
	}
	if !strings.Contains(events.Said(), "Ansible connects to "+host.Addr()+" as "+host.User) {
		t.Errorf("said %q", events.Said())
	}
}

// TestLiveProxy: through the local SSH server, files are copied by every way
// that Ansible has, and tasks become what they say.
func TestLiveProxy(t *testing.T) {
	requireAnsible(t)
	machine := local.New(new(componenttest.MemoryJournal))
	defer machine.Close()
	dest := t.TempDir()
	events := play(t, machine, `
- hosts: all
  gather_facts: false
  tasks:
    - copy: {content: "{{ item }}", dest: "`+dest+`/{{ item }}", mode: "0640"}
      vars: {ansible_ssh_transfer_method: "{{ item }}"}
      loop: [sftp, piped]
    - fetch: {src: "`+dest+`/sftp", dest: "`+dest+`/fetched", flat: true}
    - command: cat
      args: {stdin: "in"}
      register: cat
    - debug: {msg: "cat={{ cat.stdout }}"}
    - raw: exit 3
      register: raw
      failed_when: raw.rc != 3
`, nil)
	for name, want := range map[string]string{"sftp": "sftp", "piped": "piped", "fetched": "sftp"} {
		if text, err := os.ReadFile(filepath.Join(dest, name)); err != nil || string(text) != want {
			t.Errorf("%s holds %q, %v", name, text, err)
		}
	}
	if out := strings.Join(events.Lines(component.Stdout), "\n"); !strings.Contains(out, "cat=in") {
		t.Errorf("the command has not got its input:\n%s", out)
	}
}

// TestLiveInventory: what is written is what Ansible reads, also where it has
// a meaning of its own elsewhere.
func TestLiveInventory(t *testing.T) {
	requireAnsible(t)
	dir := t.TempDir()
	w := &way{host: "::1", port: 7, user: `DOM\it's me`, connection: map[string]any{"ansible_password": "a {{ b }} \"'\\ #ü", "x": false}}
	s := &step{config{HostAlias: "web", Groups: []string{"g"}, EmptyGroups: []string{"e"}}}
	target := component.Target{}
	target.WorkDir = dir
	files, _, err := s.inventories(t.Context(), target, w, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-m", "debug", "-a", "msg={{ [ansible_host, ansible_port, ansible_user, ansible_password, x, group_names] | to_json }}", "g", "-i", files[0], "-i", files[1], "-c", "local"}
	cmd := exec.CommandContext(t.Context(), "ansible", args...)
	cmd.Env = append(slices.Clone(os.Environ()), "HOME="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines := strings.Split(string(out), "\n")
	got := ""
	for _, l := range lines {
		if strings.Contains(l, `"msg"`) {
			got = strings.TrimSpace(l)
		}
	}
	want := `"msg": "[\"::1\", 7, \"DOM\\\\it's me\", \"a {{ b }} \\\"'\\\\ #\\u00fc\", false, [\"g\"]]"`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s\n%s", diff, out)
	}
}

// TestLiveGuest: a virtual machine without Python gets a script.
func TestLiveGuest(t *testing.T) {
	env := live.Require(t)
	requireAnsible(t)
	guest := guestrig.Resume(t, env)
	r, _, _ := componenttest.NewRun(t)
	comm, err := ssh.NewDialer(ssh.Deps{Home: t.TempDir()}).Dial(t.Context(), r, func(context.Context) (component.Endpoint, error) {
		return component.Endpoint{
			Transport: "ssh", Host: guest.Host, Port: guest.Port,
			Connection: &component.Connection{SSHUsername: guest.Login.User, SSHPrivateKeyFile: guest.Login.KeyFile},
		}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer comm.Close()
	play(t, comm, `
- hosts: default
  gather_facts: false
  tasks:
    - copy: {content: "#!/bin/sh\necho \"made $1\" >/root/by-ansible\n", dest: hello.sh}
      delegate_to: localhost
      connection: local
    - script: hello.sh guest
    - raw: sync
`, nil)
	if got := guest.Run(t, "cat /root/by-ansible"); got != "made guest\n" {
		t.Errorf("the guest has %q", got)
	}
}
