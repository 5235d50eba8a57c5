package ansible

import (
	"context"
	"fmt"
	"os"

	"github.com/zclconf/go-cty-yaml"

	"ingot/internal/component"
)

// install installs the roles and collections of galaxy_file.
func (s *step) install(ctx context.Context, t component.Target, w *way, dir string) error {
	text, err := os.ReadFile(s.GalaxyFile)
	if err != nil {
		return fmt.Errorf("galaxy_file: %w", err)
	}
	roles, collections, err := requirements(text)
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

// requirements says what a requirements file asks for. It is a list of roles,
// or an object with lists of roles and collections.
func requirements(text []byte) (roles, collections bool, err error) {
	ty, err := yaml.Standard.ImpliedType(text)
	if err != nil {
		return false, false, fmt.Errorf("not YAML: %w", err)
	}
	switch {
	case ty.IsTupleType():
		return true, false, nil
	case ty.IsObjectType():
		roles, collections = ty.HasAttribute("roles"), ty.HasAttribute("collections")
	}
	if !roles && !collections {
		return false, false, fmt.Errorf("there are neither roles nor collections in it")
	}
	return roles, collections, nil
}
