package upgrade_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/builder/docker"
	filebuilder "ingot/internal/builder/file"
	nullbuilder "ingot/internal/builder/null"
	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/legacy"
	"ingot/internal/legacy/jsondoc"
	"ingot/internal/postproc/artifice"
	"ingot/internal/postproc/checksum"
	"ingot/internal/postproc/compress"
	"ingot/internal/postproc/dockerimport"
	"ingot/internal/postproc/dockerpush"
	"ingot/internal/postproc/dockersave"
	"ingot/internal/postproc/dockertag"
	"ingot/internal/postproc/manifest"
	localpost "ingot/internal/postproc/shelllocal"
	"ingot/internal/provision/breakpoint"
	fileprov "ingot/internal/provision/file"
	"ingot/internal/provision/shell"
	"ingot/internal/provision/shelllocal"
	"ingot/internal/provision/sleep"
)

// provider has the components of this module; doubles of those whose settings
// are listed in testdata/settings, with these settings; and permissive doubles
// of everything else that a sample uses, which have the settings that the
// sample gives them.
type provider struct{ sample *legacy.Template }

func (p provider) Manifest() component.Manifest {
	m := component.Manifest{
		Builders:     []string{"docker", "file", "null"},
		Provisioners: []string{"breakpoint", "file", "shell", "shell-local", "sleep"},
		PostProcessors: []string{"artifice", "checksum", "compress", "manifest", "shell-local",
			"docker-import", "docker-push", "docker-save", "docker-tag"},
	}
	for _, b := range p.sample.Builders {
		m.Builders = append(m.Builders, b.Type)
	}
	for _, s := range p.sample.Provisioners {
		m.Provisioners = append(m.Provisioners, s.Type)
	}
	for _, chain := range p.sample.Chains {
		for _, s := range chain {
			m.PostProcessors = append(m.PostProcessors, s.Type)
		}
	}
	return m
}

func (p provider) Close() error { return nil }

func (p provider) DataSource(string) component.DataSource { return nil }

func (p provider) Builder(name string) component.Builder {
	switch name {
	case "docker":
		return docker.New()
	case "file":
		return filebuilder.New()
	case "null":
		return nullbuilder.New()
	}
	var configs []*jsondoc.Node
	for _, b := range p.sample.Builders {
		if b.Type == name {
			configs = append(configs, b.Config)
		}
	}
	if configs == nil {
		return nil
	}
	return double{schemaOf(name, configs)}
}

func (p provider) Provisioner(name string) component.Provisioner {
	switch name {
	case "breakpoint":
		return breakpoint.New()
	case "file":
		return fileprov.New()
	case "shell":
		return shell.New()
	case "shell-local":
		return shelllocal.New()
	case "sleep":
		return sleep.New()
	}
	if configs := configsOf(p.sample.Provisioners, name); configs != nil {
		return doubleStep{schemaOf(name, configs)}
	}
	return nil
}

func (p provider) PostProcessor(name string) component.PostProcessor {
	switch name {
	case "artifice":
		return artifice.New()
	case "checksum":
		return checksum.New()
	case "compress":
		return compress.New()
	case "manifest":
		return manifest.New()
	case "shell-local":
		return localpost.New()
	case "docker-import":
		return dockerimport.New()
	case "docker-push":
		return dockerpush.New()
	case "docker-save":
		return dockersave.New()
	case "docker-tag":
		return dockertag.New()
	}
	var configs []*jsondoc.Node
	for _, chain := range p.sample.Chains {
		configs = append(configs, configsOf(chain, name)...)
	}
	if configs == nil {
		return nil
	}
	return doublePost{schemaOf(name+".post-processor", configs)}
}

func configsOf(steps []*legacy.Step, name string) (configs []*jsondoc.Node) {
	for _, s := range steps {
		if s.Type == name {
			configs = append(configs, s.Config)
		}
	}
	return configs
}

type double struct{ schema component.Schema }

func (d double) Schema() component.Schema { return d.schema }

func (d double) Plan(context.Context, cty.Value) (component.Job, diag.List) { return doubleJob{}, nil }

type doubleJob struct{ component.Job }

// FactNames are what the amazon builders know besides.
func (doubleJob) FactNames() []string { return []string{"SourceAMIName"} }

type doubleStep struct{ schema component.Schema }

func (d doubleStep) Schema() component.Schema { return d.schema }

func (d doubleStep) Plan(context.Context, cty.Value) (component.Step, diag.List) {
	return struct{ component.Step }{}, nil
}

type doublePost struct{ schema component.Schema }

func (d doublePost) Schema() component.Schema { return d.schema }

func (d doublePost) Plan(context.Context, cty.Value) (component.Transform, diag.List) {
	return struct{ component.Transform }{}, nil
}

// schemaOf is the schema of a component: the listed one, else one that has
// what the configurations use.
func schemaOf(name string, configs []*jsondoc.Node) component.Schema {
	if text, err := os.ReadFile(filepath.Join(testdata, "settings", name+".txt")); err == nil {
		return settle(listed(string(text)), configs)
	}
	return settle(inferred(configs), configs)
}

// settle makes those attributes late whose values have fields or functions of
// their component: the doubles could not render them.
func settle(s component.Schema, configs []*jsondoc.Node) component.Schema {
	late := map[string]bool{}
	for _, c := range configs {
		for _, m := range c.Members {
			m.Value.Walk(func(n *jsondoc.Node) {
				if strings.Contains(n.Text, "{{.") || strings.Contains(n.Text, "{{ .") || strings.Contains(n.Text, "clean_resource_name") {
					late[m.Name] = true
				}
			})
		}
	}
	for i := range s.Attributes {
		s.Attributes[i].Late = late[s.Attributes[i].Name]
	}
	return s
}

// inferred is a schema that the configurations keep to.
func inferred(configs []*jsondoc.Node) component.Schema {
	var s component.Schema
	seen := map[string]bool{}
	for _, c := range configs {
		for _, m := range c.Members {
			if seen[m.Name] || m.Value.Is(jsondoc.Null) {
				continue
			}
			seen[m.Name] = true
			nested := objectsIn(m.Value)
			switch m.Name {
			case "tags", "include", "scopes", "extra_arguments", "ansible_env_vars", "inline", "environment_vars", "boot_command":
				s.Attributes = append(s.Attributes, attribute(m.Name, cty.List(cty.String)))
			case "metadata", "image_labels", "facter", "vmx_data":
				s.Attributes = append(s.Attributes, attribute(m.Name, cty.Map(cty.String)))
			case "override", "json":
				s.Attributes = append(s.Attributes, attribute(m.Name, cty.DynamicPseudoType))
			default:
				if nested == nil {
					s.Attributes = append(s.Attributes, attribute(m.Name, cty.DynamicPseudoType))
				} else {
					s.Blocks = append(s.Blocks, component.Block{Name: m.Name, Repeated: true, Schema: inferred(nested)})
				}
			}
		}
	}
	return s
}

func attribute(name string, t cty.Type) component.Attribute {
	return component.Attribute{Name: name, Type: t}
}

// objectsIn are the objects of a value that has to be written as blocks: it is
// a list of objects, or an object with objects in it.
func objectsIn(n *jsondoc.Node) []*jsondoc.Node {
	if n.Is(jsondoc.Array) {
		for _, e := range n.Elements {
			if !e.Is(jsondoc.Object) {
				return nil
			}
		}
		return n.Elements
	}
	for _, m := range n.Members {
		if m.Value.Is(jsondoc.Object) || m.Value.Is(jsondoc.Array) && len(m.Value.Elements) > 0 && objectsIn(m.Value) != nil {
			return []*jsondoc.Node{n}
		}
	}
	return nil
}

// listed reads a list of settings, "name = type" on each line.
func listed(text string) component.Schema {
	p := &settings{strings.NewReplacer("{", " { ", "}", " } ", "(", " ( ", ")", " ) ", "=", " = ").Replace(text) + " end"}
	return p.schema("end")
}

// settings is the text that is left of a list.
type settings struct{ rest string }

func (p *settings) next() string {
	word, rest, _ := strings.Cut(strings.TrimLeft(p.rest, " \n"), " ")
	if i := strings.IndexByte(word, '\n'); i >= 0 {
		word, rest = word[:i], word[i:]+" "+rest
	}
	p.rest = rest
	return word
}

func (p *settings) want(words ...string) {
	for _, w := range words {
		if got := p.next(); got != w {
			panic(fmt.Sprintf("got %q, want %q before %.40q", got, w, p.rest))
		}
	}
}

func (p *settings) schema(end string) component.Schema {
	var s component.Schema
	for name := p.next(); name != end; name = p.next() {
		p.want("=")
		switch kind := p.next(); kind {
		case "block", "blocklist":
			p.want("(", name, "req", "=", "false", "{")
			s.Blocks = append(s.Blocks, component.Block{Name: name, Repeated: kind == "blocklist", Schema: p.schema("}")})
			p.want(")")
		default:
			s.Attributes = append(s.Attributes, attribute(name, p.settingType(kind)))
		}
	}
	return s
}

func (p *settings) settingType(word string) cty.Type {
	switch word {
	case "String":
		return cty.String
	case "Number":
		return cty.Number
	case "Bool":
		return cty.Bool
	}
	p.want("(")
	element := p.settingType(p.next())
	p.want(")")
	if word == "map" {
		return cty.Map(element)
	}
	return cty.List(element)
}

func TestListedSettings(t *testing.T) {
	s := listed("a = String\nb = list(map(Number))\nc = blocklist(c req=false {d=Bool e=block(e req=false {f=String})})\n")
	if len(s.Attributes) != 2 || !s.Attributes[1].Type.Equals(cty.List(cty.Map(cty.Number))) {
		t.Errorf("attributes %v", s.Attributes)
	}
	if len(s.Blocks) != 1 || !s.Blocks[0].Repeated || s.Blocks[0].Schema.Blocks[0].Schema.Attributes[0].Name != "f" {
		t.Errorf("blocks %v", s.Blocks)
	}
}
