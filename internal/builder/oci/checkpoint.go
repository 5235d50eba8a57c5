package oci

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"ingot/internal/component"
)

var _ component.CheckpointHolder = builder{}

// A checkpoint has the layers of the provisioners since the checkpoint before, as
// they are in the image, and stepsFile, which lists them.
const stepsFile = "steps.json"

// HasCheckpoint implements component.CheckpointHolder.
func (builder) HasCheckpoint(_ context.Context, c component.Checkpoint) (bool, error) {
	return hasCheckpoint(c)
}

func hasCheckpoint(c component.Checkpoint) (bool, error) {
	_, err := os.Stat(filepath.Join(c.Dir, stepsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
