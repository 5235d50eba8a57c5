package ansible

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"ingot/internal/component"
	"ingot/internal/gotmpl"
	"ingot/internal/hostproc"
	"ingot/internal/shellenv"
)

type step struct{ config }

// templateFields are what late attributes can use beside the facts.
var templateFields = []string{"HostAlias", "Host", "User", "Port"}

// Apply runs the playbook.
func (s *step) Apply(ctx context.Context, t component.Target) error {
	if err := s.apply(ctx, t); err != nil {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
			err = errors.Join(cause, err)
		}
		return fmt.Errorf("ansible: %w", err)
	}
	return nil
}

func (s *step) apply(ctx context.Context, t component.Target) (err error) {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if caps := t.Comm.Caps(); !caps.Run {
		return fmt.Errorf("this build has no machine to run a playbook on (communicator %q): %w", caps.Transport, component.ErrUnsupported)
	}
	dir, err := os.MkdirTemp(t.WorkDir, "ansible-*")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	w, err := s.reach(ctx, t, dir)
	if err != nil {
		return err
	}
	defer w.close()
	if s.GalaxyFile != "" {
		if err := s.install(ctx, t, w, dir); err != nil {
			return err
		}
	}
	return s.play(ctx, t, w, dir)
}

// play runs the playbook.
func (s *step) play(ctx context.Context, t component.Target, w *way, dir string) (err error) {
	fields := s.fields(t.Template, w)
	inventories, remove, err := s.inventories(ctx, t, w, dir, fields)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	vars, err := s.extraVars(t, w, dir)
	if err != nil {
		return err
	}
	argv := []string{s.Command, "-e", "@" + vars}
	for _, i := range inventories {
		argv = append(argv, "-i", i)
	}
	if s.Limit != "" {
		argv = append(argv, "--limit", s.Limit)
	}
	for _, a := range s.ExtraArguments {
		text, err := gotmpl.Render(a, t.Template, fields)
		if err != nil {
			return fmt.Errorf("extra_arguments: %w", err)
		}
		argv = append(argv, text)
	}
	argv = append(argv, s.PlaybookFile)
	env, err := s.environment(t, w, dir, fields)
	if err != nil {
		return err
	}
	t.Say("Executing Ansible: " + commandLine(argv))
	err = program(ctx, t.Run, argv, env)
	if err == nil {
		return nil
	}
	if lost := w.lost(); lost != nil {
		err = errors.Join(err, fmt.Errorf("the machine: %w", lost))
	}
	return explain(err)
}

// explain says what the exit codes of ansible-playbook mean.
func explain(err error) error {
	var e *exec.ExitError
	if !errors.As(err, &e) {
		return err
	}
	switch e.ExitCode() {
	case 2:
		return fmt.Errorf("a task has failed, see above: %w", err)
	case 4:
		return fmt.Errorf("the machine could not be reached, or Ansible could not read what it was given, see above: %w", err)
	case 250:
		return fmt.Errorf("unexpected error of Ansible itself, see above: %w", err)
	}
	return err
}

// fields are what late attributes see.
func (s *step) fields(v gotmpl.Vars, w *way) map[string]string {
	return shellenv.Fields(v, map[string]string{"HostAlias": s.HostAlias, "Host": w.host, "User": w.user, "Port": strconv.Itoa(w.port)})
}

// maxControlPath is how long the folder of OpenSSH's control sockets may be:
// the name of a socket may have 104 characters on some systems, and OpenSSH
// needs 28 of them for itself.
const maxControlPath = 104 - 28

// environment is that of the program: ours, what keeps its files together with
// the step's, and what the user says.
func (s *step) environment(t component.Target, w *way, dir string, fields map[string]string) ([]string, error) {
	env := append(os.Environ(),
		"PACKER_RUN_UUID="+t.ID,
		// Otherwise output comes late, in large pieces.
		"PYTHONUNBUFFERED=1",
		"ANSIBLE_LOCAL_TEMP="+filepath.Join(dir, "tmp"),
	)
	if control := filepath.Join(dir, "cp"); len(control) <= maxControlPath {
		env = append(env, "ANSIBLE_SSH_CONTROL_PATH_DIR="+control)
	}
	if s.RolesPath != "" {
		env = append(env, "ANSIBLE_ROLES_PATH="+s.RolesPath)
	}
	if s.CollectionsPath != "" {
		env = append(env, "ANSIBLE_COLLECTIONS_PATH="+s.CollectionsPath)
	}
	if s.UseSFTP != nil {
		env = append(env, "ANSIBLE_SSH_TRANSFER_METHOD="+map[bool]string{true: "sftp", false: "scp"}[*s.UseSFTP])
	}
	if w.noProxy {
		env = append(env, "no_proxy="+w.host, "NO_PROXY="+w.host)
	}
	for _, kv := range s.EnvVars {
		text, err := gotmpl.Render(kv, t.Template, fields)
		if err != nil {
			return nil, fmt.Errorf("ansible_env_vars: %w", err)
		}
		env = append(env, text)
	}
	return env, nil
}

// outputDelay is how long output may stay open after a program's end.
const outputDelay = 5 * time.Second

// program runs a program until it has ended. What it leaves in the background,
// such as shared connections, is ended too.
func program(ctx context.Context, r component.Run, argv, env []string) error {
	if _, err := exec.LookPath(argv[0]); err != nil {
		return fmt.Errorf("the program %s was not found on this machine; install Ansible, or name the program's path in the template: %w", argv[0], err)
	}
	out, errOut := component.NewLineWriter(r.Events, component.Stdout), component.NewLineWriter(r.Events, component.Stderr)
	defer errOut.Flush()
	defer out.Flush()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = env, out, errOut, outputDelay
	err := hostproc.Run(ctx, r, cmd)
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(argv[0]), err)
	}
	return nil
}

// commandLine is a command as one would type it.
func commandLine(argv []string) string {
	words := make([]string, len(argv))
	for i, a := range argv {
		words[i] = shellenv.Quote(a)
	}
	return strings.Join(words, " ")
}

func joinHostPort(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// ports are the ones to try for the local SSH server.
func (s *step) ports() []int {
	if s.LocalPort == 0 {
		return nil
	}
	out := make([]int, 0, localPorts)
	for p := s.LocalPort; p <= 65535 && len(out) < localPorts; p++ {
		out = append(out, p)
	}
	return slices.Clip(out)
}
