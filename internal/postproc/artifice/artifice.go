// Package artifice is the artifice post-processor: it replaces the list of an
// artifact's files by files that something else has made.
package artifice

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/outfile"
)

type postProcessor struct{}

// New returns the artifice post-processor.
func New() component.PostProcessor { return postProcessor{} }

func (postProcessor) Schema() component.Schema {
	files := component.Strings("files", "The files of the new artifact. Patterns with * ? and [] may match several.")
	files.Required = true
	return component.Schema{
		Description: "Makes an artifact of files that something else has written, such as a provisioner that downloads them.",
		Attributes:  []component.Attribute{files},
		Manual: &component.Manual{
			Example: `post-processor "artifice" {
  files = ["dist/*.tar"]
}
`,
			Artifact: "The files that match. What came in is kept.",
		},
	}
}

func (postProcessor) Plan(_ context.Context, cfg cty.Value) (component.Transform, diag.List) {
	var t transform
	if err := component.Decode(cfg, &t); err != nil {
		return nil, diag.At("files", "Invalid files", "%s.", err)
	}
	if !component.Known(cfg, "files") {
		return t, nil
	}
	var out diag.List
	if len(t.Files) == 0 {
		out = append(out, diag.At("files", "No files", "Set files to at least one path or pattern.")...)
	}
	for _, pattern := range t.Files {
		if _, err := filepath.Match(pattern, ""); err != nil || pattern == "" {
			out = append(out, diag.At("files", "Invalid pattern", "%q is not a valid path or pattern.", pattern)...)
		}
	}
	if out.HasErrors() {
		return nil, out
	}
	return t, out
}

type transform struct {
	Files []string `cty:"files"`
}

func (t transform) Process(ctx context.Context, r component.Run, _ *component.Artifact) (*component.Artifact, component.InputUse, error) {
	out := &component.Artifact{Producer: "packer.post-processor.artifice"}
	seen := map[string]bool{}
	for _, pattern := range t.Files {
		if err := context.Cause(ctx); err != nil {
			return nil, component.Keeps, err
		}
		matches, err := filepath.Glob(pattern)
		if err != nil {
			return nil, component.Keeps, fmt.Errorf("artifice: pattern %q: %w", pattern, err)
		}
		if len(matches) == 0 {
			r.Emit(component.Warning{Summary: "Pattern without a match", Detail: fmt.Sprintf("artifice: nothing matches %q.", pattern)})
		}
		for _, path := range matches {
			if seen[path] {
				continue
			}
			seen[path] = true
			if err := add(out, path); err != nil {
				return nil, component.Keeps, err
			}
		}
	}
	if len(out.Files) == 0 {
		return nil, component.Keeps, errors.New("artifice: no file matches " + strings.Join(t.Files, ", "))
	}
	out.Summary = "Created artifact from files: " + strings.Join(names(out.Files), ", ")
	return out, component.Keeps, nil
}

func add(out *component.Artifact, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("artifice: %w", err)
	}
	if info.IsDir() {
		// A pattern such as "*" easily matches more folders than meant:
		// they are listed, but never deleted with the artifact.
		out.Files = append(out.Files, component.File{Path: path})
		return nil
	}
	res, err := outfile.Resource(path)
	if err != nil {
		return fmt.Errorf("artifice: %w", err)
	}
	out.Files = append(out.Files, component.File{Path: path, Size: info.Size()})
	out.Resources = append(out.Resources, res)
	return nil
}

func names(files []component.File) []string {
	out := make([]string, len(files))
	for i, f := range files {
		out[i] = f.Path
	}
	return out
}
