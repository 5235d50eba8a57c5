package ansible

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
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
)

// inventories are the ones for the program, in order. remove takes away what
// is outside of dir.
func (s *step) inventories(ctx context.Context, t component.Target, w *way, dir string, fields map[string]string) (files []string, remove func() error, err error) {
	if s.InventoryFile != "" {
		return []string{s.InventoryFile}, func() error { return nil }, nil
	}
	text, err := s.inventory(t.Template, w, fields)
	if err != nil {
		return nil, nil, err
	}
	file, remove, err := s.writeInventory(ctx, t, dir, text)
	if err != nil {
		return nil, nil, err
	}
	connection := filepath.Join(dir, "connection.yml")
	if err := os.WriteFile(connection, hostVars(s.HostAlias, w.connection), 0o600); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("write the inventory: %w", err), remove())
	}
	return []string{file, connection}, remove, nil
}

// inventory is the text of the inventory that users see. How the connection is
// made, with its secrets, is in another one.
func (s *step) inventory(v gotmpl.Vars, w *way, fields map[string]string) (string, error) {
	line := fmt.Sprintf("%s ansible_host=%s ansible_user=%s ansible_port=%d", s.HostAlias, w.host, shellenv.Quote(w.user), w.port)
	if s.InventoryTemplate != "" {
		var err error
		if line, err = gotmpl.Render(s.InventoryTemplate, v, fields); err != nil {
			return "", fmt.Errorf("inventory_file_template: %w", err)
		}
	}
	var b strings.Builder
	b.WriteString(strings.TrimRight(line, "\n") + "\n")
	for _, g := range s.Groups {
		fmt.Fprintf(&b, "\n[%s]\n%s\n", g, s.HostAlias)
	}
	for _, g := range s.EmptyGroups {
		if !slices.Contains(s.Groups, g) {
			fmt.Fprintf(&b, "\n[%s]\n", g)
		}
	}
	return b.String(), nil
}

// writeInventory writes the inventory to where the user wants it.
func (s *step) writeInventory(ctx context.Context, t component.Target, dir, text string) (string, func() error, error) {
	if s.InventoryDirectory == "" && !s.KeepInventory {
		file := filepath.Join(dir, "inventory")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return "", nil, fmt.Errorf("write the inventory: %w", err)
		}
		return file, func() error { return nil }, nil
	}
	folder := s.InventoryDirectory
	if folder == "" {
		folder = os.TempDir()
	}
	folder, err := filepath.Abs(folder)
	if err != nil {
		return "", nil, fmt.Errorf("inventory_directory: %w", err)
	}
	file := filepath.Join(folder, "ingot-inventory-"+strings.ToLower(rand.Text()))
	lease, err := t.Journal.Acquire(ctx, component.Resource{Kind: component.FileKind, Attrs: map[string]string{"path": file}},
		func(context.Context, component.Resource) (string, error) {
			f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return "", err
			}
			_, err = f.WriteString(text)
			return file, errors.Join(err, f.Close())
		})
	if err != nil {
		return "", nil, fmt.Errorf("write the inventory: %w", err)
	}
	detached := context.WithoutCancel(ctx)
	if s.KeepInventory {
		t.Say("The inventory stays at " + file)
		return file, func() error { return lease.Keep(detached) }, nil
	}
	return file, func() error { return lease.Release(detached) }, nil
}

// hostVars is an inventory that adds variables to a host. Texts are marked so
// that Ansible does not look for expressions in them.
func hostVars(host string, vars map[string]any) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "all:\n  hosts:\n    %s:\n", quoted(host))
	writeVars(&b, "      ", vars)
	return b.Bytes()
}

func writeVars(b *bytes.Buffer, indent string, vars map[string]any) {
	for _, n := range slices.Sorted(maps.Keys(vars)) {
		mark := ""
		if _, ok := vars[n].(string); ok {
			mark = "!unsafe "
		}
		fmt.Fprintf(b, "%s%s: %s%s\n", indent, n, mark, quoted(vars[n]))
	}
}

// quoted is a value as JSON, which is YAML too.
func quoted(v any) string {
	out, _ := json.Marshal(v) // texts and booleans only, which never fails
	return string(out)
}

// extraVars writes the variables that every playbook sees, and, for an
// inventory of the user's, the secrets of the connection.
func (s *step) extraVars(t component.Target, w *way, dir string) (string, error) {
	vars := map[string]any{"packer_build_name": t.Template.BuildName, "packer_builder_type": t.Template.BuildType}
	if t.HTTPAddr != "" {
		vars["packer_http_addr"] = t.HTTPAddr
	}
	if s.InventoryFile != "" {
		maps.Copy(vars, w.foreign)
	}
	var b bytes.Buffer
	writeVars(&b, "", vars)
	file := filepath.Join(dir, "vars.yml")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		return "", fmt.Errorf("write the variables: %w", err)
	}
	return file, nil
}
