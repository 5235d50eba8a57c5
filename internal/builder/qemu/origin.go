package qemu

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"ingot/internal/component"
	"ingot/internal/fetch"
)

var _ component.OriginTeller = (*job)(nil)

// Origin implements component.OriginTeller.
func (j *job) Origin(ctx context.Context, r component.Run) (component.Origins, error) {
	p := j.plan
	image, err := fetch.Identify(ctx, r, p.Spec())
	if err != nil {
		return component.Origins{}, err
	}
	out := component.Origins{Inputs: map[string]string{"image": image}}
	for _, path := range []string{p.HTTPDirectory, p.EFIFirmwareCode, p.EFIFirmwareVars, p.Firmware} {
		if path != "" {
			out.Files = append(out.Files, path)
		}
	}
	for _, pattern := range slices.Concat(p.CDFiles, p.FloppyFiles, p.FloppyDirs) {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return component.Origins{}, fmt.Errorf("%s: %w", pattern, err)
		}
		if len(found) == 0 {
			found = []string{pattern}
		}
		out.Files = append(out.Files, found...)
	}
	if slices.ContainsFunc(p.QemuArgs, namesFile) {
		out.Open = "its qemuargs name files"
	}
	return out, nil
}

// namesFile reports whether a switch gives the machine a file of this computer.
func namesFile(arg []string) bool {
	return slices.ContainsFunc(arg, func(text string) bool {
		return strings.Contains(text, "file=") || strings.Contains(text, "filename=") || strings.Contains(text, "path=")
	})
}
