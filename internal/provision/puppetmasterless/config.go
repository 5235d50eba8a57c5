// Package puppetmasterless is the puppet-masterless provisioner: it uploads
// manifests and applies them with the Puppet of the machine itself.
package puppetmasterless

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/shellenv"
	"ingot/internal/staging"
)

type provisioner struct{}

// New returns the puppet-masterless provisioner.
func New() component.Provisioner { return provisioner{} }

type config struct {
	ManifestFile     string            `cty:"manifest_file"`
	ModulePaths      []string          `cty:"module_paths"`
	HieraConfigPath  string            `cty:"hiera_config_path"`
	Facter           map[string]string `cty:"facter"`
	ExtraArguments   []string          `cty:"extra_arguments"`
	ExecuteCommand   string            `cty:"execute_command"`
	PuppetBinDir     string            `cty:"puppet_bin_dir"`
	WorkingDirectory string            `cty:"working_directory"`
	PreventSudo      bool              `cty:"prevent_sudo"`
	IgnoreExitCodes  bool              `cty:"ignore_exit_codes"`
	GuestOSType      string            `cty:"guest_os_type"`
	StagingDirectory string            `cty:"staging_directory"`
	Clean            *bool             `cty:"clean_staging_directory"`
}

const defaultExecute = "cd {{.WorkingDir}} && " +
	`{{if ne .FacterVars ""}}{{.FacterVars}} {{end}}` +
	`{{if ne .Sudo ""}}sudo -E {{end}}` +
	`{{if ne .PuppetBinDir ""}}{{.PuppetBinDir}}/{{end}}puppet apply --detailed-exitcodes ` +
	`{{if ne .Debug ""}}--debug {{end}}` +
	`{{if ne .ModulePath ""}}--modulepath={{.ModulePath}} {{end}}` +
	`{{if ne .HieraConfigPath ""}}--hiera_config={{.HieraConfigPath}} {{end}}` +
	`{{if ne .ExtraArguments ""}}{{.ExtraArguments}} {{end}}` +
	`{{.ManifestFile}}`

// executeFields are what execute_command can use beside the facts.
var executeFields = []string{"WorkingDir", "FacterVars", "Sudo", "PuppetBinDir", "Debug", "ModulePath", "HieraConfigPath", "ExtraArguments", "ManifestFile", "ManifestDir"}

func (provisioner) Schema() component.Schema {
	path := func(name, description string) component.Attribute {
		a := component.String(name, description)
		a.Format = component.Path
		return a
	}
	late := func(a component.Attribute) component.Attribute { a.Late = true; return a }
	manifest := path("manifest_file", "The manifest to apply: a file, or a folder with several.")
	manifest.Required = true
	modules := component.Strings("module_paths", "Folders with modules to upload.")
	modules.Format = component.Path
	return component.Schema{
		Description: "Uploads manifests and modules, and applies them with the Puppet that is installed on the machine itself, without a server. The folder that they are uploaded to is removed at the end.",
		Manual: &component.Manual{
			Example: `provisioner "puppet-masterless" {
  manifest_file = "site.pp"
  module_paths  = ["modules"]
  facter = {
    role = "web"
  }
}
`,
		},
		Attributes: []component.Attribute{
			manifest,
			modules,
			path("hiera_config_path", "The configuration of Hiera to upload."),
			component.StringMap("facter", "Facts for the manifests, beside `packer_build_name`, `packer_builder_type` and, where the builder has an HTTP server, `packer_http_addr`."),
			late(component.Strings("extra_arguments", "More arguments for Puppet. They are part of a line for the machine's shell, so that what is special to it has to be quoted.")),
			late(component.String("execute_command", "The command that runs Puppet. Default `"+defaultExecute+"`.")),
			component.String("puppet_bin_dir", "The folder of the machine with the program `puppet`. Default: it is found by the shell."),
			component.String("working_directory", "The folder of the machine to run Puppet in. Default: the one that is uploaded to."),
			component.Bool("prevent_sudo", "Do not use sudo. Default false: it is used unless the user is root."),
			component.Bool("ignore_exit_codes", "Succeed also when Puppet fails."),
			component.String("guest_os_type", "`unix`, which is the default. Windows is not supported."),
			component.String("manifest_dir", "Not supported: Puppet has no such setting since version 4. manifest_file takes a folder."),
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
		out = append(c.check(cfg), c.checkFiles()...)
	}
	if out.HasErrors() {
		return nil, out
	}
	if c.ExecuteCommand == "" {
		c.ExecuteCommand = defaultExecute
	}
	return &step{c}, out
}

// factName is what Facter takes as the name of a fact of the environment.
var factName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (c *config) check(cfg cty.Value) diag.List {
	var out diag.List
	if component.Known(cfg, "manifest_file") && c.ManifestFile == "" {
		out = append(out, diag.At("manifest_file", "Missing manifest", "Set manifest_file to the manifest that is to be applied.")...)
	}
	if component.Known(cfg, "guest_os_type") && !slices.Contains([]string{"", "unix"}, c.GuestOSType) {
		out = append(out, diag.At("guest_os_type", "Not supported", "Manifests can be applied on machines with a POSIX shell only, not on %q.", c.GuestOSType)...)
	}
	if component.HasValue(cfg, "manifest_dir") {
		out = append(out, diag.At("manifest_dir", "Not supported", "Puppet has no such setting since version 4. Name the folder in manifest_file.")...)
	}
	names := make([]string, 0, len(c.Facter))
	for name := range c.Facter {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if !factName.MatchString(name) {
			out = append(out, diag.At("facter", "Not the name of a fact", "%q cannot be given to Facter: a name has letters, digits and _ only.", name)...)
		}
	}
	for _, a := range c.ExtraArguments {
		out = append(out, shellenv.CheckTemplate("extra_arguments", a)...)
	}
	out = append(out, shellenv.CheckTemplate("execute_command", c.ExecuteCommand, executeFields...)...)
	return append(out, staging.Check(c.StagingDirectory, c.Clean)...)
}

// checkFiles finds local files that are not there.
func (c *config) checkFiles() diag.List {
	out := append(component.CheckPath("manifest_file", c.ManifestFile), component.CheckFile("hiera_config_path", c.HieraConfigPath)...)
	for _, p := range c.ModulePaths {
		out = append(out, component.CheckFolder("module_paths", p)...)
		if strings.Contains(p, ":") && strings.HasPrefix(p, "/") {
			out = append(out, diag.WarnAt("module_paths", "One folder each", "%q holds a colon; module_paths is a list with one folder in each element.", p)...)
		}
	}
	return out
}
