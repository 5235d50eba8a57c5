// Package legacy reads templates in Packer's old JSON form into a typed view.
// It evaluates nothing: values stay the JSON that was written, with its place.
// Package template makes the model of it that all templates have, package
// legacy/upgrade writes it as HCL.
package legacy

import (
	"github.com/hashicorp/hcl/v2"

	"ingot/internal/addr"
	"ingot/internal/legacy/jsondoc"
)

// Template is what a legacy template declares, in the order of the file.
type Template struct {
	// Root is the whole document.
	Root *jsondoc.Node
	// MinVersion is min_packer_version, a string; nil when not set.
	MinVersion *jsondoc.Node
	// Description is plain text, never a template text; empty when not set.
	Description string
	// Comments are the entries of comments, and the root keys that start
	// with an underscore.
	Comments  []Comment
	Variables []*Variable
	// Sensitive are the strings of sensitive-variables, also those that
	// name no declared variable.
	Sensitive []*jsondoc.Node
	Builders  []*Builder
	// Provisioners are of the kind addr.Provisioner.
	Provisioners []*Step
	// ErrorCleanup is of the kind addr.ErrorCleanup; nil when not set.
	ErrorCleanup *Step
	// Chains are the chains of post-processors. One that is written
	// without a list is a chain of its own. No chain is empty.
	Chains [][]*Step
}

// Comment is a text with a name that has no effect.
type Comment struct {
	// Name is the root key, or the key of the entry of comments.
	Name, Text string
	Range      hcl.Range
}

// Variable is one entry of variables.
type Variable struct {
	Name      string
	NameRange hcl.Range
	// Default is a string, which may hold actions; nil when the variable
	// has to be set.
	Default *jsondoc.Node
	// Sensitive is set when the name is in sensitive-variables.
	Sensitive bool
}

// Builder is one element of builders.
type Builder struct {
	Type      string
	TypeRange hcl.Range
	// Name is the name as it is written, or the type. It may hold actions.
	// It is what only, except and override of the steps mean.
	Name string
	// NameNode is the string of the name; nil when not set.
	NameNode *jsondoc.Node
	// Config is the object without type and name. Its members are those
	// of Node.
	Config *jsondoc.Node
	Node   *jsondoc.Node
}

// Step is a provisioner or a post-processor.
type Step struct {
	Kind      addr.StepKind
	Type      string
	TypeRange hcl.Range
	// Meta are the arguments that are not the component's own: of a
	// provisioner only, except, override, pause_before, timeout and
	// max_retries, of a post-processor name, keep_input_artifact, only and
	// except. Their kinds were checked: only and except are arrays of
	// strings, override is an object of objects, name a string, durations
	// are strings or numbers of nanoseconds, max_retries is a string or a
	// number, keep_input_artifact a string or a bool.
	Meta []jsondoc.Member
	// Config is the object without type and Meta, empty for a
	// post-processor that is written as a string. Its members are those of
	// Node.
	Config *jsondoc.Node
	Node   *jsondoc.Node
}

// Get returns a meta-argument, nil when it is not set.
func (s *Step) Get(name string) *jsondoc.Node {
	for _, m := range s.Meta {
		if m.Name == name {
			return m.Value
		}
	}
	return nil
}

// Builder returns the builder of a name as it is written, or nil.
func (t *Template) Builder(name string) *Builder {
	for _, b := range t.Builders {
		if b.Name == name {
			return b
		}
	}
	return nil
}

// Variable returns the variable of a name, or nil.
func (t *Template) Variable(name string) *Variable {
	for _, v := range t.Variables {
		if v.Name == name {
			return v
		}
	}
	return nil
}
