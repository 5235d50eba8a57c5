//go:build failpoints

package journal

import (
	"fmt"
	"os"
	"sync"

	"ingot/internal/failpoint"
	"ingot/internal/journal/disk"
)

// systemDisk is what journals are written to: one for the process, since a power
// cut takes all that it has written.
var systemDisk = sync.OnceValue(func() disk.Disk {
	d := disk.NewForgetful(func() error { return failpoint.Reached(failpoint.JournalDisk) })
	failpoint.OnPowerCut(func(torn bool) {
		if err := d.Cut(torn); err != nil {
			fmt.Fprintln(os.Stderr, "failpoint:", err)
		}
	})
	return d
})
