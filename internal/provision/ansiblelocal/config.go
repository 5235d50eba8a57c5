// Package ansiblelocal is the ansible-local provisioner: it uploads playbooks
// and runs them with the Ansible of the machine itself.
package ansiblelocal

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/shellenv"
	"ingot/internal/staging"
)

type provisioner struct{}

// New returns the ansible-local provisioner.
func New() component.Provisioner { return provisioner{} }

type config struct {
	Command        string   `cty:"command"`
	ExtraArguments []string `cty:"extra_arguments"`

	PlaybookFile    string   `cty:"playbook_file"`
	PlaybookFiles   []string `cty:"playbook_files"`
	PlaybookDir     string   `cty:"playbook_dir"`
	PlaybookPaths   []string `cty:"playbook_paths"`
	RolePaths       []string `cty:"role_paths"`
	CollectionPaths []string `cty:"collection_paths"`
	GroupVars       string   `cty:"group_vars"`
	HostVars        string   `cty:"host_vars"`

	InventoryFile   string   `cty:"inventory_file"`
	InventoryGroups []string `cty:"inventory_groups"`

	GalaxyFile            string `cty:"galaxy_file"`
	GalaxyCommand         string `cty:"galaxy_command"`
	GalaxyRolesPath       string `cty:"galaxy_roles_path"`
	GalaxyCollectionsPath string `cty:"galaxy_collections_path"`

	StagingDirectory string `cty:"staging_directory"`
	Clean            *bool  `cty:"clean_staging_directory"`
}

const (
	defaultCommand = "PYTHONUNBUFFERED=1 ansible-playbook"
	defaultGalaxy  = "ansible-galaxy"
)

func (provisioner) Schema() component.Schema {
	path := func(name, description string) component.Attribute {
		a := component.String(name, description)
		a.Format = component.Path
		return a
	}
	paths := func(name, description string) component.Attribute {
		a := component.Strings(name, description)
		a.Format = component.Path
		return a
	}
	arguments := component.Strings("extra_arguments", "More arguments for the command. They are part of a line for the machine's shell, so that what is special to it has to be quoted.")
	arguments.Late = true
	return component.Schema{
		Description: "Uploads playbooks, with what they need, and runs them with the Ansible that is installed on the machine itself. The folder that they are uploaded to is removed at the end.",
		Manual: &component.Manual{
			Example: `provisioner "ansible-local" {
  playbook_file = "site.yml"
  role_paths    = ["roles/web"]
}
`,
		},
		Attributes: []component.Attribute{
			path("playbook_file", "The playbook to run. With playbook_dir it may be the name of a file in it."),
			paths("playbook_files", "Playbooks to run, one after the other. Those that are in playbook_dir keep their place."),
			path("playbook_dir", "A folder to upload as a whole, to where the playbooks run."),
			paths("playbook_paths", "Folders to upload to the folder `playbooks`."),
			paths("role_paths", "Roles to upload to the folder `roles`, each a folder."),
			paths("collection_paths", "Collections to upload to the folder `collections`, each a folder."),
			path("group_vars", "A folder to upload as `group_vars`."),
			path("host_vars", "A folder to upload as `host_vars`."),
			path("inventory_file", "The inventory. Default: one with the machine itself, as 127.0.0.1."),
			component.Strings("inventory_groups", "Groups that the machine is a member of in the default inventory."),
			path("galaxy_file", "Roles and collections to install on the machine before the playbooks run, as a requirements file of Ansible Galaxy."),
			component.String("galaxy_command", "The command that installs them. Default `"+defaultGalaxy+"`."),
			component.String("galaxy_roles_path", "The folder of the machine to install roles to. Default: `roles`."),
			component.String("galaxy_collections_path", "The folder of the machine to install collections to. Default: `collections`."),
			component.String("command", "The command that runs a playbook. Default `"+defaultCommand+"`."),
			arguments,
			component.String("staging_directory", "The folder of the machine to upload to. Default: a new one below `/tmp` that only the user can read."),
			component.Bool("clean_staging_directory", "Remove the folder at the end, with all that is in it. Default: true, but false with staging_directory."),
		},
	}
}

func (provisioner) Plan(_ context.Context, cfg cty.Value) (component.Step, diag.List) {
	var c config
	if err := component.Decode(cfg, &c); err != nil {
		return nil, diag.Errorf("Invalid configuration", "%s.", err)
	}
	var out diag.List
	if cfg.IsKnown() {
		out = c.check(cfg)
	}
	if out.HasErrors() {
		return nil, out
	}
	if c.Command == "" {
		c.Command = defaultCommand
	}
	if c.GalaxyCommand == "" {
		c.GalaxyCommand = defaultGalaxy
	}
	return &step{c}, out
}

func (c *config) check(cfg cty.Value) diag.List {
	var out diag.List
	switch {
	case component.HasValue(cfg, "playbook_file") && component.HasValue(cfg, "playbook_files"):
		out = append(out, diag.At("playbook_files", "Conflicting settings", "playbook_file and playbook_files exclude each other. Remove one of them.")...)
	case component.Known(cfg, "playbook_file") && component.Known(cfg, "playbook_files") && c.PlaybookFile == "" && len(c.PlaybookFiles) == 0:
		out = append(out, diag.At("playbook_file", "Missing playbook", "Set playbook_file or playbook_files to what is to be run.")...)
	}
	if component.HasValue(cfg, "inventory_file") && component.HasValue(cfg, "inventory_groups") {
		out = append(out, diag.WarnAt("inventory_groups", "Setting without effect", "inventory_groups is about the default inventory; inventory_file is used in its place.")...)
	}
	for _, g := range c.InventoryGroups {
		if g == "" || strings.ContainsAny(g, " \t\r\n[]#;:=,'\"\\{}") {
			out = append(out, diag.At("inventory_groups", "Not a name for an inventory", "%q cannot be the name of a group.", g)...)
		}
	}
	if !component.IsSet(cfg, "galaxy_file") {
		for _, name := range []string{"galaxy_roles_path", "galaxy_collections_path"} {
			if component.HasValue(cfg, name) {
				out = append(out, diag.WarnAt(name, "Setting without effect", "Nothing is installed, since galaxy_file is not set.")...)
			}
		}
	}
	for _, a := range c.ExtraArguments {
		out = append(out, shellenv.CheckTemplate("extra_arguments", a)...)
	}
	out = append(out, staging.Check(c.StagingDirectory, c.Clean)...)
	return append(out, c.checkFiles(cfg)...)
}

// checkFiles finds local files that are not there, and names that would be
// uploaded to one place.
func (c *config) checkFiles(cfg cty.Value) diag.List {
	var out diag.List
	check := func(found diag.List) { out = append(out, found...) }
	if component.Known(cfg, "playbook_dir") {
		attribute := "playbook_files"
		if c.PlaybookFile != "" {
			attribute = "playbook_file"
		}
		for _, f := range c.playbooks() {
			if _, inside := c.inDir(f); !inside {
				check(component.CheckFile(attribute, f))
			}
		}
	}
	check(component.CheckFile("inventory_file", c.InventoryFile))
	check(component.CheckFile("galaxy_file", c.GalaxyFile))
	check(component.CheckFolder("playbook_dir", c.PlaybookDir))
	check(component.CheckFolder("group_vars", c.GroupVars))
	check(component.CheckFolder("host_vars", c.HostVars))
	for _, f := range c.folders() {
		taken := map[string]string{}
		for _, p := range f.local {
			check(component.CheckFolder(f.attribute, p))
			base := baseName(p)
			if before, ok := taken[base]; ok && before != p {
				out = append(out, diag.At(f.attribute, "Two folders of one name", "%q and %q would be uploaded to the same folder %q.", before, p, base)...)
			}
			taken[base] = p
		}
	}
	return out
}

// playbooks are what is to be run, in order.
func (c *config) playbooks() []string {
	if c.PlaybookFile != "" {
		return []string{c.PlaybookFile}
	}
	return c.PlaybookFiles
}

// folders are the attributes whose folders are uploaded below one of their own.
func (c *config) folders() []folders {
	return []folders{{"playbook_paths", "playbooks", c.PlaybookPaths}, {"role_paths", "roles", c.RolePaths}, {"collection_paths", "collections", c.CollectionPaths}}
}

type folders struct {
	attribute, remote string
	local             []string
}

// inDir reports whether a playbook is a file of playbook_dir, and its path
// there.
func (c *config) inDir(playbook string) (string, bool) {
	if c.PlaybookDir == "" || playbook == "" {
		return "", false
	}
	if filepath.IsLocal(playbook) {
		if info, err := os.Stat(filepath.Join(c.PlaybookDir, playbook)); err == nil && !info.IsDir() {
			return filepath.ToSlash(filepath.Clean(playbook)), true
		}
	}
	dir, err := filepath.Abs(c.PlaybookDir)
	if err != nil {
		return "", false
	}
	file, err := filepath.Abs(playbook)
	if err != nil {
		return "", false
	}
	rel, err := filepath.Rel(dir, file)
	if err != nil || !filepath.IsLocal(rel) {
		return "", false
	}
	if _, err := os.Stat(file); err != nil {
		return "", false
	}
	return filepath.ToSlash(rel), true
}

// baseName is the last element of a path, also of "." and "x/..".
func baseName(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return filepath.Base(path)
}
