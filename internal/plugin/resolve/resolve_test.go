//go:build unix

package resolve

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/plugin/lock"
	"ingot/internal/plugin/plugintest"
	"ingot/internal/plugin/store"
	"ingot/internal/template"
)

// set is a provider whose components know their names.
type set struct {
	from     string
	manifest component.Manifest
	closed   *int
}

func (s set) Manifest() component.Manifest { return s.manifest }

func (s set) Builder(name string) component.Builder {
	if !slices.Contains(s.manifest.Builders, name) {
		return nil
	}
	return &fakeBuilder{from: s.from + ":" + name}
}

func (s set) Provisioner(name string) component.Provisioner {
	if !slices.Contains(s.manifest.Provisioners, name) {
		return nil
	}
	return &fakeProvisioner{from: s.from + ":" + name}
}

func (s set) PostProcessor(name string) component.PostProcessor {
	if !slices.Contains(s.manifest.PostProcessors, name) {
		return nil
	}
	return &fakePostProcessor{from: s.from + ":" + name}
}

func (s set) DataSource(string) component.DataSource { return nil }

func (s set) Close() error {
	if s.closed != nil {
		*s.closed++
	}
	return nil
}

type (
	fakeBuilder struct {
		component.Builder
		from string
	}
	fakeProvisioner struct {
		component.Provisioner
		from string
	}
	fakePostProcessor struct {
		component.PostProcessor
		from string
	}
)

// rig is a resolver with a plugin folder.
type rig struct {
	Input
	t      *testing.T
	runs   string
	opened int
	closed int
	uses   []Component
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, runs: filepath.Join(t.TempDir(), "runs")}
	r.Input = Input{
		Store: &store.Store{Dir: filepath.Join(t.TempDir(), "plugins"), Cache: t.TempDir()},
		Native: set{from: "native", manifest: component.Manifest{
			Builders: []string{"docker", "null"}, Provisioners: []string{"puppet-masterless", "shell"}, PostProcessors: []string{"docker-tag"},
		}},
		Core: func(kind, name string) bool { return kind == "builder" && name == "null" || name == "shell" },
		Open: func(f store.Found, uses []Component) component.Provider {
			r.opened++
			r.uses = append(r.uses, uses...)
			return set{
				from:     f.Source + "@" + f.Binary.Version.String(),
				manifest: component.Manifest{Builders: f.Builders, Provisioners: f.Provisioners, PostProcessors: f.PostProcessors},
				closed:   &r.closed,
			}
		},
		InitCommand: "ingot init .",
	}
	return r
}

// put installs a plugin with components of all kinds by the same names.
func (r *rig) put(source, version string, names ...string) string {
	r.t.Helper()
	d := plugintest.Description{Version: version, APIVersion: "x5.0", Builders: names, Provisioners: names, PostProcessors: names}
	name := source[strings.LastIndexByte(source, '/')+1:]
	return plugintest.Put(r.t, filepath.Join(r.Store.Dir, source), plugintest.FileName(name, "v"+version, "x5.0"), plugintest.Script(d, r.runs))
}

// started is how many plugins were run.
func (r *rig) started() int {
	text, err := os.ReadFile(r.runs)
	if err != nil && !os.IsNotExist(err) {
		r.t.Fatal(err)
	}
	return strings.Count(string(text), "\n")
}

func (r *rig) lock(text string) {
	r.t.Helper()
	path := filepath.Join(r.t.TempDir(), lock.Name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
	var diags diag.List
	if r.Lock, diags = lock.Read(path); diags.HasErrors() {
		r.t.Fatal(diags.Err())
	}
}

func load(t *testing.T, text string) *template.Template {
	t.Helper()
	tmpl, diags := template.Load("-", template.Options{ConfigType: "hcl2", Stdin: strings.NewReader(text)})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	return tmpl
}

func required(entries ...string) string {
	return "packer {\n  required_plugins {\n" + strings.Join(entries, "\n") + "\n  }\n}\n"
}

func entryText(name, source, version string) string {
	return name + " = {\n source = \"" + source + "\"\n version = \"" + version + "\"\n}"
}

func uses(types ...string) string {
	var out strings.Builder
	for _, typ := range types {
		out.WriteString("source \"" + typ + "\" \"a\" {}\n")
	}
	return out.String()
}

// find is where a builder comes from; empty when there is none.
func find(p *Provider, name string) string {
	if b, ok := p.Builder(name).(*fakeBuilder); ok {
		return b.from
	}
	return ""
}

const (
	docker = "github.com/hashicorp/docker"
	acme   = "github.com/acme/probe"
)

// Ensure where components come from: Packer's own are built in, required plugins go
// by their local names, the rest is what is installed.
func TestWhereComponentsComeFrom(t *testing.T) {
	for _, c := range []struct {
		name, template string
		prefer         []string
		lock           string
		want           map[string]string
	}{
		{name: "nothing required", want: map[string]string{
			"docker": "native:docker", "null": "native:null", "probe-b": "github.com/zeta/probe@3.0.0:b",
			"probe": "github.com/zeta/probe@3.0.0:" + store.DefaultComponent, "probe-c": "", "none": "",
		}},
		{name: "required", template: required(entryText("probe", acme, "~> 1.0")), want: map[string]string{
			"probe-b": acme + "@1.5.0:b", "probe": acme + "@1.5.0:" + store.DefaultComponent,
		}},
		{name: "renamed", template: required(entryText("foo", acme, "< 1.5")), want: map[string]string{
			"foo-b": acme + "@1.0.0:b", "foo": acme + "@1.0.0:" + store.DefaultComponent, "probe-b": "github.com/zeta/probe@3.0.0:b", "food": "",
		}},
		{name: "built in", template: required(entryText("docker", docker, ">= 1")) + uses("docker"), want: map[string]string{"docker": "native:docker"}},
		{name: "built in under another name", template: required(entryText("box", docker, ">= 1")) + uses("box"), want: map[string]string{
			"box": "native:docker", "docker": "native:docker", "boxes": "",
		}},
		{name: "preferred", template: required(entryText("box", docker, ">= 1")), prefer: []string{"box"}, want: map[string]string{
			"box": docker + "@1.1.0:" + store.DefaultComponent, "box-b": docker + "@1.1.0:b", "docker": "native:docker",
		}},
		{name: "preferred by the template", template: "packer {\n prefer_plugin = [\"docker\"]\n}\n" + required(entryText("docker", docker, ">= 1")), want: map[string]string{
			"docker": docker + "@1.1.0:" + store.DefaultComponent,
		}},
		{name: "preferred without being required", prefer: []string{"docker"}, want: map[string]string{"docker": docker + "@1.1.0:" + store.DefaultComponent}},
		{name: "partly built in", template: required(entryText("docker", docker, ">= 1")) + uses("docker", "docker-b"), want: map[string]string{
			"docker": "native:docker", "docker-b": docker + "@1.1.0:b",
		}},
		{name: "somebody else's", template: required(entryText("docker", "github.com/acme/docker", ">= 1")), want: map[string]string{
			"docker": "github.com/acme/docker@1.0.0:" + store.DefaultComponent,
		}},
		{name: "Packer's own", template: required(entryText("null", acme, ">= 1")), want: map[string]string{"null": "native:null", "null-b": acme + "@1.5.0:b"}},
		{name: "the longest name first", template: required(entryText("probe", acme, "= 1.0.0"), entryText("probe-b", acme, "= 1.5.0")), want: map[string]string{
			"probe-b": acme + "@1.5.0:" + store.DefaultComponent, "probe": acme + "@1.0.0:" + store.DefaultComponent,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.Prefer = c.prefer
			for _, p := range [][2]string{{acme, "1.0.0"}, {acme, "1.5.0"}, {"github.com/zeta/probe", "3.0.0"}, {docker, "1.1.0"}, {"github.com/acme/docker", "1.0.0"}} {
				r.put(p[0], p[1], store.DefaultComponent, "b")
			}
			if c.name != "somebody else's" {
				if err := os.RemoveAll(filepath.Join(r.Store.Dir, "github.com/acme/docker")); err != nil {
					t.Fatal(err)
				}
			}
			resolver := New(t.Context(), r.Input)
			p, _, diags := resolver.Resolve(load(t, c.template))
			if diags.HasErrors() {
				t.Fatal(diags.Err())
			}
			for name, want := range c.want {
				if got := find(p, name); got != want {
					t.Errorf("%s is from %q, want %q", name, got, want)
				}
			}
			if err := resolver.Close(); err != nil {
				t.Fatal(err)
			}
			if r.closed != r.opened {
				t.Errorf("%d of %d plugins were closed", r.closed, r.opened)
			}
		})
	}
}

// Ensure that only plugins whose names a used component starts with are run, once, and
// that many sources of one plugin do not run it again.
func TestW48OnlyWhatIsUsedIsRun(t *testing.T) {
	r := newRig(t)
	for _, source := range []string{acme, "github.com/acme/other", "github.com/acme/third", docker} {
		r.put(source, "1.0.0", "b")
	}
	tmpl := load(t, required(entryText("probe", acme, ">= 1"), entryText("other", "github.com/acme/other", ">= 1"))+uses("probe-b"))
	for range 2 {
		resolver := New(t.Context(), r.Input)
		p, _, diags := resolver.Resolve(tmpl)
		if diags.HasErrors() || r.started() > 1 {
			t.Fatalf("%v, %d plugins were run", diags.Err(), r.started())
		}
		for range 200 {
			if find(p, "probe-b") == "" || p.Builder("docker") == nil {
				t.Fatal("a component was not found")
			}
		}
		if err := resolver.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if r.started() != 1 {
		t.Errorf("%d plugins were run, want 1", r.started())
	}
}

// Ensure what is said about required plugins that are missing or do not fit.
func TestMissing(t *testing.T) {
	for _, c := range []struct {
		name, template, lock string
		releases             bool
		want                 []string
	}{
		{"not installed", required(entryText("gone", "github.com/acme/gone", ">= 2")), "", false, []string{"github.com/acme/gone, version >= 2, is not installed", `Run "ingot init ."`}},
		{"other version", required(entryText("probe", acme, ">= 2")), "", false, []string{"version >= 2", "_v1.0.0_x5.0_", "its version is not >= 2"}},
		{"pre-release", required(entryText("probe", acme, "= 1.1.0")), "", true, []string{"1.1.0-dev is a pre-release"}},
		{"locked version", required(entryText("probe", acme, ">= 1")), `plugin "` + acme + "\" {\n version = \"1.2.0\"\n}\n", false, []string{"version 1.2.0 as locked", "another version, 1.2.0, is wanted"}},
		{"lock that does not fit", required(entryText("probe", acme, "< 1.2")), `plugin "` + acme + "\" {\n version = \"1.2.0\"\n}\n", false, []string{"Lock file does not fit", "ingot.lock.hcl:1 has 1.2.0"}},
		{"not all is built in", required(entryText("puppet", "github.com/hashicorp/puppet", ">= 1")) + "provisioners \"x\" {\n provisioner \"puppet-server\" {}\n}\n", "", false, []string{"github.com/hashicorp/puppet", "is not installed"}},
		{"unknown preference", "packer {\n prefer_plugin = [\"x\"]\n}\n", "", false, []string{`There is no required plugin "x"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.ReleasesOnly = c.releases
			r.put(acme, "1.0.0", "b")
			r.put(acme, "1.1.0-dev", "b")
			if c.lock != "" {
				r.lock(c.lock)
			}
			p, _, diags := New(t.Context(), r.Input).Resolve(load(t, c.template))
			if !diags.HasErrors() || diags[0].Subject == nil {
				t.Fatalf("got %v", diags)
			}
			for _, want := range c.want {
				if !strings.Contains(diags.Err().Error(), want) {
					t.Errorf("%q is missing in %s", want, diags.Err())
				}
			}
			if r.started() != 0 {
				t.Error("a plugin was run")
			}
			if more, handled := p.Explain("builder", "gone-b", hcl.Range{}); c.name == "not installed" && (!handled || more != nil) {
				t.Errorf("said again: %v", more)
			}
		})
	}
}

// Ensure that a plugin with another content than the locked one is not run, and what is
// said then.
func TestLockedContent(t *testing.T) {
	for _, discovered := range []bool{false, true} {
		r := newRig(t)
		path := r.put(acme, "1.0.0", "b")
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := func(digest string) string {
			return `plugin "` + acme + "\" {\n version = \"1.0.0\"\n programs = {\n " + store.Here().String() + " = \"sha256:" + digest + "\"\n }\n}\n"
		}
		tmpl := load(t, required(entryText("probe", acme, ">= 1")))
		if discovered {
			tmpl = load(t, "")
		}
		r.lock(text(strings.Repeat("0", 64)))
		p, _, diags := New(t.Context(), r.Input).Resolve(tmpl)
		if diags.HasErrors() || find(p, "probe-b") != "" || r.started() != 0 {
			t.Fatalf("%v, %d were run", diags, r.started())
		}
		diags, handled := p.Explain("builder", "probe-b", hcl.Range{Filename: "x", Start: hcl.InitialPos})
		if !handled || !diags.HasErrors() || diags[0].Summary != "Plugin does not match the lock file" {
			t.Fatalf("got %v", diags)
		}
		for _, want := range []string{path, plugintest.Digest(content), strings.Repeat("0", 64), "ingot.lock.hcl:1", "ingot init ."} {
			if !strings.Contains(diags.Err().Error(), want) {
				t.Errorf("%q is missing in %s", want, diags.Err())
			}
		}
		r.lock(text(plugintest.Digest(content)))
		p, _, diags = New(t.Context(), r.Input).Resolve(tmpl)
		if diags.HasErrors() || find(p, "probe-b") == "" {
			t.Errorf("%v", diags)
		}
		r.lock(`plugin "` + acme + "\" {\n version = \"1.0.0\"\n}\n")
		p, _, _ = New(t.Context(), r.Input).Resolve(tmpl)
		if find(p, "probe-b") != "" {
			t.Error("a plugin without a locked checksum was used")
		}
		if diags, _ := p.Explain("builder", "probe-b", hcl.Range{}); !strings.Contains(diags.Err().Error(), "no checksum for "+store.Here().String()) {
			t.Errorf("got %v", diags.Err())
		}
	}
}

// Ensure what is said of components that a plugin does not have, and of plugins that
// cannot be believed.
func TestExplain(t *testing.T) {
	r := newRig(t)
	r.put(acme, "1.0.0", "build")
	broken := r.put("github.com/acme/broken", "1.0.0", "b")
	if err := os.WriteFile(broken+store.SumSuffix, []byte(strings.Repeat("0", 64)), 0o644); err != nil {
		t.Fatal(err)
	}
	tmpl := load(t, required(entryText("foo", acme, ">= 1"), entryText("bad", "github.com/acme/broken", ">= 1")))
	p, _, diags := New(t.Context(), r.Input).Resolve(tmpl)
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	for _, c := range []struct{ name, summary, detail string }{
		{"foo-biuld", "Unknown builder", `Did you mean "foo-build"`},
		{"probe-x", "Unknown builder", "probe-build"},
		{"bad-b", "Plugin cannot be used", "does not have the checksum"},
		{"broken-b", "Plugin cannot be used", "does not have the checksum"},
	} {
		if find(p, c.name) != "" {
			t.Errorf("%s was found", c.name)
		}
		diags, handled := p.Explain("builder", c.name, hcl.Range{})
		if !handled || diags[0].Summary != c.summary || !strings.Contains(diags[0].Detail, c.detail) {
			t.Errorf("%s: %v", c.name, diags)
		}
	}
	if diags, handled := p.Explain("builder", "nobody", hcl.Range{}); handled {
		t.Errorf("got %v", diags)
	}
	if m := p.Manifest(); !slices.Contains(m.Builders, "foo-build") || !slices.Contains(m.Builders, "docker") {
		t.Errorf("got %v", m)
	}
}

// Ensure that without a place for plugins what is built in works all the same.
func TestNoPlaceForPlugins(t *testing.T) {
	r := newRig(t)
	r.Store, r.NoStore = nil, context.DeadlineExceeded
	tmpl := load(t, required(entryText("docker", docker, ">= 1"))+uses("docker"))
	p, choices, diags := New(t.Context(), r.Input).Resolve(tmpl)
	if diags.HasErrors() || find(p, "docker") != "native:docker" || find(p, "x") != "" || choices[0].Use != Native {
		t.Errorf("%v, %v", diags, choices)
	}
	_, _, diags = New(t.Context(), r.Input).Resolve(load(t, required(entryText("probe", acme, ">= 1"))))
	if !diags.HasErrors() || !strings.Contains(diags.Err().Error(), context.DeadlineExceeded.Error()) {
		t.Errorf("got %v", diags)
	}
}

// Ensure that a plugin is told what the template uses of it, so that all of that can be
// started side by side.
func TestUses(t *testing.T) {
	r := newRig(t)
	r.put(acme, "1.0.0", store.DefaultComponent, "b", "c", "d")
	tmpl := load(t, required(entryText("foo", acme, ">= 1"))+`
source "foo-b" "x" {}
source "foo-b" "y" {}
source "foo" "x" {}
source "foo-none" "x" {}
source "food" "x" {}
provisioners "g" {
  provisioner "foo-c" {}
  provisioner "shell" {}
}
build {
  sources = ["foo-b.x"]
  dynamic "provisioner" {
    for_each = ["a"]
    labels   = ["foo-d"]
    content {}
  }
  post-processors {
    post-processor "foo-d" {}
  }
}
`)
	p, _, diags := New(t.Context(), r.Input).Resolve(tmpl)
	if diags.HasErrors() || find(p, "foo-b") == "" {
		t.Fatal(diags.Err())
	}
	want := []Component{
		{"builder", "b"}, {"builder", store.DefaultComponent}, {"provisioner", "c"}, {"provisioner", "d"}, {"post-processor", "d"},
	}
	for _, list := range [][]Component{r.uses, want} {
		slices.SortFunc(list, func(a, b Component) int { return strings.Compare(a.Kind+a.Name, b.Kind+b.Name) })
	}
	if !slices.Equal(r.uses, want) {
		t.Errorf("got %v, want %v", r.uses, want)
	}
}
