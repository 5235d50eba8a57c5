// Package checksum is the checksum post-processor: it writes files with the
// checksums of an artifact's files.
package checksum

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/gotmpl"
	"ingot/internal/outfile"
	"ingot/internal/shellenv"
)

const defaultOutput = "packer_{{.BuildName}}_{{.BuilderType}}_{{.ChecksumType}}.checksum"

type postProcessor struct{}

// New returns the checksum post-processor.
func New() component.PostProcessor { return postProcessor{} }

func (postProcessor) Schema() component.Schema {
	output := component.String("output", "The file to write. {{.BuildName}}, {{.BuilderType}} and {{.ChecksumType}} can be used. Default "+defaultOutput+".")
	output.Late, output.Format = true, component.Path
	return component.Schema{
		Description: "Writes files with the checksums of the artifact's files.",
		Attributes: []component.Attribute{
			component.Strings("checksum_types", "The checksums to compute: "+strings.Join(types(), ", ")+". Default md5."),
			output,
		},
		Manual: &component.Manual{
			Example: `post-processor "checksum" {
  checksum_types = ["sha256"]
  output         = "{{.BuildName}}.{{.ChecksumType}}"
}
`,
			Artifact: "The files that came in, with the checksum files behind them.",
		},
	}
}

func (postProcessor) Plan(_ context.Context, cfg cty.Value) (component.Transform, diag.List) {
	var t transform
	if err := component.Decode(cfg, &t); err != nil {
		return nil, diag.Errorf("Invalid configuration", "%s.", err)
	}
	var out diag.List
	if component.Known(cfg, "checksum_types") {
		for _, name := range t.Types {
			if newHash(name) == nil {
				out = append(out, diag.At("checksum_types", "Unknown checksum type", "%q is not one of %s.", name, strings.Join(types(), ", "))...)
			}
		}
	}
	out = append(out, shellenv.CheckTemplate("output", t.Output, "BuildName", "BuilderType", "ChecksumType")...)
	if out.HasErrors() {
		return nil, out
	}
	if len(t.Types) == 0 && component.Known(cfg, "checksum_types") {
		t.Types = []string{"md5"}
	}
	if t.Output == "" && component.Known(cfg, "output") {
		t.Output = defaultOutput
	}
	return t, out
}

type transform struct {
	Types  []string `cty:"checksum_types"`
	Output string   `cty:"output"`
}

// Creates implements component.Describer.
func (t transform) Creates() []component.Creation {
	if len(t.Types) == 0 { // not known yet
		return []component.Creation{{Kind: "file"}}
	}
	var out []component.Creation
	for _, hash := range t.Types {
		out = append(out, component.Creation{Kind: "file", Name: t.Output, Fields: map[string]string{"ChecksumType": hash}})
	}
	return out
}

// Process hands on the input's files with the checksum files behind them. Of
// these only the checksum files belong to the new artifact: destroying it, as
// a post-processor that consumes it causes, leaves the originals alone.
func (t transform) Process(ctx context.Context, r component.Run, in *component.Artifact) (*component.Artifact, component.InputUse, error) {
	if len(in.Files) == 0 {
		r.Emit(component.Warning{Summary: "Nothing to compute checksums of", Detail: "checksum: the artifact has no files; it is handed on as it is."})
		return in, component.Requires, nil
	}
	outputs, err := t.outputs(r)
	if err != nil {
		return nil, component.Requires, err
	}
	sums, err := t.compute(ctx, in.Files)
	if err != nil {
		return nil, component.Requires, err
	}
	out := &component.Artifact{
		Producer: "packer.post-processor.checksum",
		Files:    slices.Clone(in.Files),
		Images:   slices.Clone(in.Images),
		Data:     maps.Clone(in.Data),
	}
	for _, path := range outputs.paths() {
		if err := update(ctx, r, path, outputs.lines(path, sums)); err != nil {
			return nil, component.Requires, fmt.Errorf("checksum: %w", err)
		}
		if err := addFile(out, path); err != nil {
			return nil, component.Requires, fmt.Errorf("checksum: %w", err)
		}
	}
	out.Summary = "Created artifact from files: " + strings.Join(names(out.Files), ", ")
	return out, component.Requires, nil
}

// outputs is the file of each checksum type.
type outputs []output

type output struct{ hash, path string }

func (t transform) outputs(r component.Run) (outputs, error) {
	var out outputs
	for _, hash := range t.Types {
		path, err := gotmpl.Render(t.Output, r.Template, shellenv.Fields(r.Template, map[string]string{
			"BuildName":    r.Template.BuildName,
			"BuilderType":  r.Template.BuildType,
			"ChecksumType": hash,
		}))
		if err != nil {
			return nil, fmt.Errorf("checksum: output: %w", err)
		}
		out = append(out, output{hash, filepath.Clean(path)})
	}
	return out, nil
}

// paths are the files to write, each once.
func (o outputs) paths() []string {
	var all []string
	for _, one := range o {
		if !slices.Contains(all, one.path) {
			all = append(all, one.path)
		}
	}
	return all
}

// lines are what goes into one file: all inputs of the first of its types,
// then of the next.
func (o outputs) lines(path string, sums []fileSums) []line {
	var out []line
	for _, one := range o {
		if one.path != path {
			continue
		}
		for _, f := range sums {
			l := line{sum: f.sums[one.hash], name: filepath.Base(f.path)}
			if !slices.Contains(out, l) {
				out = append(out, l)
			}
		}
	}
	return out
}

func addFile(a *component.Artifact, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	res, err := outfile.Resource(path)
	if err != nil {
		return err
	}
	a.Files = append(a.Files, component.File{Path: path, Size: info.Size()})
	a.Resources = append(a.Resources, res)
	return nil
}

func names(files []component.File) []string {
	out := make([]string, len(files))
	for i, f := range files {
		out[i] = f.Path
	}
	return out
}
