package oci

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"ingot/internal/component"
)

var _ component.Bootable = (*job)(nil)

// bootableFormats are the formats of outputs that a sandbox can be started from, the
// best first, with the kind that each is as a base. A root file system has no user
// and environment of its own.
var bootableFormats = []struct{ format, kind string }{
	{formatDir, "oci"}, {formatArchive, "oci-archive"}, {formatDocker, "docker-archive"}, {formatRootfs, "tar"},
}

// Unbootable implements component.Bootable.
func (j *job) Unbootable() string { return "" }

// FromArtifact implements component.Bootable: the sandbox is the one that the builder
// starts, on top of the image that was written.
func (j *job) FromArtifact(a *component.Artifact) (component.Job, error) {
	for _, f := range bootableFormats {
		for _, o := range j.p.outputs {
			if o.format != f.format {
				continue
			}
			path, err := filepath.Abs(o.path)
			if err != nil {
				return nil, fmt.Errorf("oci: %w", err)
			}
			p := *j.p
			p.kind, p.ref, p.From = f.kind, path, f.kind+":"+path
			p.outputs = nil
			return &tested{job{p: &p}}, nil
		}
	}
	return nil, errors.New("oci: the artifact has no output that a sandbox can be started from")
}

// tested is a job whose image is only looked at.
type tested struct{ job }

// Capture implements component.Job.
func (*tested) Capture(context.Context, component.Run, component.Machine) (*component.Artifact, error) {
	return nil, errors.New("oci: the machine of a test is not captured")
}
