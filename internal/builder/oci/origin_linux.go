package oci

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"

	"ingot/internal/builder/oci/base"
	"ingot/internal/component"
)

// Origin implements component.OriginTeller.
func (j *job) Origin(ctx context.Context, r component.Run) (component.Origins, error) {
	p := j.p
	out := component.Origins{Inputs: map[string]string{"platform": p.platform.String()}}
	if p.epoch != nil {
		out.Inputs["SOURCE_DATE_EPOCH"] = strconv.FormatInt(p.epoch.Unix(), 10)
	}
	if len(p.Mounts) > 0 {
		out.Open = "it mounts files of this computer"
	}
	root, err := filepath.Abs(filepath.Join(r.CacheDir, "oci"))
	if err != nil {
		return out, fmt.Errorf("oci: %w", err)
	}
	asking := &job{p: p, store: &base.Store{Root: root, Clock: r.Clock}}
	from, err := asking.store.Identify(ctx, asking.request(r))
	if err != nil {
		return out, fmt.Errorf("oci: %w", err)
	}
	if from.Digest != "" {
		out.Inputs["base image"] = from.Digest
	}
	if from.File != "" {
		out.Files = []string{from.File}
	}
	if from.Unmade != "" {
		out.Open = from.Unmade
	}
	return out, nil
}
