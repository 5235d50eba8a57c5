package docker

import (
	"context"
	"errors"

	"ingot/internal/component"
)

func (j *job) buildSource(ctx context.Context, r component.Run) (string, error) {
	return "", errors.New("docker: not here yet")
}
