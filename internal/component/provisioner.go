package component

import (
	"context"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/diag"
)

// Provisioner changes a running machine.
type Provisioner interface {
	// Schema describes the configuration. It always returns the same value.
	Schema() Schema

	// Plan checks a configuration and returns the step that it describes.
	// The same promises as for Builder.Plan hold. Plan may read local
	// files that the configuration names, to check that they exist.
	Plan(ctx context.Context, cfg cty.Value) (Step, diag.List)
}

// Step is one provisioner with its configuration.
type Step interface {
	// Apply does the work. It may be called again after a failure
	// (max_retries) and must then start from the beginning. It leaves
	// nothing of its own on the machine, even when it fails, unless the
	// configuration asks for that. Retry, time-out, pause and
	// continue_on_error are not its business.
	Apply(ctx context.Context, t Target) error
}

// Target is what a Step works on.
type Target struct {
	Run
	// Comm reaches the machine.
	Comm Communicator
	// HTTPAddr is host:port of the builder's HTTP server as the machine
	// sees it, empty when there is none.
	HTTPAddr string
	// Facts are the values of the machine, which templates see as build.*.
	Facts map[string]cty.Value
}

// PostProcessor turns an artifact into another one, or does something with it.
type PostProcessor interface {
	// Schema describes the configuration. It always returns the same value.
	Schema() Schema

	// Plan checks a configuration; the promises of Provisioner.Plan hold.
	Plan(ctx context.Context, cfg cty.Value) (Transform, diag.List)
}

// Transform is one post-processor with its configuration.
type Transform interface {
	// Process makes the outgoing artifact. It never deletes or changes the
	// incoming one: that is the engine's decision, by InputUse and the
	// user's keep_input_artifact, after everything has succeeded. A nil
	// artifact ends the chain. On error what it made is released.
	Process(ctx context.Context, r Run, in *Artifact) (*Artifact, InputUse, error)
}

// InputUse says what becomes of a post-processor's input when the user has
// not said.
type InputUse uint8

// The uses.
const (
	// Consumes: the output replaces the input, which is destroyed unless
	// keep_input_artifact is true.
	Consumes InputUse = iota + 1
	// Keeps: the input stays unless keep_input_artifact is false.
	Keeps
	// Requires: the input stays, whatever the user says, because the
	// output is the input or refers to it.
	Requires
)

// DataSource reads something from outside into the template.
type DataSource interface {
	// Schema describes the configuration. It always returns the same value.
	Schema() Schema
	// Result is the type of what Read returns.
	Result() cty.Type
	// Read fetches the data. The value has the type Result.
	Read(ctx context.Context, cfg cty.Value) (cty.Value, diag.List)
}

// Provider is a set of components: the built-in ones, a plugin process, or a
// test double. A method returns nil for a name it does not have.
type Provider interface {
	// Manifest lists what the provider has, each list sorted.
	Manifest() Manifest
	Builder(name string) Builder
	Provisioner(name string) Provisioner
	PostProcessor(name string) PostProcessor
	DataSource(name string) DataSource
	// Close ends what the provider started.
	Close() error
}

// Loader is implemented by a component that has to be fetched before its Schema can be
// asked for, as one of a plugin. Load is called before any other method, and may be
// called again. Its error says why the component cannot be used.
type Loader interface {
	Load(ctx context.Context) error
}

// Manifest is the names of a provider's components.
type Manifest struct {
	Builders, Provisioners, PostProcessors, DataSources []string
}
