package component

import (
	"context"
	"errors"
)

// InputReader is implemented by a Step that knows what its result depends on
// besides its configuration. The result of one that does not is never used again.
// A Transform implements it when it reads files besides its artifact.
type InputReader interface {
	// Inputs is called before the step is applied, and has no side effect.
	Inputs() Inputs
}

// Inputs is what the result of a step depends on besides its configuration.
type Inputs struct {
	// Files are the files and folders on this computer that Apply reads. Names,
	// contents and modes count, times do not.
	Files []string
	// Volatile says why the result cannot be used again, as a clause such as "it
	// runs on this computer"; empty when it can.
	Volatile string
	// Neutral steps leave nothing of their own on the machine, such as a wait:
	// their configuration does not count, and there is nothing to save after them.
	Neutral bool
}

// Checkpointer is implemented by a Job whose machine can be saved after a step, if
// it is a Saver, and started again from there in place of Boot.
type Checkpointer interface {
	CheckpointHolder

	// BaseState says what the machine is before the first provisioner. It is called
	// after Prepare.
	BaseState(ctx context.Context, r Run) (BaseState, error)

	// Resume is Boot from a checkpoint. It fails with ErrCheckpointGone when the
	// checkpoint cannot be used, and has then made nothing.
	Resume(ctx context.Context, r Run, from Checkpoint) (Machine, error)
}

// Waker is implemented by a Machine that has not noticed that time has passed since
// it was saved.
type Waker interface {
	// Wake is called once after Resume, with the first connection. That it fails
	// is no reason to fail the build.
	Wake(ctx context.Context, r Run, comm Communicator) error
}

// CheckpointHolder is implemented by builders that have checkpoints, and by their
// jobs.
type CheckpointHolder interface {
	// HasCheckpoint reports whether what the checkpoint consists of is there. It
	// looks at nothing that takes long.
	HasCheckpoint(ctx context.Context, c Checkpoint) (bool, error)
}

// ErrCheckpointGone means that a checkpoint cannot be used, although it is in the
// list of those that were saved.
var ErrCheckpointGone = errors.New("the checkpoint is gone")

// BaseState says what a machine is made of and with.
type BaseState struct {
	// Inputs are what it depends on besides the configuration, by the names that
	// users see: "base image" with the digest of one. Never secrets.
	Inputs map[string]string
	// Files are files and folders on this computer that it is made of.
	Files []string
	// Later are the attributes of the configuration that matter only once the
	// last provisioner has run.
	Later []string
	// Volatile says why a checkpoint would not be all of the machine, as a clause
	// such as "it has volumes"; empty when it is.
	Volatile string
	// Awake says that a machine that is resumed runs already: it need not boot.
	Awake bool
}

// Saver is implemented by a Machine that can be saved between two steps.
type Saver interface {
	// SaveCheckpoint saves what the machine is now. The machine stays usable.
	SaveCheckpoint(ctx context.Context, r Run, to CheckpointPlace) (SavedState, error)
}

// CheckpointPlace is where a checkpoint is saved.
type CheckpointPlace struct {
	// Key names the checkpoint.
	Key string
	// Dir is an empty folder for the files of the checkpoint. It is renamed
	// once everything is saved.
	Dir string
	// Base is the checkpoint that the machine stands on: the one that was saved
	// last, or that it was resumed from; nil when there is none.
	Base *Checkpoint
}

// SavedState is what SaveCheckpoint has saved.
type SavedState struct {
	// Data is what Resume has to know again. Never secrets.
	Data map[string]string
	// Leases are what the checkpoint consists of besides the files in its folder.
	// They are kept once the checkpoint is in the store, and released when it does
	// not come to that.
	Leases []Lease
	// Size is what the leases take up, in bytes.
	Size int64
	// OnBase says that the checkpoint is of use only together with the base of
	// its place.
	OnBase bool
}

// Checkpoint is a saved machine.
type Checkpoint struct {
	Key string
	// Dir has the files that were saved.
	Dir  string
	Data map[string]string
	// Resources are what it consists of besides the files.
	Resources []Resource
	// Base is the checkpoint that it stands on; nil when it stands alone.
	Base *Checkpoint
}
