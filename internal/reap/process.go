package reap

import (
	"context"
	"fmt"
	"strconv"

	"ingot/internal/component"
	"ingot/internal/procid"
)

// Processes ends processes that Ingot started on this machine, as package procid
// describes them.
type Processes struct{}

var _ component.Reaper = Processes{}

// Kinds implements component.Reaper.
func (Processes) Kinds() []string { return []string{procid.Kind} }

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
	if boot := r.Attrs[procid.BootAttr]; boot != "" && boot != procid.Boot() {
		return nil // no process outlives the boot that it was started in
	}
	return endProcesses(ctx, pid, r.Attrs[procid.StartAttr], r.Token)
}
