package docker

import (
	"errors"

	"ingot/internal/component"
)

var _ component.Bootable = (*job)(nil)

// Unbootable implements component.Bootable.
func (j *job) Unbootable() string {
	switch {
	case j.config.Commit:
		return ""
	case j.config.Discard:
		return "the container is discarded: set commit = true, so that there is an image"
	}
	return "what is exported is a tar file and no image: set commit = true"
}

// FromArtifact implements component.Bootable: the container is the one that the
// builder starts, with the same run_command, but of the image that was made.
func (j *job) FromArtifact(a *component.Artifact) (component.Job, error) {
	if len(a.Images) == 0 || a.ID == "" {
		return nil, errors.New("docker: the artifact is no image of this builder")
	}
	c := *j.config
	c.Image, c.Pull, c.Build = a.ID, false, nil
	// Nothing is made of it.
	c.Commit, c.Discard = false, true
	return &job{config: &c, env: j.env}, nil
}
