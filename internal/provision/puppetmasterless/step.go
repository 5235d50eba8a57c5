package puppetmasterless

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ingot/internal/component"
	"ingot/internal/gotmpl"
	"ingot/internal/shellenv"
	"ingot/internal/staging"
)

type step struct{ config }

// Apply uploads everything, runs Puppet and removes what was uploaded.
func (s *step) Apply(ctx context.Context, t component.Target) error {
	if err := s.apply(ctx, t); err != nil {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
			err = errors.Join(cause, err)
		}
		return fmt.Errorf("puppet-masterless: %w", err)
	}
	return nil
}

func (s *step) apply(ctx context.Context, t component.Target) (err error) {
	a, err := staging.Open(ctx, t, staging.Options{Dir: s.StagingDirectory, Prefix: "ingot-puppet-masterless-", Clean: s.Clean})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close(ctx)) }()
	at, err := s.upload(ctx, a)
	if err != nil {
		return err
	}
	sudo, err := s.sudo(ctx, t.Comm)
	if err != nil {
		return err
	}
	line, err := s.commandLine(t, a, at, sudo)
	if err != nil {
		return err
	}
	t.Say("Running Puppet: " + line)
	exit, err := a.Run(ctx, line)
	if err != nil {
		return err
	}
	return s.judge(t, exit)
}

// The exit codes of puppet apply --detailed-exitcodes.
const (
	codeChanged       = 2
	codeFailures      = 4
	codeChangedFailed = 6
	// codeAbsent is what a shell ends with for a command that does not exist.
	codeAbsent = 127
)

func (s *step) judge(t component.Target, exit component.Exit) error {
	var err error
	switch {
	case exit.Code == 0, exit.Code == codeChanged && exit.Signal == "":
		return nil
	case exit.Code == codeFailures, exit.Code == codeChangedFailed:
		err = fmt.Errorf("resources could not be brought into the state that the manifest describes, see above (%s)", exit)
	case exit.Code == codeAbsent:
		err = fmt.Errorf("no Puppet was found on the machine (%s); install it with a provisioner before this one, or set puppet_bin_dir", exit)
	default:
		err = fmt.Errorf("running Puppet ended with %s", exit)
	}
	if s.IgnoreExitCodes {
		t.Emit(component.Warning{Summary: "Puppet has failed", Detail: err.Error() + ". That is ignored (ignore_exit_codes)."})
		return nil
	}
	return err
}

// uploaded are the paths of what was uploaded.
type uploaded struct{ manifest, modules, hiera string }

func (s *step) upload(ctx context.Context, a *staging.Area) (uploaded, error) {
	at := uploaded{manifest: a.Path("manifests")}
	if err := a.MakeFolder(ctx, "manifests"); err != nil {
		return at, err
	}
	info, err := os.Stat(s.ManifestFile)
	if err != nil {
		return at, fmt.Errorf("manifest_file: %w", err)
	}
	name := "manifests"
	if !info.IsDir() {
		name = "manifests/" + filepath.Base(s.ManifestFile)
		at.manifest = a.Path(name)
	}
	if err := a.Put(ctx, s.ManifestFile, name); err != nil {
		return at, err
	}
	var modules []string
	for i, p := range s.ModulePaths {
		name := fmt.Sprintf("module-%d", i)
		if err := a.Put(ctx, p, name); err != nil {
			return at, err
		}
		modules = append(modules, a.Path(name))
	}
	at.modules = strings.Join(modules, ":")
	if s.HieraConfigPath != "" {
		at.hiera = a.Path("hiera.yaml")
		if err := a.Put(ctx, s.HieraConfigPath, "hiera.yaml"); err != nil {
			return at, err
		}
	}
	return at, nil
}

// sudo says whether sudo is needed to become root.
func (s *step) sudo(ctx context.Context, comm component.Communicator) (bool, error) {
	if s.PreventSudo {
		return false, nil
	}
	var out bytes.Buffer
	if _, err := comm.Run(ctx, component.Command{Line: "id -u", Stdout: &out}); err != nil {
		return false, fmt.Errorf("ask the machine for its user: %w", err)
	}
	return strings.TrimSpace(out.String()) != "0", nil
}

// facts are the variables that give facts to Facter.
func (s *step) facts(t component.Target) string {
	facts := map[string]string{"packer_build_name": t.Template.BuildName, "packer_builder_type": t.Template.BuildType}
	if t.HTTPAddr != "" {
		facts["packer_http_addr"] = t.HTTPAddr
	}
	maps.Copy(facts, s.Facter)
	var words []string
	for _, name := range slices.Sorted(maps.Keys(facts)) {
		words = append(words, "FACTER_"+name+"="+shellenv.Quote(facts[name]))
	}
	return strings.Join(words, " ")
}

func (s *step) commandLine(t component.Target, a *staging.Area, at uploaded, sudo bool) (string, error) {
	arguments := make([]string, len(s.ExtraArguments))
	for i, text := range s.ExtraArguments {
		var err error
		if arguments[i], err = gotmpl.Render(text, t.Template, shellenv.Fields(t.Template, nil)); err != nil {
			return "", fmt.Errorf("extra_arguments: %w", err)
		}
	}
	quote := func(path string) string {
		if path == "" {
			return ""
		}
		return shellenv.Quote(path)
	}
	yes := func(b bool) string {
		if b {
			return "true"
		}
		return ""
	}
	dir := s.WorkingDirectory
	if dir == "" {
		dir = a.Dir
	}
	line, err := gotmpl.Render(s.ExecuteCommand, t.Template, shellenv.Fields(t.Template, map[string]string{
		"WorkingDir": quote(dir), "FacterVars": s.facts(t), "Sudo": yes(sudo), "PuppetBinDir": quote(s.PuppetBinDir),
		"Debug": yes(t.Debug), "ModulePath": quote(at.modules), "HieraConfigPath": quote(at.hiera),
		"ExtraArguments": strings.Join(arguments, " "), "ManifestFile": quote(at.manifest), "ManifestDir": "",
	}))
	if err != nil {
		return "", fmt.Errorf("execute_command: %w", err)
	}
	return line, nil
}
