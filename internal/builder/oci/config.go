package oci

import (
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
)

// config is the decoded configuration; see schema for the meanings.
type config struct {
	From          string `cty:"from"`
	Platform      string `cty:"platform"`
	Insecure      bool   `cty:"insecure"`
	Pull          string `cty:"pull"`
	LoginUsername string `cty:"login_username"`
	LoginPassword string `cty:"login_password"`

	Mirror     string   `cty:"mirror"`
	Variant    string   `cty:"variant"`
	Packages   []string `cty:"packages"`
	Components []string `cty:"components"`
	Refresh    bool     `cty:"refresh"`

	Output           string `cty:"output"`
	Format           string `cty:"format"`
	Tag              string `cty:"tag"`
	Compression      string `cty:"compression"`
	CompressionLevel int    `cty:"compression_level"`

	Cmd        []string          `cty:"cmd"`
	Entrypoint []string          `cty:"entrypoint"`
	Env        map[string]string `cty:"env"`
	Labels     map[string]string `cty:"labels"`
	Workdir    string            `cty:"workdir"`
	User       string            `cty:"user"`
	Ports      []string          `cty:"ports"`
	Volumes    []string          `cty:"volumes"`
	StopSignal string            `cty:"stop_signal"`
	Author     string            `cty:"author"`

	ExecUser string   `cty:"exec_user"`
	Hostname string   `cty:"hostname"`
	Network  string   `cty:"network"`
	Tmpfs    []string `cty:"tmpfs"`
	CapAdd   []string `cty:"cap_add"`

	Mounts  []mountBlock  `cty:"mount"`
	Exports []exportBlock `cty:"export"`
}

type mountBlock struct {
	Source   string `cty:"source"`
	Target   string `cty:"target"`
	ReadOnly *bool  `cty:"read_only"`
}

type exportBlock struct {
	Path   string `cty:"path"`
	Format string `cty:"format"`
	Tag    string `cty:"tag"`
}

// plan is a checked configuration.
type plan struct {
	config
	kind, ref string // of From
	platform  v1.Platform
	outputs   []output
	// epoch is SOURCE_DATE_EPOCH: the time that everything new gets.
	epoch *time.Time
}

// readConfig decodes and checks. Attributes that are not known yet are not
// checked; they will be before the job runs.
func readConfig(cfg cty.Value, getenv func(string) string) (*plan, diag.List) {
	p := &plan{}
	if err := component.Decode(cfg, &p.config); err != nil {
		return nil, diag.Errorf("Configuration does not fit", "%s.", err)
	}
	var diags diag.List
	diags = append(diags, p.checkFrom(cfg)...)
	diags = append(diags, p.checkPlatform()...)
	diags = append(diags, p.checkOutputs(cfg)...)
	diags = append(diags, p.checkImage(cfg)...)
	diags = append(diags, p.checkSandbox()...)
	epoch, err := sourceDateEpoch(getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		diags = append(diags, diag.Errorf("Invalid SOURCE_DATE_EPOCH", "%s.", err)...)
	}
	p.epoch = epoch
	return p, diags
}

func sourceDateEpoch(text string) (*time.Time, error) {
	if text == "" {
		return nil, nil
	}
	sec, err := strconv.ParseInt(text, 10, 64)
	if err != nil || sec < 0 || sec > 1<<36 {
		return nil, fmt.Errorf("the environment variable is %q: it must be a number of seconds since 1970", text)
	}
	t := time.Unix(sec, 0).UTC()
	return &t, nil
}

// kinds are the forms of from with something behind the colon.
var kinds = []string{"docker", "oci", "oci-archive", "docker-archive", "tar", "debootstrap"}

func (p *plan) checkFrom(cfg cty.Value) diag.List {
	if !component.Known(cfg, "from") {
		return nil
	}
	if p.From == "scratch" {
		p.kind = "scratch"
		return p.checkBootstrapOnly(cfg)
	}
	kind, ref, ok := strings.Cut(p.From, ":")
	if kind == "docker" {
		ref, ok = strings.CutPrefix(ref, "//")
	}
	if !ok || ref == "" || !slices.Contains(kinds, kind) {
		return diag.At("from", "Unknown kind of base image",
			"%q is none of docker://REFERENCE, oci:DIR, oci-archive:FILE, docker-archive:FILE, tar:FILE, debootstrap:SUITE and scratch.%s", p.From, suggestDocker(p.From))
	}
	p.kind, p.ref = kind, ref
	if kind == "docker" {
		if _, err := name.ParseReference(ref); err != nil {
			return diag.At("from", "Invalid image reference", "%q: %s.", ref, err)
		}
	}
	if kind == "debootstrap" && !suitePattern.MatchString(ref) {
		return diag.At("from", "Invalid suite", "%q is not the name of a Debian or Ubuntu release such as \"bookworm\".", ref)
	}
	return p.checkBootstrapOnly(cfg)
}

var suitePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9.+-]*$`)

// suggestDocker helps those who write a bare image name.
func suggestDocker(from string) string {
	if _, err := name.ParseReference(from); err == nil {
		return fmt.Sprintf(" For an image of a registry write \"docker://%s\".", from)
	}
	return ""
}

// checkBootstrapOnly refuses what would be ignored with another base.
func (p *plan) checkBootstrapOnly(cfg cty.Value) diag.List {
	var diags diag.List
	only := func(kind string, attributes ...string) {
		for _, a := range attributes {
			if component.IsSet(cfg, a) && !isDefault(cfg, a) && p.kind != kind {
				diags = append(diags, diag.At(a, "Attribute has no meaning here", "%s works with from = \"%s...\" only.", a, kind+":")...)
			}
		}
	}
	only("debootstrap", "mirror", "variant", "packages", "components", "refresh")
	only("docker", "insecure", "pull", "login_username", "login_password")
	if (p.LoginUsername == "") != (p.LoginPassword == "") && component.Known(cfg, "login_username") && component.Known(cfg, "login_password") {
		diags = append(diags, diag.At("login_username", "Incomplete credentials", "login_username and login_password belong together.")...)
	}
	return diags
}

func isDefault(cfg cty.Value, attribute string) bool {
	a, ok := schema().Attribute(attribute)
	v, _ := cfg.GetAttr(attribute).Unmark()
	return ok && a.Default != cty.NilVal && v.RawEquals(a.Default)
}

func (p *plan) checkPlatform() diag.List {
	p.platform = v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	if p.Platform == "" {
		return nil
	}
	got, err := v1.ParsePlatform(p.Platform)
	if err != nil || got.OS == "" || got.Architecture == "" {
		return diag.At("platform", "Invalid platform", "%q is not of the form OS/ARCH or OS/ARCH/VARIANT, such as \"linux/arm64\".", p.Platform)
	}
	if got.OS != "linux" {
		return diag.At("platform", "Platform is not supported", "Only Linux images can be built, not %q.", got.OS)
	}
	p.platform = *got
	if got.Architecture != runtime.GOARCH {
		return diag.WarnAt("platform", "Image of another architecture", "Programs for %s run on this machine (%s) only if an emulator is registered with binfmt_misc.", got.Architecture, runtime.GOARCH)
	}
	return nil
}

func (p *plan) checkImage(cfg cty.Value) diag.List {
	var diags diag.List
	for i, port := range p.Ports {
		normal, err := parsePort(port)
		if err != nil {
			diags = append(diags, diag.At("ports", "Invalid port", "%s.", err)...)
			continue
		}
		p.Ports[i] = normal
	}
	for _, v := range p.Volumes {
		diags = append(diags, absolute("volumes", v)...)
	}
	if p.Workdir != "" {
		diags = append(diags, absolute("workdir", p.Workdir)...)
	}
	for k := range p.Env {
		if k == "" || strings.ContainsAny(k, "=\x00") {
			diags = append(diags, diag.At("env", "Invalid variable name", "%q cannot be the name of an environment variable.", k)...)
		}
	}
	if component.IsSet(cfg, "compression_level") && component.Known(cfg, "compression_level") && (p.CompressionLevel < 1 || p.CompressionLevel > 9) {
		diags = append(diags, diag.At("compression_level", "Invalid compression level", "%d is not between 1 and 9.", p.CompressionLevel)...)
	}
	return diags
}

func absolute(attribute, p string) diag.List {
	if path.IsAbs(p) {
		return nil
	}
	return diag.At(attribute, "Path is not absolute", "%q must start with a slash.", p)
}

// parsePort returns "PORT/PROTOCOL".
func parsePort(text string) (string, error) {
	number, proto, ok := strings.Cut(text, "/")
	if !ok {
		proto = "tcp"
	}
	first, last, isRange := strings.Cut(number, "-")
	if !isRange {
		last = first
	}
	a, err1 := strconv.ParseUint(first, 10, 16)
	b, err2 := strconv.ParseUint(last, 10, 16)
	if err1 != nil || err2 != nil || a == 0 || b < a || !slices.Contains([]string{"tcp", "udp", "sctp"}, proto) {
		return "", fmt.Errorf("%q is not a port such as \"80\" or \"53/udp\"", text)
	}
	return number + "/" + proto, nil
}

func (p *plan) checkSandbox() diag.List {
	var diags diag.List
	if p.Hostname == "" {
		p.Hostname = "ingot"
	}
	if len(p.Hostname) > 64 || strings.ContainsAny(p.Hostname, " \t\n/") {
		diags = append(diags, diag.At("hostname", "Invalid host name", "%q is longer than 64 characters or has characters that a host name cannot have.", p.Hostname)...)
	}
	for _, t := range p.Tmpfs {
		diags = append(diags, mountTarget("tmpfs", t)...)
	}
	for _, m := range p.Mounts {
		diags = append(diags, mountTarget("mount", m.Target)...)
	}
	if err := checkCapabilities(p.CapAdd); err != nil {
		diags = append(diags, diag.At("cap_add", "Unknown capability", "%s.", err)...)
	}
	return diags
}

func mountTarget(attribute, target string) diag.List {
	if target == "" {
		return nil // not known yet
	}
	if d := absolute(attribute, target); d.HasErrors() {
		return d
	}
	clean := path.Clean(target)
	for _, ours := range []string{"/", "/proc", "/sys", "/dev"} {
		if clean == ours || ours != "/" && strings.HasPrefix(clean, ours+"/") {
			return diag.At(attribute, "Path belongs to the sandbox", "Nothing can be mounted on %q.", target)
		}
	}
	return nil
}

// apply puts the configured values into an image's configuration.
func (p *plan) apply(c *v1.Config) {
	if len(p.Entrypoint) > 0 {
		c.Entrypoint, c.Cmd = p.Entrypoint, nil
	}
	if len(p.Cmd) > 0 {
		c.Cmd = p.Cmd
	}
	c.Env = mergeEnv(c.Env, p.Env)
	if len(p.Labels) > 0 {
		labels := maps.Clone(c.Labels)
		if labels == nil {
			labels = map[string]string{}
		}
		maps.Copy(labels, p.Labels)
		c.Labels = labels
	}
	set := func(to *string, value string) {
		if value != "" {
			*to = value
		}
	}
	set(&c.WorkingDir, p.Workdir)
	set(&c.User, p.User)
	set(&c.StopSignal, p.StopSignal)
	c.ExposedPorts = mergeSet(c.ExposedPorts, p.Ports)
	c.Volumes = mergeSet(c.Volumes, p.Volumes)
}

func mergeSet(have map[string]struct{}, add []string) map[string]struct{} {
	if len(add) == 0 {
		return have
	}
	out := map[string]struct{}{}
	maps.Copy(out, have)
	for _, a := range add {
		out[a] = struct{}{}
	}
	return out
}

// mergeEnv replaces variables where they stand and appends new ones, sorted.
func mergeEnv(have []string, set map[string]string) []string {
	out := slices.Clone(have)
	for _, k := range slices.Sorted(maps.Keys(set)) {
		entry := k + "=" + set[k]
		i := slices.IndexFunc(out, func(e string) bool { return strings.HasPrefix(e, k+"=") })
		if i < 0 {
			out = append(out, entry)
		} else {
			out[i] = entry
		}
	}
	return out
}

// output is one form in which the image is written.
type output struct {
	path   string
	format string
	// outer is the compression of the whole file: "", "gzip" or "zstd".
	outer string
	tag   string
}

// The formats.
const (
	formatArchive = "oci-archive"
	formatDir     = "oci-dir"
	formatDocker  = "docker-archive"
	formatRootfs  = "rootfs-tar"
)

func (p *plan) checkOutputs(cfg cty.Value) diag.List {
	var diags diag.List
	if !component.IsSet(cfg, "output") && len(p.Exports) == 0 && component.Known(cfg, "export") {
		return diag.At("output", "No output", "Set output to the file or directory that the image is to be written to, such as \"image.oci.tar\", or write an export block.")
	}
	add := func(attribute string, e exportBlock) {
		o, d := newOutput(attribute, e)
		diags = append(diags, d...)
		for _, other := range p.outputs {
			if filepath.Clean(other.path) == filepath.Clean(o.path) {
				diags = append(diags, diag.At(attribute, "Output is written twice", "%q is the path of another output.", o.path)...)
			}
		}
		p.outputs = append(p.outputs, o)
	}
	if p.Output != "" {
		add("output", exportBlock{Path: p.Output, Format: p.Format, Tag: p.Tag})
	} else if component.IsSet(cfg, "output") && component.Known(cfg, "output") {
		diags = append(diags, diag.At("output", "Empty path", "The path must not be empty.")...)
	} else if !component.IsSet(cfg, "output") && (p.Format != "" || p.Tag != "") {
		diags = append(diags, diag.At("format", "Attribute has no meaning here", "format and tag describe output, which is not set; an export block has its own.")...)
	}
	for _, e := range p.Exports {
		if e.Path != "" {
			add("export", e)
		}
	}
	return diags
}

func newOutput(attribute string, e exportBlock) (output, diag.List) {
	o := output{path: e.Path, format: e.Format, tag: e.Tag}
	base := strings.ToLower(filepath.Base(e.Path))
	for suffix, outer := range map[string]string{".gz": "gzip", ".tgz": "gzip", ".zst": "zstd"} {
		if strings.HasSuffix(base, suffix) {
			o.outer = outer
			base = strings.TrimSuffix(base, suffix)
			if suffix == ".tgz" {
				base += ".tar"
			}
		}
	}
	if o.format == "" {
		o.format = formatOf(base)
	}
	if o.format == formatDir && o.outer != "" {
		o.outer = ""
	}
	if e.Tag == "" {
		return o, nil
	}
	if o.format == formatRootfs {
		return o, diag.At(attribute, "A plain root file system has no name", "tag has no meaning for the format %s.", formatRootfs)
	}
	if _, err := name.NewTag(e.Tag); err != nil {
		return o, diag.At(attribute, "Invalid tag", "%q: %s.", e.Tag, err)
	}
	return o, nil
}

func formatOf(base string) string {
	switch {
	case strings.HasSuffix(base, ".rootfs.tar"), base == "rootfs.tar":
		return formatRootfs
	case strings.HasSuffix(base, ".docker.tar"), base == "docker.tar":
		return formatDocker
	case strings.HasSuffix(base, ".tar"), strings.HasSuffix(base, ".oci"):
		return formatArchive
	}
	return formatDir
}
