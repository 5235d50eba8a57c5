package compat_test

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"ingot/internal/lang/funcs"
)

// languageBlocks are the blocks of the language with their arguments, each as
// BLOCK or BLOCK.ARGUMENT.
var languageBlocks = []string{
	"packer", "packer.required_version", "required_plugins",
	"variable", "variable.description", "variable.type", "variable.default", "variable.sensitive",
	"validation", "validation.condition", "validation.error_message",
	"variables", "locals", "local", "local.expression", "local.sensitive",
	"source", "data", "communicator", "hcp_packer_registry",
	"build", "build.name", "build.description", "build.sources", "from",
	"provisioner", "provisioner.only", "provisioner.except", "provisioner.override", "provisioner.pause_before",
	"provisioner.timeout", "provisioner.max_retries", "provisioner.continue_on_error", "provisioner.name",
	"error-cleanup-provisioner", "error-cleanup-provisioner.only", "error-cleanup-provisioner.timeout",
	"post-processor", "post-processor.name", "post-processor.only", "post-processor.except", "post-processor.keep_input_artifact",
	"post-processors",
	"dynamic", "dynamic.for_each", "dynamic.iterator", "dynamic.labels", "content",
}

// accessors are the roots of references, with their attributes where those
// are fixed.
var accessors = []string{
	"var", "local", "data", "path.cwd", "path.root", "packer.version", "source.type", "source.name",
	"build.name", "build.ID", "build.PackerRunUUID",
}

// components are what the description says that Packer has built in, with the
// components of its docker plugin.
var components = []string{
	"source docker", "source file", "source null", "data http", "data null",
	"provisioner breakpoint", "provisioner file", "provisioner shell", "provisioner shell-local", "provisioner sleep",
	"post-processor artifice", "post-processor checksum", "post-processor compress", "post-processor docker-import",
	"post-processor docker-push", "post-processor docker-save", "post-processor docker-tag", "post-processor manifest",
	"post-processor shell-local",
}

// legacyKeys are the keys of legacy JSON templates.
var legacyKeys = []string{
	"min_packer_version", "description", "variables", "sensitive-variables", "builders", "provisioners",
	"error-cleanup-provisioner", "post-processors", "comments", "push",
	"builders.type", "builders.name", "provisioners.type", "provisioners.only", "provisioners.except",
	"provisioners.override", "provisioners.pause_before", "provisioners.max_retries", "provisioners.timeout",
	"post-processors.type", "post-processors.name", "post-processors.only", "post-processors.keep_input_artifact",
}

// templateCalls are the calls of the engine that renders texts of components.
var templateCalls = []string{
	"build_name", "build_type", "build", "user", "env", "isotime", "strftime", "timestamp", "uuid", "pwd",
	"template_dir", "packer_version", "split", "upper", "lower", "replace", "replace_all",
	"consul_key", "vault", "aws_secretsmanager", "aws_secretsmanager_raw", "sed", "clean_resource_name",
}

// diagnosticRows are the situations of the description's table of typical
// diagnostics. The last one, about several build blocks with HCP Packer, is
// not among them: there is no HCP Packer here.
var diagnosticRows = []string{
	"required_version unmet",
	"plugin missing for required_plugins",
	"unknown source/builder/provisioner/PP/DS type",
	"unset variable",
	"failed validation",
	"undeclared -var",
	"undeclared in var file",
	"duplicate block",
	"cycle in locals/data",
	"only+except both set",
	"-only/-except unmatched",
}

// templateFlags are the flags of every command that takes a template.
var templateFlags = []string{"-only", "-except", "-var", "-var-file", "-config-type", "-evaluate-datasources"}

// TestCoverage fails when some part of the language is in no case.
func TestCoverage(t *testing.T) {
	seen := seenBy(readCorpus(t))
	functions := slices.Collect(maps.Keys(funcs.Table(funcs.Env{})))
	functions = append(functions, slices.Collect(maps.Keys(funcs.VariableDefaults(nil)))...)
	for _, x := range []struct {
		what string
		want []string
		seen set
	}{
		{"function", functions, seen.functions},
		{"block or argument", languageBlocks, seen.blocks},
		{"component", components, seen.blocks},
		{"accessor", accessors, seen.accessors},
		{"key of legacy templates", legacyKeys, seen.keys},
		{"template call", templateCalls, seen.calls},
		{"class of diagnostics", diagnosticRows, seen.rows},
		{"flag", templateFlags, seen.flags},
	} {
		slices.Sort(x.want)
		for _, name := range x.want {
			if !x.seen[name] {
				t.Errorf("no template of the corpus has the %s %q", x.what, name)
			}
		}
	}
	for name := range seen.rows {
		if !slices.Contains(diagnosticRows, name) {
			t.Errorf("%q is not a class of diagnostics", name)
		}
	}
}

type set map[string]bool

// coverage is what the templates of the corpus have.
type coverage struct {
	functions, blocks, accessors, keys, calls, rows, flags set
}

func seenBy(cases []*corpusCase) *coverage {
	seen := &coverage{set{}, set{}, set{}, set{}, set{}, set{}, set{}}
	for _, c := range cases {
		for _, row := range c.rows {
			seen.rows[row] = true
		}
		for _, flag := range c.flags {
			name, _, _ := strings.Cut(flag, "=")
			seen.flags[name] = true
		}
		for _, f := range c.inputs() {
			seen.findCalls(string(f.Data))
			switch {
			case strings.HasSuffix(f.Name, ".pkr.hcl"):
				seen.native(f.Data)
			case filepath.Ext(f.Name) == ".json" && strings.HasPrefix(c.name, "legacy/"):
				seen.legacy(f.Data)
			}
		}
	}
	return seen
}

var templateCall = regexp.MustCompile(`\{\{[^}]*\}\}`)

func (seen *coverage) findCalls(text string) {
	for _, action := range templateCall.FindAllString(text, -1) {
		for _, word := range regexp.MustCompile(`[a-z_]+`).FindAllString(action, -1) {
			seen.calls[word] = true
		}
	}
}

// native looks at a file in native syntax. One that cannot be read proves a
// diagnostic and covers nothing.
func (seen *coverage) native(text []byte) {
	file, diags := hclsyntax.ParseConfig(text, "", hcl.InitialPos)
	if diags.HasErrors() {
		return
	}
	_ = hclsyntax.VisitAll(file.Body.(*hclsyntax.Body), func(node hclsyntax.Node) hcl.Diagnostics { // it reports only what the function reports
		switch n := node.(type) {
		case *hclsyntax.FunctionCallExpr:
			seen.functions[n.Name] = true
		case *hclsyntax.ScopeTraversalExpr:
			seen.accessor(n.Traversal)
		case *hclsyntax.Block:
			seen.blocks[n.Type] = true
			if len(n.Labels) > 0 {
				seen.blocks[n.Type+" "+n.Labels[0]] = true
			}
			for name := range n.Body.Attributes {
				seen.blocks[n.Type+"."+name] = true
			}
		}
		return nil
	})
}

func (seen *coverage) accessor(t hcl.Traversal) {
	seen.accessors[t.RootName()] = true
	if len(t) < 2 {
		return
	}
	if step, ok := t[1].(hcl.TraverseAttr); ok {
		seen.accessors[t.RootName()+"."+step.Name] = true
	}
}

func (seen *coverage) legacy(text []byte) {
	var root map[string]any
	if json.Unmarshal(text, &root) != nil {
		return
	}
	for key, value := range root {
		seen.keys[key] = true
		seen.members(key, value)
	}
}

func (seen *coverage) members(section string, value any) {
	switch v := value.(type) {
	case []any:
		for _, element := range v {
			seen.members(section, element)
		}
	case map[string]any:
		for key := range v {
			seen.keys[section+"."+key] = true
		}
	}
}
