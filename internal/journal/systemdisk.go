//go:build !failpoints

package journal

import "ingot/internal/journal/disk"

// systemDisk is what journals are written to.
func systemDisk() disk.Disk { return disk.OS{} }
