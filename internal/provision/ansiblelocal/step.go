package ansiblelocal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"ingot/internal/component"
	"ingot/internal/galaxyfile"
	"ingot/internal/gotmpl"
	"ingot/internal/shellenv"
	"ingot/internal/staging"
)

type step struct{ config }

// The places in the folder that nothing else is uploaded to.
const (
	inventoryName = "ingot-inventory"
	varsName      = "ingot-vars.json"
	galaxyName    = "ingot-requirements.yml"
)

// Apply uploads everything, runs the playbooks and removes what was uploaded.
func (s *step) Apply(ctx context.Context, t component.Target) error {
	if err := s.apply(ctx, t); err != nil {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
			err = errors.Join(cause, err)
		}
		return fmt.Errorf("ansible-local: %w", err)
	}
	return nil
}

func (s *step) apply(ctx context.Context, t component.Target) (err error) {
	a, err := staging.Open(ctx, t, staging.Options{Dir: s.StagingDirectory, Prefix: "ingot-ansible-local-", Clean: s.Clean})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close(ctx)) }()
	playbooks, err := s.upload(ctx, a)
	if err != nil {
		return err
	}
	if err := s.uploadVars(ctx, t, a); err != nil {
		return err
	}
	if s.GalaxyFile != "" {
		if err := s.install(ctx, t, a); err != nil {
			return err
		}
	}
	arguments, err := s.arguments(t.Template)
	if err != nil {
		return err
	}
	for _, p := range playbooks {
		line := fmt.Sprintf("cd %s && %s%s %s -e @%s -c local -i %s", shellenv.Quote(a.Dir), s.searchPaths(), s.Command, shellenv.Quote(p),
			shellenv.Quote(a.Path(varsName)), shellenv.Quote(a.Path(inventoryName)))
		if err := run(ctx, t, a, line+arguments); err != nil {
			return fmt.Errorf("playbook %s: %w", p, err)
		}
	}
	return nil
}

// upload uploads everything but what depends on the build, and returns the
// paths of the playbooks on the machine.
func (s *step) upload(ctx context.Context, a *staging.Area) ([]string, error) {
	type item struct{ local, name string }
	var items []item
	add := func(local, name string) {
		if local != "" {
			items = append(items, item{local, name})
		}
	}
	add(s.PlaybookDir, ".")
	var playbooks []string
	for i, p := range s.playbooks() {
		name, inside := s.inDir(p)
		if !inside {
			// Playbooks of one name may come from several folders.
			name = baseName(p)
			if slices.Contains(playbooks, a.Path(name)) {
				name = fmt.Sprintf("%d-%s", i+1, name)
			}
			add(p, name)
		}
		playbooks = append(playbooks, a.Path(name))
	}
	add(s.GroupVars, "group_vars")
	add(s.HostVars, "host_vars")
	for _, f := range s.folders() {
		if len(f.local) > 0 {
			if err := a.MakeFolder(ctx, f.remote); err != nil {
				return nil, err
			}
		}
		for _, p := range f.local {
			add(p, path.Join(f.remote, baseName(p)))
		}
	}
	for _, i := range items {
		if err := a.Put(ctx, i.local, i.name); err != nil {
			return nil, err
		}
	}
	return playbooks, nil
}

// uploadVars uploads the inventory and the variables of the build.
func (s *step) uploadVars(ctx context.Context, t component.Target, a *staging.Area) error {
	vars := map[string]string{"packer_build_name": t.Template.BuildName, "packer_builder_type": t.Template.BuildType}
	if t.HTTPAddr != "" {
		vars["packer_http_addr"] = t.HTTPAddr
	}
	text, err := json.Marshal(vars)
	if err != nil {
		return fmt.Errorf("variables of the build: %w", err)
	}
	if err := a.PutText(ctx, varsName, string(text)); err != nil {
		return err
	}
	if s.InventoryFile != "" {
		return a.Put(ctx, s.InventoryFile, inventoryName)
	}
	var b strings.Builder
	b.WriteString("127.0.0.1\n")
	for _, g := range s.InventoryGroups {
		fmt.Fprintf(&b, "\n[%s]\n127.0.0.1\n", g)
	}
	return a.PutText(ctx, inventoryName, b.String())
}

// arguments are the user's, in a form to append.
func (s *step) arguments(v gotmpl.Vars) (string, error) {
	var b strings.Builder
	for _, a := range s.ExtraArguments {
		text, err := gotmpl.Render(a, v, shellenv.Fields(v, nil))
		if err != nil {
			return "", fmt.Errorf("extra_arguments: %w", err)
		}
		b.WriteString(" " + text)
	}
	return b.String(), nil
}

// searchPaths are variables that make Ansible look where things were
// installed, if that is not where it looks anyway.
func (s *step) searchPaths() string {
	out := ""
	if s.GalaxyFile != "" && s.GalaxyRolesPath != "" {
		out += "ANSIBLE_ROLES_PATH=" + shellenv.Quote(s.GalaxyRolesPath) + " "
	}
	if s.GalaxyFile != "" && s.GalaxyCollectionsPath != "" {
		out += "ANSIBLE_COLLECTIONS_PATH=" + shellenv.Quote(s.GalaxyCollectionsPath) + " "
	}
	return out
}

// install installs what galaxy_file lists, on the machine.
func (s *step) install(ctx context.Context, t component.Target, a *staging.Area) error {
	text, err := os.ReadFile(s.GalaxyFile)
	if err != nil {
		return fmt.Errorf("galaxy_file: %w", err)
	}
	roles, collections, err := galaxyfile.Kinds(text)
	if err != nil {
		return fmt.Errorf("galaxy_file %s: %w", s.GalaxyFile, err)
	}
	if err := a.Put(ctx, s.GalaxyFile, galaxyName); err != nil {
		return err
	}
	for _, kind := range []struct {
		wanted        bool
		name, to, std string
	}{{roles, "role", s.GalaxyRolesPath, "roles"}, {collections, "collection", s.GalaxyCollectionsPath, "collections"}} {
		if !kind.wanted {
			continue
		}
		to := kind.to
		if to == "" {
			to = a.Path(kind.std)
		}
		line := fmt.Sprintf("cd %s && %s %s install -r %s -p %s", shellenv.Quote(a.Dir), s.GalaxyCommand, kind.name, shellenv.Quote(a.Path(galaxyName)), shellenv.Quote(to))
		if err := run(ctx, t, a, line); err != nil {
			return fmt.Errorf("galaxy_file %s: %w", s.GalaxyFile, err)
		}
	}
	return nil
}

// absentCode is what a shell ends with for a command that does not exist.
const absentCode = 127

func run(ctx context.Context, t component.Target, a *staging.Area, line string) error {
	t.Say("Executing Ansible: " + line)
	exit, err := a.Run(ctx, line)
	switch {
	case err != nil:
		return err
	case exit.Code == absentCode:
		return fmt.Errorf("ended with %s: Ansible is not installed on the machine; install it with a provisioner before this one", exit)
	case exit.Code != 0:
		return fmt.Errorf("ended with %s", exit)
	}
	return nil
}
