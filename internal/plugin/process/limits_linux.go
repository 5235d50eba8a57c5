package process

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// limitProcess sets the limits of a process that has just been started; what it starts
// inherits them.
func limitProcess(pid int, l Limits) error {
	for _, set := range []struct {
		name     string
		resource int
		value    uint64
	}{
		// Not the address space, of which programs reserve more than they use.
		{"memory", unix.RLIMIT_DATA, l.Memory},
		{"open files", unix.RLIMIT_NOFILE, l.OpenFiles},
	} {
		if set.value == 0 {
			continue
		}
		err := unix.Prlimit(pid, set.resource, &unix.Rlimit{Cur: set.value, Max: set.value}, nil)
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("limit its %s to %d: %w", set.name, set.value, err)
		}
	}
	return nil
}
