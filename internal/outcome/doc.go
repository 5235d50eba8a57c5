// Package outcome remembers what builds made, so that a later run can take an
// artifact as it is, or process it again: the artifact with its data, what is
// known of the machine, and what the build depended on. There is one file for
// each run, beside its history.
//
// Secrets are not kept: what the redactor would change is left out. What is read
// back is treated as foreign: a file may be cut, damaged, or of another version.
package outcome

import (
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/stepcache"
)

// Format is the version of the lines. Lines of another one are passed over.
const Format = 1

// Made is what a builder has made.
type Made struct {
	// Build is the name of the build.
	Build string
	// Run is the run that made it, and At when. A run that takes an artifact as
	// it is writes them as they were.
	Run string
	At  time.Time
	// Dir is what relative paths start from.
	Dir      string
	Artifact *component.Artifact
	// Facts are what post-processors see as build.*.
	Facts map[string]cty.Value
	// Inputs are nil when nobody asked for them.
	Inputs *Inputs
	// Marks are those of the parts of the artifact.
	Marks Marks
}

// Ended is how a build ended, after its post-processors.
type Ended struct {
	Build string
	// Failure is why it failed, "" when it has succeeded.
	Failure   string
	Artifacts []*component.Artifact
	Marks     Marks
}

// Outcome is all that is known of one build of a run.
type Outcome struct {
	Made
	// Ended is nil when the process vanished before.
	Ended *Ended
}

// Inputs are what a build depends on.
type Inputs struct {
	// Digest is that of Parts.
	Digest string
	Parts  []stepcache.Part
	// Open says what else it depends on that cannot be compared, as clauses
	// such as "provisioner 1 (shell-local): it runs on this computer".
	Open []string
	// Good is the shortest cache_ttl, measured from when the artifact was made; 0
	// is without a limit.
	Good time.Duration
}
