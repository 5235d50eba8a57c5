package reap

import (
	"context"
	"fmt"
	"strconv"

	"ingot/internal/component"
)

// Processes ends processes that Ingot started on this machine. Resource.ID is
// the process id, Attrs["start_time"] its start time where the system tells,
// and the environment of the process and of all that it started holds the
// token in INGOT_TOKEN.
type Processes struct{}

var _ component.Reaper = Processes{}

// The resource kind and names that whoever starts a process uses.
const (
	ProcessKind   = "os.process"
	TokenVariable = "INGOT_TOKEN"
	startAttr     = "start_time"
	bootAttr      = "boot_id"
)

// Kinds implements component.Reaper.
func (Processes) Kinds() []string { return []string{ProcessKind} }

// Reap kills the process and its descendants. A process that cannot be proved
// to be ours is never touched: process ids are used again.
func (Processes) Reap(ctx context.Context, r component.Resource) error {
	pid := 0
	if r.ID != "" {
		var err error
		if pid, err = strconv.Atoi(r.ID); err != nil || pid <= 1 {
			return fmt.Errorf("%q is not a process id", r.ID)
		}
	}
	if boot := r.Attrs[bootAttr]; boot != "" && boot != bootID() {
		return nil // no process outlives the boot that it was started in
	}
	return endProcesses(ctx, pid, r.Attrs[startAttr], r.Token)
}
