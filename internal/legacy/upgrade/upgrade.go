// Package upgrade writes a legacy JSON template as HCL2. What it writes uses
// only what Packer 1.16 has too.
package upgrade

import (
	"sort"
	"strings"

	"github.com/hashicorp/go-version"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"

	"ingot/internal/diag"
	"ingot/internal/legacy"
)

// Options say how a template is written.
type Options struct {
	// Annotations adds comments that explain the sections.
	Annotations bool
}

// HCL converts a template that legacy.Read found no errors in. The text is
// formatted and can be parsed; it is nil when the list has errors. Warnings
// are about what whoever uses the template has to know, such as names that
// had to change.
func HCL(t *legacy.Template, o Options) ([]byte, diag.List) {
	u := &upgrader{t: t, annotate: o.Annotations, plugins: map[string]plugin{}, taken: map[string]bool{}}
	u.nameBuilders()
	u.nameVariables()
	u.readDefaults()

	// Sources and builds come first, since they find out which variables
	// and plugins there have to be.
	sources := u.sources()
	build := u.build()
	variables, locals := u.variableBlocks(), u.locals()

	var out writer
	u.head(&out)
	u.packerBlock(&out)
	u.section(&out, "Variables. A value can be given with -var, a -var-file or PKR_VAR_name.", variables)
	u.section(&out, "Locals are computed from variables and functions.", locals)
	u.section(&out, "Sources say which machines are started. A build uses them.", sources)
	u.section(&out, "The build runs the provisioners on every source and the post-processors on\nwhat comes of it.", build)
	u.diags = u.diags.Sort()
	if u.diags.HasErrors() {
		return nil, u.diags
	}
	text := hclwrite.Format([]byte(out.String()))
	if _, diags := hclsyntax.ParseConfig(text, "converted", hcl.InitialPos); diags.HasErrors() {
		return nil, append(u.diags, diag.Errorf("Cannot convert the template",
			"What it was converted to is not valid HCL: %s. This is a mistake of Ingot's; please report it with the template.", diags.Error())...)
	}
	return text, u.diags
}

// upgrader converts one template.
type upgrader struct {
	t        *legacy.Template
	annotate bool
	builders []*builder
	// variables are those of the template, and then those that it uses
	// without declaring them.
	variables []*variable
	// taken are the names that variables have in HCL.
	taken map[string]bool
	// fromEnv are the variables that hold the environment for locals.
	fromEnv []environmentVar
	// timestampName is the local with the start of the run.
	timestampName string
	usesTimestamp bool
	plugins       map[string]plugin
	// needsLocal is set when a default turns out to need more than a
	// default can have, keptActions when an action stays in a string.
	needsLocal, keptActions bool
	// conversions counts the actions that HCL has something for.
	conversions int
	diags       diag.List
}

func (u *upgrader) report(l diag.List) { u.diags = append(u.diags, l...) }

// head writes what the template says about itself.
func (u *upgrader) head(out *writer) {
	if u.annotate {
		out.comment("Converted from a legacy JSON template. The name of a build is now TYPE.NAME,\nwhich is what -only and -except take.")
		out.blank()
	}
	for _, c := range u.t.Comments {
		text := c.Text
		if name := strings.Trim(c.Name, "_"); name != "" && name != "comment" {
			text = name + ": " + text
		}
		out.comment(text)
	}
	out.blank()
}

// packerBlock writes the version and the plugins that the template needs.
func (u *upgrader) packerBlock(out *writer) {
	required := ""
	if v := u.t.MinVersion; v != nil && v.Text != "" {
		if _, err := version.NewVersion(v.Text); err != nil {
			u.report(diag.In(v.Range, "Invalid version", "min_packer_version: %s.", err))
			return
		}
		required = ">= " + v.Text
	}
	if required == "" && len(u.plugins) == 0 {
		return
	}
	if u.annotate {
		out.comment("The version of Packer and the plugins that the template needs.")
	}
	out.line("packer {")
	if required != "" {
		out.line("required_version = " + quote(required))
	}
	if len(u.plugins) > 0 {
		out.line("required_plugins {")
		names := make([]string, 0, len(u.plugins))
		for name := range u.plugins {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			out.line(name + " = {")
			out.line("source = " + quote(u.plugins[name].source))
			out.line("version = " + quote("~> 1"))
			out.line("}")
		}
		out.line("}")
	}
	out.line("}")
	out.blank()
}

// section writes blocks under a comment.
func (u *upgrader) section(out *writer, about, blocks string) {
	if blocks == "" {
		return
	}
	if u.annotate {
		out.comment(about)
		out.blank()
	}
	out.text = append(out.text, blocks...)
	out.blank()
}
