package qemu

import (
	"slices"
	"testing"
)

// Ensure that no character of a path means anything to QEMU.
func TestPathsOfDrives(t *testing.T) {
	for iface, want := range map[string]string{
		"virtio": "file=/a,,b%s=c/disk,if=virtio,id=drive0,format=raw,cache=none,discard=unmap",
		"nvme":   "file=/a,,b%s=c/disk,if=none,id=drive0,format=raw,cache=none,discard=unmap",
	} {
		s := storage{p: &plan{config: config{DiskInterface: iface, DiskCache: "none", DiskDiscard: "unmap", DiskDetectZeroes: "off"}}}
		s.disk(0, disk{path: "/a,b%s=c/disk", format: "raw"})
		if !slices.ContainsFunc(s.options, func(o option) bool { return o.name == "drive" && o.value == want }) {
			t.Errorf("%s: %+v, want %s", iface, s.options, want)
		}
	}
}
