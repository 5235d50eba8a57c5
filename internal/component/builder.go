package component

import (
	"context"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/diag"
)

// Builder makes machine images on one platform.
type Builder interface {
	// Schema describes the configuration. It always returns the same value.
	Schema() Schema

	// Plan checks a configuration of the schema's type and returns the job
	// that it describes. It has no side effect: no file is written, no
	// network is used, no process is started but that of the plugin that the
	// builder is part of. The Job is nil if and only if the list has errors.
	// Findings name their attribute by Path. PlanningOf tells what it is
	// planned for.
	Plan(ctx context.Context, cfg cty.Value) (Job, diag.List)
}

// Job is one image to be made. When a build is made again after a failure, Prepare
// is called once more, after all that the first attempt held has been released.
type Job interface {
	// Prepare makes what Boot needs: inputs, keys, networks, disks.
	Prepare(ctx context.Context, r Run) error

	// Boot starts the machine and returns as soon as its Endpoint can be
	// asked for; it does not wait for the machine to be reachable. With an
	// error it may return the machine too, so that it is looked at.
	Boot(ctx context.Context, r Run) (Machine, error)

	// Capture turns the provisioned machine into an artifact. A nil
	// artifact with a nil error means that there is none by design. What
	// belongs to the artifact has been kept (Lease.Keep) before it returns.
	Capture(ctx context.Context, r Run, m Machine) (*Artifact, error)
}

// Machine is what is being provisioned.
type Machine interface {
	// Facts are the values that templates see as build.*, such as ID. The
	// engine adds what it knows itself (Host, Port, User, ConnType, ...).
	Facts() map[string]cty.Value

	// Endpoint says how to reach the machine. It may be called repeatedly
	// while waiting and may answer differently, since addresses change. An
	// error that is retry.Transient means "not yet"; what of the endpoint is
	// known is returned beside it, so that the transport's dialer does the
	// waiting, within the time that the connection's settings allow.
	Endpoint(ctx context.Context) (Endpoint, error)
}

// SelfDialer is implemented by a machine that brings its own communicator,
// such as a container. Endpoint is then not asked.
type SelfDialer interface {
	Dial(ctx context.Context, r Run) (Communicator, error)
}

// Stopper is implemented by a machine that is shut down before it is captured.
// Stop is called once, after everything that runs on the machine has succeeded and
// while comm, the communicator of the provisioners, is still open. It is part of
// the capture: an error fails the build.
type Stopper interface {
	Stop(ctx context.Context, r Run, comm Communicator) error
}

// StepSealer is implemented by a machine that saves its state after each
// provisioner, such as one image layer per step. SealStep is called after a
// provisioner has succeeded and before the next one starts.
type StepSealer interface {
	SealStep(ctx context.Context, r Run, step StepInfo) error
}

// Diagnoser is implemented by a machine that can be looked at from outside, such
// as a virtual machine with a screen and a serial console. Diagnose is called
// when the machine could not be reached, while it still exists, and returns
// within seconds. What it saves goes below Run.ReportDir.
type Diagnoser interface {
	Diagnose(ctx context.Context, r Run) Diagnosis
}

// Diagnosis is what a machine shows.
type Diagnosis struct {
	// Console are the last lines that the machine printed, oldest first.
	Console []string
	// Saved are files that were written for the user.
	Saved []Saved
	// Errs say what could not be found out.
	Errs []error
}

// Saved is a file that explains a failure.
type Saved struct {
	// What it is, as a noun with its article: "the screen of the machine".
	What string
	Path string
}

// StepSkipper is implemented by a StepSealer that can be resumed. SkipStep is called
// for each provisioner that is not run, in order: what the machine was resumed from
// has its result, but it may have another name and place now.
type StepSkipper interface {
	SkipStep(step StepInfo)
}

// StepInfo tells a StepSealer which provisioner has just run.
type StepInfo struct {
	// Type and Name are the provisioner's type and label.
	Type, Name string
	// Index is its position among the provisioners that ran, from 0.
	Index int
	// Neutral says that it leaves nothing of its own on the machine. What was
	// resumed knows nothing of those (Inputs.Neutral).
	Neutral bool
}

// FactNames is implemented by a Job that knows at plan time which names its
// machine's Facts will have, so that build.TYPO is found by validate.
type FactNames interface {
	FactNames() []string
}

// DataNames is implemented by a Job that knows at plan time which names its
// artifact's Data will have beside the machine's facts. Only post-processors
// see their values.
type DataNames interface {
	DataNames() []string
}

// Preflighter is implemented by a Job that can check permissions, quotas and
// names before anything is made.
type Preflighter interface {
	Preflight(ctx context.Context, r Run) diag.List
}

// Bootable is implemented by a Job whose artifact can be started as a machine again,
// for tests.
type Bootable interface {
	// Unbootable says why the artifact cannot be started, as a clause such as "it
	// is a tar file without an image"; empty when it can.
	Unbootable() string

	// FromArtifact returns a job whose machine is made of the artifact and leaves
	// it as it is. It is prepared and booted, and never captured. The job that it
	// is asked of was prepared, unless the artifact is from an earlier run.
	FromArtifact(a *Artifact) (Job, error)
}
