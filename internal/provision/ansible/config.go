// Package ansible is the ansible provisioner: it runs playbooks on this machine
// that set up the one that is being built.
package ansible

import (
	"context"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/shellenv"
)

type provisioner struct{}

// New returns the ansible provisioner.
func New() component.Provisioner { return provisioner{} }

type config struct {
	PlaybookFile   string   `cty:"playbook_file"`
	Command        string   `cty:"command"`
	ExtraArguments []string `cty:"extra_arguments"`
	EnvVars        []string `cty:"ansible_env_vars"`

	Groups             []string `cty:"groups"`
	EmptyGroups        []string `cty:"empty_groups"`
	HostAlias          string   `cty:"host_alias"`
	User               string   `cty:"user"`
	Limit              string   `cty:"limit"`
	InventoryDirectory string   `cty:"inventory_directory"`
	InventoryTemplate  string   `cty:"inventory_file_template"`
	InventoryFile      string   `cty:"inventory_file"`
	KeepInventory      bool     `cty:"keep_inventory_file"`

	GalaxyFile          string `cty:"galaxy_file"`
	GalaxyCommand       string `cty:"galaxy_command"`
	GalaxyForce         bool   `cty:"galaxy_force_install"`
	GalaxyForceWithDeps bool   `cty:"galaxy_force_with_deps"`
	RolesPath           string `cty:"roles_path"`
	CollectionsPath     string `cty:"collections_path"`

	UseProxy          *bool  `cty:"use_proxy"`
	LocalPort         int    `cty:"local_port"`
	HostKeyFile       string `cty:"ssh_host_key_file"`
	AuthorizedKeyFile string `cty:"ssh_authorized_key_file"`
	ProxyKeyType      string `cty:"ansible_proxy_key_type"`
	SFTPCommand       string `cty:"sftp_command"`
	UseSFTP           *bool  `cty:"use_sftp"`
	WinRMUseHTTP      bool   `cty:"ansible_winrm_use_http"`
}

const (
	defaultCommand = "ansible-playbook"
	defaultGalaxy  = "ansible-galaxy"
	defaultAlias   = "default"
	// localPorts is how many ports are tried from local_port on.
	localPorts = 10
)

func (provisioner) Schema() component.Schema {
	late := func(a component.Attribute) component.Attribute { a.Late = true; return a }
	path := func(name, description string) component.Attribute {
		a := component.String(name, description)
		a.Format = component.Path
		return a
	}
	playbook := path("playbook_file", "The playbook to run.")
	playbook.Required = true
	return component.Schema{
		Description: "Runs a playbook with the Ansible that is installed on the machine that Ingot runs on. Ansible connects to a machine with SSH or WinRM itself; others it reaches through Ingot.",
		Manual: &component.Manual{
			Example: `provisioner "ansible" {
  playbook_file   = "site.yml"
  groups          = ["webservers"]
  extra_arguments = ["--extra-vars", "version=2"]
}
`,
		},
		Attributes: []component.Attribute{
			playbook,
			component.String("command", "The program that runs playbooks. Default `"+defaultCommand+"`."),
			late(component.Strings("extra_arguments", "More arguments for the program. `{{.Host}}`, `{{.Port}}`, `{{.User}}` and the facts of the build can be used.")),
			late(component.Strings("ansible_env_vars", "Environment variables for the program, each as NAME=value.")),

			component.Strings("groups", "Groups that the machine is a member of."),
			component.Strings("empty_groups", "Groups without members that the inventory is to have."),
			component.String("host_alias", "The machine's name in the inventory. Default `"+defaultAlias+"`."),
			component.String("user", "The user as whom Ansible connects. Default: the one of the build's connection."),
			component.String("limit", "Run on hosts that match this pattern only."),
			path("inventory_directory", "The folder to write the inventory to while the playbook runs, so that `group_vars` and `host_vars` beside it are found."),
			late(component.String("inventory_file_template", "The line of the machine in the inventory, with `{{.HostAlias}}`, `{{.Host}}`, `{{.User}}` and `{{.Port}}`.")),
			path("inventory_file", "An inventory to use in place of one that is made. It has to say itself how the machine is reached; only keys and passwords are added."),
			component.Bool("keep_inventory_file", "Leave the inventory that was made. There is no key or password in it."),

			path("galaxy_file", "Roles and collections to install before the playbook runs, as a requirements file of Ansible Galaxy."),
			component.String("galaxy_command", "The program that installs them. Default `"+defaultGalaxy+"`."),
			component.Bool("galaxy_force_install", "Install what is there already again."),
			component.Bool("galaxy_force_with_deps", "Install what is there already again, with what it depends on."),
			path("roles_path", "The folder where roles are installed and looked for. Default: as Ansible is configured."),
			path("collections_path", "The folder where collections are installed and looked for. Default: as Ansible is configured."),

			component.Bool("use_proxy", "Let Ansible connect through a local SSH server that passes everything on to the build's own connection. Default: only where Ansible cannot connect to the machine itself, such as to a container, through a bastion host or with a password."),
			component.Number("local_port", "The port of the local SSH server, or, when it is taken, one of the nine that follow. Default: any that is free."),
			path("ssh_host_key_file", "The private host key of the local SSH server. Default: one that is made."),
			path("ssh_authorized_key_file", "The public key that may log in to the local SSH server; your SSH agent has to have the private one. Default: one that is made."),
			{Name: "ansible_proxy_key_type", Type: cty.String, OneOf: []string{"ED25519", "ECDSA", "RSA"}, Description: "The type of the keys that are made for the local SSH server: ED25519 (default), ECDSA or RSA."},
			component.String("sftp_command", "A command on the machine that speaks the SFTP protocol, for the local SSH server. Default: it needs none."),
			component.Bool("use_sftp", "true: copy files with SFTP only; false: with scp only. Default: as Ansible is configured, which tries both."),
			component.Bool("ansible_winrm_use_http", "Connect to WinRM by HTTP, even if the build uses HTTPS."),
			component.Bool("skip_version_check", "Has no effect: the version of Ansible is not checked."),
			component.String("navigator_mode", "Not supported: there is no ansible-navigator here."),
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
		out = append(c.check(cfg), c.checkFiles()...)
	}
	if out.HasErrors() {
		return nil, out
	}
	c.setDefaults()
	return &step{c}, out
}

func (c *config) setDefaults() {
	set := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	set(&c.Command, defaultCommand)
	set(&c.GalaxyCommand, defaultGalaxy)
	set(&c.HostAlias, defaultAlias)
	set(&c.ProxyKeyType, "ED25519")
}

func (c *config) check(cfg cty.Value) diag.List {
	var out diag.List
	if component.Known(cfg, "playbook_file") && c.PlaybookFile == "" {
		out = append(out, diag.At("playbook_file", "Missing playbook", "Set playbook_file to the playbook that is to be run.")...)
	}
	if component.HasValue(cfg, "navigator_mode") {
		out = append(out, diag.At("navigator_mode", "Not supported", "Playbooks are run with ansible-playbook, not with ansible-navigator. Remove navigator_mode.")...)
	}
	if component.HasValue(cfg, "skip_version_check") {
		out = append(out, diag.WarnAt("skip_version_check", "Setting without effect", "The version of Ansible is not checked.")...)
	}
	if c.LocalPort < 0 || c.LocalPort > 65535 {
		out = append(out, diag.At("local_port", "Not a port", "local_port must be from 1 to 65535, got %d.", c.LocalPort)...)
	}
	if component.HasValue(cfg, "inventory_file") {
		for _, name := range []string{"groups", "empty_groups", "inventory_file_template", "inventory_directory", "keep_inventory_file"} {
			if component.HasValue(cfg, name) {
				out = append(out, diag.WarnAt(name, "Setting without effect", "%s is about an inventory that is made; inventory_file is used in its place.", name)...)
			}
		}
	}
	if component.HasValue(cfg, "galaxy_file") {
		return append(out, c.checkTexts(cfg)...)
	}
	for _, name := range []string{"galaxy_force_install", "galaxy_force_with_deps"} {
		if component.HasValue(cfg, name) && !component.IsSet(cfg, "galaxy_file") {
			out = append(out, diag.WarnAt(name, "Setting without effect", "Nothing is installed, since galaxy_file is not set.")...)
		}
	}
	return append(out, c.checkTexts(cfg)...)
}

// checkTexts checks what is rendered late, and what goes into the inventory.
func (c *config) checkTexts(cfg cty.Value) diag.List {
	var out diag.List
	for _, a := range c.ExtraArguments {
		out = append(out, shellenv.CheckTemplate("extra_arguments", a, templateFields...)...)
	}
	out = append(out, shellenv.CheckTemplate("inventory_file_template", c.InventoryTemplate, templateFields...)...)
	if component.Known(cfg, "ansible_env_vars") {
		for _, kv := range c.EnvVars {
			out = append(out, shellenv.CheckVariable("ansible_env_vars", kv)...)
			out = append(out, shellenv.CheckTemplate("ansible_env_vars", kv, templateFields...)...)
		}
	}
	if c.HostAlias != "" && !inventoryName(c.HostAlias) {
		out = append(out, diag.At("host_alias", "Not a name for an inventory", "%q cannot be the name of a host.", c.HostAlias)...)
	}
	for _, a := range []struct {
		name   string
		groups []string
	}{{"groups", c.Groups}, {"empty_groups", c.EmptyGroups}} {
		for _, g := range a.groups {
			if !inventoryName(g) {
				out = append(out, diag.At(a.name, "Not a name for an inventory", "%q cannot be the name of a group.", g)...)
			}
		}
	}
	return out
}

// inventoryName reports whether a text can stand for itself in an inventory.
func inventoryName(s string) bool {
	return s != "" && !strings.ContainsAny(s, " \t\r\n[]#;:=,'\"\\{}")
}

// checkFiles finds local files that are not there.
func (c *config) checkFiles() diag.List {
	return slices.Concat(
		component.CheckFile("playbook_file", c.PlaybookFile),
		component.CheckFile("galaxy_file", c.GalaxyFile),
		component.CheckFile("ssh_host_key_file", c.HostKeyFile),
		component.CheckFile("ssh_authorized_key_file", c.AuthorizedKeyFile),
		component.CheckFolder("inventory_directory", c.InventoryDirectory),
		component.CheckPath("inventory_file", c.InventoryFile), // a folder is an inventory too
	)
}
