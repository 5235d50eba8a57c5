package ansible

import (
	"context"
	"fmt"
	"os"

	"ingot/internal/component"
	"ingot/internal/galaxyfile"
)

// install installs the roles and collections of galaxy_file.
func (s *step) install(ctx context.Context, t component.Target, w *way, dir string) error {
	text, err := os.ReadFile(s.GalaxyFile)
	if err != nil {
		return fmt.Errorf("galaxy_file: %w", err)
	}
	roles, collections, err := galaxyfile.Kinds(text)
	if err != nil {
		return fmt.Errorf("galaxy_file %s: %w", s.GalaxyFile, err)
	}
	for _, kind := range []struct {
		wanted     bool
		name, path string
	}{{roles, "role", s.RolesPath}, {collections, "collection", s.CollectionsPath}} {
		if !kind.wanted {
			continue
		}
		argv := []string{s.GalaxyCommand, kind.name, "install", "-r", s.GalaxyFile}
		if kind.path != "" {
			argv = append(argv, "-p", kind.path)
		}
		switch {
		case s.GalaxyForceWithDeps:
			argv = append(argv, "--force-with-deps")
		case s.GalaxyForce:
			argv = append(argv, "--force")
		}
		env, err := s.environment(t, w, dir, s.fields(t.Template, w))
		if err != nil {
			return err
		}
		t.Say("Executing Ansible Galaxy: " + commandLine(argv))
		if err := program(ctx, t.Run, argv, env); err != nil {
			return err
		}
	}
	return nil
}
