// Package template reads template files into a typed model. It evaluates
// nothing: expressions and the bodies of sources, steps and data sources stay
// as they were written, with their place, for package lang and package plan.
package template

import (
	"github.com/hashicorp/go-version"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/addr"
)

// Template is everything that the files of one template declare.
type Template struct {
	// Dir is the template's directory as it was given on the command line:
	// what path.root shows.
	Dir string
	// Sources is the text of every file that was read, by the name that
	// ranges use, for showing findings.
	Sources map[string][]byte
	// AutoVarFiles are the *.auto.pkrvars.hcl and then the
	// *.auto.pkrvars.json files of the directory, in order of precedence,
	// lowest first; empty when a single file was loaded.
	AutoVarFiles []string

	RequiredPlugins []*RequiredPlugin
	// PreferPlugins are the plugins that are to be used although there is
	// something built in.
	PreferPlugins []*PreferredPlugin
	Variables     []*Variable
	Locals        []*Local
	Data          []*Data
	SourceBlocks  []*Source
	Builds        []*Build
	Modules       []*Module
	Groups        []*Group
	Outputs       []*Output

	// Legacy is set for a legacy JSON template.
	Legacy *Legacy

	// workDir is what relative paths start from; empty is the process's.
	workDir string
}

// RequiredPlugin is one entry of required_plugins.
type RequiredPlugin struct {
	// Accessor is the local name that component types start with.
	Accessor string
	// Address is the plugin's source address.
	Address addr.Plugin
	Version version.Constraints
	// Range is that of the local name.
	Range hcl.Range
}

// PreferredPlugin is one entry of prefer_plugin.
type PreferredPlugin struct {
	// Name is the local name of a required plugin.
	Name  string
	Range hcl.Range
}

// Variable is a variable block, or an entry of a variables block.
type Variable struct {
	Name        string
	Description string
	// Type is the declared type constraint, cty.NilType when there is none.
	Type cty.Type
	// Defaults fills in optional attributes; often nil.
	Defaults *typeexpr.Defaults
	// Default is nil when the variable has to be set.
	Default   hcl.Expression
	Sensitive bool
	// NotNull is nullable = false: null stands for the default.
	NotNull     bool
	Validations []*Validation
	Range       hcl.Range
}

// Validation is one rule for a variable's value.
type Validation struct {
	Condition hcl.Expression
	Message   string
	Range     hcl.Range
}

// Local is a local block, or an entry of a locals block.
type Local struct {
	Name      string
	Expr      hcl.Expression
	Sensitive bool
	Range     hcl.Range
}

// Data is a data block.
type Data struct {
	Type, Name string
	// ForEach is nil when not set; Body does not have it.
	ForEach   *hcl.Attribute
	Body      hcl.Body
	Range     hcl.Range
	TypeRange hcl.Range
}

// Source is a source block.
type Source struct {
	Addr addr.Source
	// ForEach is nil when not set; Body does not have it.
	ForEach   *hcl.Attribute
	Body      hcl.Body
	Range     hcl.Range
	TypeRange hcl.Range
}

// Build is a build block.
type Build struct {
	// Name, Description, Sources and ForEach are nil when not set.
	Name, Description, Sources, ForEach *hcl.Attribute
	// Matrix is nil when there is none.
	Matrix *Matrix
	// Content is what is in the block; nil while dynamic blocks have to be
	// expanded first, see Expand.
	Content *BuildContent
	// Nested says that there may be dynamic blocks inside sources and steps,
	// which can use more than those around them: see UseBody and StepBody.
	Nested bool
	Range  hcl.Range

	body hcl.Body
	// registryTold says that the warning about registries was given for an
	// earlier block.
	registryTold bool
}

// Module is a module block: another template whose sources, provisioner groups
// and outputs this one uses.
type Module struct {
	Name string
	// Source says where it is: a path that starts with "./" or "../" or is
	// absolute, or "git::URL".
	Source      string
	SourceRange hcl.Range
	// Args are the values of its variables.
	Args  hcl.Attributes
	Range hcl.Range
}

// Group is a provisioners block at the top of a template: provisioners that
// builds run by its name.
type Group struct {
	Name string
	// Steps is nil while dynamic blocks have to be expanded first, see
	// Expand.
	Steps []*Step
	Range hcl.Range

	body hcl.Body
}

// Output is an output block: a value that a module gives to who uses it.
type Output struct {
	Name      string
	Expr      hcl.Expression
	Sensitive bool
	Range     hcl.Range
}

// Matrix is the matrix block of a build.
type Matrix struct {
	// Axes are the lists of values, as they were written.
	Axes []*hcl.Attribute
	// Include and Exclude are nil when not set.
	Include, Exclude *hcl.Attribute
	Range            hcl.Range
}

// BuildContent is the blocks inside a build block.
type BuildContent struct {
	Uses         []*SourceUse
	Provisioners []*Step
	ErrorCleanup *Step
	Chains       [][]*Step
	// Retry is nil when there is no such block.
	Retry *Retry
	Tests []*Test
}

// Test is a block with provisioners that check an artifact.
type Test struct {
	Name string
	// NameRange is the label.
	NameRange hcl.Range
	// Meta has only and except.
	Meta   hcl.Attributes
	Checks []*Step
	Range  hcl.Range
}

// Retry is a block that says when a build is made again.
type Retry struct {
	Arguments hcl.Attributes
	Range     hcl.Range
}

// SourceUse is a source block inside a build block: a use of a source with
// additions.
type SourceUse struct {
	// Ref is the label, "T.N" or "source.T.N".
	Ref string
	// Source is the source when there is no need to look it up by Ref: in a
	// legacy template, where it is the builder itself.
	Source   *Source
	RefRange hcl.Range
	// Name is the local name, or nil.
	Name *hcl.Attribute
	// Body is the additional attributes.
	Body  hcl.Body
	Range hcl.Range

	ordinal int // among the uses of the build
}

// Step is a provisioner or post-processor block, or the use of a group of
// provisioners.
type Step struct {
	Kind addr.StepKind
	// Group says that Type is a reference to a Group, which runs here. Of
	// Meta, only and except can be set; the body is empty.
	Group     bool
	Type      string
	TypeRange hcl.Range
	// Meta are the meta-arguments that are set, such as only and timeout.
	Meta hcl.Attributes
	// Body is the component's own configuration.
	Body  hcl.Body
	Range hcl.Range

	ordinal int // among the steps of the build
}
