package docker

import (
	"os"
	"path"
	"strings"

	"github.com/distribution/reference"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/dockerengine"
	"ingot/internal/gotmpl"
)

// config is the builder's configuration as it stands in the template.
type config struct {
	component.Connection
	dockerengine.Login

	Image      string `cty:"image"`
	Commit     bool   `cty:"commit"`
	Discard    bool   `cty:"discard"`
	ExportPath string `cty:"export_path"`

	Author  string   `cty:"author"`
	Message string   `cty:"message"`
	Changes []string `cty:"changes"`

	Pull       bool              `cty:"pull"`
	Platform   string            `cty:"platform"`
	RunCommand []string          `cty:"run_command"`
	Volumes    map[string]string `cty:"volumes"`
	Tmpfs      []string          `cty:"tmpfs"`
	Device     []string          `cty:"device"`
	CapAdd     []string          `cty:"cap_add"`
	CapDrop    []string          `cty:"cap_drop"`
	Privileged bool              `cty:"privileged"`
	Runtime    string            `cty:"runtime"`

	ExecUser         string `cty:"exec_user"`
	PTY              bool   `cty:"pty"`
	FixUploadOwner   bool   `cty:"fix_upload_owner"`
	ContainerDir     string `cty:"container_dir"`
	WindowsContainer bool   `cty:"windows_container"`

	Build *buildConfig `cty:"build"`

	// exports: export_path is set, be it known or not.
	exports bool
}

// buildConfig is the build block.
type buildConfig struct {
	Path      string            `cty:"path"`
	Dir       string            `cty:"build_dir"`
	Arguments map[string]string `cty:"arguments"`
	Pull      bool              `cty:"pull"`
	Compress  bool              `cty:"compress"`
}

// The communicators that a container can be reached with.
const (
	commDocker = "docker"
	commSSH    = "ssh"
	commNone   = "none"
)

// defaultRun is what `docker run` is given when the template does not say.
func defaultRun() []string {
	return []string{"-d", "-i", "-t", "--entrypoint=/bin/sh", "--", "{{.Image}}"}
}

// read decodes and checks a configuration.
func read(cfg cty.Value) (*config, diag.List) {
	c := &config{}
	if err := component.Decode(cfg, c); err != nil {
		return nil, diag.Errorf("Invalid docker configuration", "%v.", err)
	}
	if c.Communicator == "" {
		c.Communicator = commDocker
	}
	c.exports = component.IsSet(cfg, "export_path")
	if c.RunCommand == nil {
		c.RunCommand = defaultRun()
	}
	if !cfg.IsKnown() {
		return c, nil
	}
	var out diag.List
	for _, check := range []func(cty.Value) diag.List{
		c.checkOutcome, c.checkSource, c.checkWindows, c.checkChanges, c.checkRun, c.checkMounts, c.checkUser, c.checkConnection,
	} {
		out = append(out, check(cfg)...)
	}
	out = append(out, c.Login.Check(cfg)...)
	out = append(out, dockerengine.WarnDockerPath(cfg)...)
	return c, out
}

// checkOutcome: exactly one of commit, discard and export_path.
func (c *config) checkOutcome(cfg cty.Value) diag.List {
	var chosen []string
	if c.Commit {
		chosen = append(chosen, "commit")
	}
	if c.Discard {
		chosen = append(chosen, "discard")
	}
	if component.HasValue(cfg, "export_path") {
		chosen = append(chosen, "export_path")
	}
	switch {
	case len(chosen) > 1:
		return diag.At(chosen[len(chosen)-1], "Conflicting settings",
			"%s exclude each other. Keep one of them.", strings.Join(chosen, " and "))
	case len(chosen) == 0 && component.Known(cfg, "commit") && component.Known(cfg, "discard") && component.Known(cfg, "export_path"):
		return diag.Errorf("Nothing to do with the container",
			"Say what the build makes: set commit = true for an image, export_path for a tar file, or discard = true for neither.")
	}
	if c.ExportPath != "" {
		if st, err := os.Stat(c.ExportPath); err == nil && st.IsDir() {
			return diag.At("export_path", "The export path is a folder", "%q is a folder. Give the name of the tar file to write.", c.ExportPath)
		}
	}
	var out diag.List
	for _, name := range []string{"author", "message", "changes"} {
		if component.IsSet(cfg, name) && len(chosen) == 1 && chosen[0] != "commit" && component.Known(cfg, name) {
			out = append(out, diag.WarnAt(name, "Setting without effect", "%s is used only with commit = true.", name)...)
		}
	}
	return out
}

// checkSource: an image or a Dockerfile.
func (c *config) checkSource(cfg cty.Value) diag.List {
	hasImage := component.IsSet(cfg, "image") && (c.Image != "" || !component.Known(cfg, "image"))
	switch {
	case c.Image != "" && c.Build != nil:
		return diag.At("image", "Conflicting settings", "image and a build block exclude each other. Remove one of them.")
	case !hasImage && c.Build == nil && component.Known(cfg, "build"):
		return diag.At("image", "Image missing", "Set image to the image to start from, or add a build block with a Dockerfile.")
	}
	var out diag.List
	if c.Image != "" {
		if _, err := reference.ParseAnyReference(c.Image); err != nil {
			out = append(out, diag.At("image", "Not an image name", "%q: %v.", c.Image, err)...)
		}
	}
	if _, err := dockerengine.ParsePlatform(c.Platform); err != nil {
		out = append(out, diag.At("platform", "Not a platform", "%v.", err)...)
	}
	if c.Build != nil {
		out = append(out, c.Build.check()...)
	}
	return out
}

func (b *buildConfig) check() diag.List {
	var out diag.List
	if b.Path != "" {
		if st, err := os.Stat(b.Path); err != nil {
			out = append(out, diag.At("build.path", "Dockerfile not found", "%v.", err)...)
		} else if st.IsDir() {
			out = append(out, diag.At("build.path", "The Dockerfile is a folder", "%q is a folder. Give the path of the Dockerfile in it.", b.Path)...)
		}
	}
	if b.Dir != "" {
		if st, err := os.Stat(b.Dir); err != nil {
			out = append(out, diag.At("build.build_dir", "Build folder not found", "%v.", err)...)
		} else if !st.IsDir() {
			out = append(out, diag.At("build.build_dir", "Not a folder", "%q is not a folder.", b.Dir)...)
		}
	}
	return out
}

func (c *config) checkWindows(cty.Value) diag.List {
	if !c.WindowsContainer && c.Communicator != "dockerWindowsContainer" {
		return nil
	}
	name := "windows_container"
	if !c.WindowsContainer {
		name = "communicator"
	}
	return diag.At(name, "Windows containers are not supported",
		"This builder makes Linux containers only. Remove the setting, or build the Windows image with Packer.")
}

func (c *config) checkChanges(cfg cty.Value) diag.List {
	if !component.Known(cfg, "changes") {
		return nil
	}
	rest, author := dockerengine.Maintainer(c.Changes)
	out := dockerengine.CheckChanges("changes", rest)
	switch {
	case author == "":
	case c.Author != "" && c.Author != author:
		out = append(out, diag.At("changes", "Two authors", "author is %q, and changes has MAINTAINER %s. Keep one of them.", c.Author, author)...)
	default:
		c.Changes, c.Author = rest, author
	}
	return out
}

// checkRun translates the run command with a stand-in for the image.
func (c *config) checkRun(cfg cty.Value) diag.List {
	if !component.Known(cfg, "run_command") {
		return nil
	}
	args := make([]string, len(c.RunCommand))
	for i, a := range c.RunCommand {
		args[i] = a
		if gotmpl.HasAction(a) {
			// What the actions give is known when the container is made.
			args[i] = strings.ReplaceAll(strings.ReplaceAll(a, "{{.Image}}", "image"), "{{ .Image }}", "image")
			if gotmpl.HasAction(args[i]) {
				return nil
			}
		}
	}
	if _, err := parseRun(args); err != nil {
		return diag.At("run_command", "Run command not understood", "%v.", err)
	}
	return nil
}

func (c *config) checkMounts(cfg cty.Value) diag.List {
	var out diag.List
	for _, d := range c.Device {
		if _, err := parseDevice(d); err != nil {
			out = append(out, diag.At("device", "Not a device", "%v.", err)...)
		}
	}
	for host, target := range c.Volumes {
		if p, _, _ := strings.Cut(target, ":"); !path.IsAbs(p) {
			out = append(out, diag.At("volumes", "Not a path in the container", "The volume %q has %q as its place in the container. Write an absolute path.", host, target)...)
		}
	}
	for _, t := range c.Tmpfs {
		if p, _, _ := strings.Cut(t, ":"); !path.IsAbs(p) {
			out = append(out, diag.At("tmpfs", "Not a path in the container", "%q is not an absolute path.", t)...)
		}
	}
	if c.ContainerDir != "" && !path.IsAbs(c.ContainerDir) {
		out = append(out, diag.At("container_dir", "Not a path in the container", "%q is not an absolute path.", c.ContainerDir)...)
	}
	return out
}

func (c *config) checkUser(cty.Value) diag.List {
	if c.ExecUser == "" {
		return nil
	}
	if user, group, colon := strings.Cut(c.ExecUser, ":"); user == "" || colon && group == "" || strings.Contains(group, ":") {
		return diag.At("exec_user", "Not a user", "%q: write USER, UID, USER:GROUP or UID:GID.", c.ExecUser)
	}
	return nil
}

func (c *config) checkConnection(cfg cty.Value) diag.List {
	out := c.Connection.Check(cfg, commDocker, commSSH, commNone)
	if c.Communicator == "dockerWindowsContainer" {
		out = nil // checkWindows has said it
	}
	if c.Communicator == commSSH && !component.IsSet(cfg, "ssh_username") {
		out = append(out, diag.At("ssh_username", "User missing", "communicator = \"ssh\" needs ssh_username, the account in the container to log in as.")...)
	}
	if c.Communicator != commDocker && component.Known(cfg, "communicator") {
		for _, name := range []string{"exec_user", "pty"} {
			if component.IsSet(cfg, name) {
				out = append(out, diag.WarnAt(name, "Setting without effect", "%s is used only with the docker communicator.", name)...)
			}
		}
	}
	return out
}
