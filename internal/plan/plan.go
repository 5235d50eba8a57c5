// Package plan turns a template and its inputs into what will be done: an
// ordered list of builds, each with its job, its provisioners and its
// post-processor chains. validate, inspect and build share it. Planning has no
// side effect but reading data sources, and those only when asked for.
package plan

import (
	"context"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/gotmpl"
	"ingot/internal/lang"
)

// Plan is what a command will do.
type Plan struct {
	// Dir is the template's folder, which the names of its files start with.
	Dir string
	// Builds in the order of the template: build blocks in file order, and
	// within one the sources in order of use.
	Builds []*Build
}

// Build is one source used by one build block.
type Build struct {
	Addr        addr.Build
	Description string
	// Range is the build block, Use where it names the source.
	Range, Use hcl.Range
	// Job makes the image.
	Job component.Job
	// Source is the source block that is used: its type and name, and
	// Config what its configuration came to.
	Source addr.Source
	Config *lang.Config
	// Template is what "{{...}}" actions see; its Build part is filled in
	// by the engine once the machine is there.
	Template gotmpl.Vars
	// Provisioners in order, after only and except were applied.
	Provisioners []*Step
	// ErrorCleanup runs after a failed provisioner; nil when there is none.
	ErrorCleanup *Step
	// Chains are the post-processor chains that are left after only and
	// except; a chain that lost all its members is not among them.
	Chains []Chain
	// Tests are those that are left after only and except. They are run on the
	// artifact, before the chains.
	Tests []*Test
	// Retry says when the build is made again as a whole.
	Retry Retry
	// Needs are the builds whose artifacts this one uses, in the order of
	// the plan, which has them all. It can start when they have succeeded.
	Needs []addr.Build
	// Bind plans the build again with what the builds in Needs have ended
	// with, and the result is what is to run. It is nil when Needs is
	// empty. It may be called from several goroutines. The Build is of use
	// only when the list has no errors.
	Bind func(ctx context.Context, made Made) (*Build, diag.List)
}

// Made are the artifacts that builds have ended with.
type Made map[addr.Build][]*component.Artifact

// Test is provisioners that check the artifact of a build, on a machine of their own.
type Test struct {
	Name   string
	Range  hcl.Range
	Checks []*Step
}

// Step is a provisioner with its meta-arguments.
type Step struct {
	Addr  addr.Step
	Range hcl.Range
	// PauseBefore and Timeout are 0 when not set. Timeout does not count
	// the pause, and applies to each attempt.
	PauseBefore, Timeout time.Duration
	// MaxRetries is how many more attempts to make after a failed one.
	MaxRetries      int
	ContinueOnError bool
	// NoCache says that the result is never used again, and CacheTTL for how
	// long it is; 0 is without a limit.
	NoCache  bool
	CacheTTL time.Duration
	// UsesFacts says that the configuration depends on the machine (build.*).
	UsesFacts bool
	// UnknownMeta are the names of meta-arguments that depend on data sources
	// that were not read; the plan does without them.
	UnknownMeta []string
	// Config is the configuration as far as it is known while planning.
	Config *lang.Config
	// Planned is the step as far as it is known while planning, for showing
	// what it will do. What runs comes from Bind.
	Planned component.Step
	// Compare evaluates the configuration with a text in place of each value of
	// the machine, so that it can be compared with that of another run. It is nil
	// when the configuration cannot be evaluated so.
	Compare func(ctx context.Context) (*lang.Config, component.Step)
	// Bind evaluates the configuration with what is known of the machine
	// (build.*) and plans the step. During planning it has been called
	// with unknown facts, so that mistakes are found before anything runs.
	Bind func(ctx context.Context, facts map[string]cty.Value) (component.Step, diag.List)
}

// Chain is post-processors that run one after the other, each on the
// artifact of the one before.
type Chain []*PostStep

// PostStep is a post-processor with its meta-arguments.
type PostStep struct {
	Addr  addr.Step
	Range hcl.Range
	// KeepInput is keep_input_artifact; nil when the user did not say.
	KeepInput *bool
	// UnknownMeta is that of Step.
	UnknownMeta []string
	// Config is the configuration as far as it is known while planning.
	Config *lang.Config
	// Planned is the transform as far as it is known while planning, for
	// showing what it will do. What runs comes from Bind.
	Planned component.Transform
	// Compare is that of Step.
	Compare func(ctx context.Context) (*lang.Config, component.Transform)
	// Bind evaluates the configuration with the artifact's data (build.*)
	// and plans the transform.
	Bind func(ctx context.Context, facts map[string]cty.Value) (component.Transform, diag.List)
}
