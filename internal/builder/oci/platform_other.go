//go:build !linux

package oci

import (
	"context"
	"errors"
	"runtime"

	"ingot/internal/component"
	"ingot/internal/diag"
)

func newJob(*plan) (component.Job, diag.List) {
	return nil, diag.Errorf("The oci builder needs Linux",
		"Its sandbox consists of namespaces and overlays of the Linux kernel, which %s does not have. Run Ingot in a Linux virtual machine or container (docker run --privileged), or use the docker builder.", runtime.GOOS)
}

func checkCapabilities([]string) error { return nil }

type reaper struct{}

func (reaper) Kinds() []string { return []string{DirKind, SandboxKind} }

// Reap cannot meet such resources here unless the journal is another machine's.
func (reaper) Reap(_ context.Context, r component.Resource) error {
	return errors.New("oci: " + r.Kind + " exists on Linux only")
}
