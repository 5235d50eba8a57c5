// Package compress is the compress post-processor: it packs an artifact's
// files into one compressed file.
package compress

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
	"ingot/internal/gotmpl"
	"ingot/internal/outfile"
	"ingot/internal/shellenv"
)

const defaultOutput = "packer_{{.BuildName}}_{{.BuilderType}}"

type postProcessor struct{}

// New returns the compress post-processor.
func New() component.PostProcessor { return postProcessor{} }

func (postProcessor) Schema() component.Schema {
	output := component.String("output", "The file to write. {{.BuildName}} and {{.BuilderType}} can be used. What it ends with decides the format: .tar, .zip, .gz, .bgzf, .lz4, .xz, .zst, .bz2, or .tar in front of one of these; anything else means tar with gzip. Default "+defaultOutput+".")
	output.Late, output.Format = true, component.Path
	format := component.String("format", "The format, such as \"tar.gz\", when output does not end with it.")
	noEffect := func(name string) component.Attribute {
		return component.Attribute{Name: name, Type: cty.String, Description: "Has no effect.", Deprecated: "It never had an effect: output and format decide the format."}
	}
	return component.Schema{
		Description: "Packs the artifact's files into one compressed file.",
		Attributes: []component.Attribute{
			output,
			format,
			component.Number("compression_level", "From 1 (fast) to 9 (small). 0 and -1 mean the format's default; xz has only that."),
			noEffect("archive"),
			noEffect("algorithm"),
		},
		Manual: &component.Manual{
			Example: `post-processor "compress" {
  output = "{{.BuildName}}.tar.zst"
}
`,
			Artifact: "The compressed file. It takes the place of what came in, which is removed unless `keep_input_artifact` is true.",
		},
	}
}

func (postProcessor) Plan(_ context.Context, cfg cty.Value) (component.Transform, diag.List) {
	var t transform
	if err := component.Decode(cfg, &t); err != nil {
		return nil, diag.Errorf("Invalid configuration", "%s.", err)
	}
	out := shellenv.CheckTemplate("output", t.Output, "BuildName", "BuilderType")
	if t.Level < -1 {
		out = append(out, diag.At("compression_level", "Invalid compression level", "compression_level must be from -1 to 9, got %d.", t.Level)...)
	}
	if out.HasErrors() {
		return nil, out
	}
	if t.Output == "" && component.Known(cfg, "output") {
		t.Output = defaultOutput
	}
	t.Level = min(t.Level, 9)
	return t, out
}

type transform struct {
	Output string `cty:"output"`
	Format string `cty:"format"`
	Level  int    `cty:"compression_level"`
}

// Creates implements component.Describer.
func (t transform) Creates() []component.Creation {
	return []component.Creation{{Kind: "file", Name: t.Output, Fields: map[string]string{}}}
}

func (t transform) Process(ctx context.Context, r component.Run, in *component.Artifact) (*component.Artifact, component.InputUse, error) {
	path, err := gotmpl.Render(t.Output, r.Template, shellenv.Fields(r.Template, map[string]string{
		"BuildName":   r.Template.BuildName,
		"BuilderType": r.Template.BuildType,
	}))
	if err != nil {
		return nil, component.Consumes, fmt.Errorf("compress: output: %w", err)
	}
	size, err := t.write(ctx, r, path, in)
	if err != nil {
		return nil, component.Consumes, fmt.Errorf("compress: %w", err)
	}
	res, err := outfile.Resource(path)
	if err != nil {
		return nil, component.Consumes, fmt.Errorf("compress: %w", err)
	}
	return &component.Artifact{
		Producer:  "packer.post-processor.compress",
		Summary:   "compressed artifacts in: " + path,
		Files:     []component.File{{Path: path, Size: size}},
		Resources: []component.Resource{res},
	}, component.Consumes, nil
}

// write makes the file. On error there is nothing new at path.
func (t transform) write(ctx context.Context, r component.Run, path string, in *component.Artifact) (size int64, err error) {
	f := formatOf(path, t.Format)
	inputs, err := t.inputs(f, path, in)
	if err != nil {
		return 0, err
	}
	if f.algorithm == xzAlgorithm && t.Level > 0 {
		r.Emit(component.Warning{Summary: "Compression level not used", Detail: "compress: xz has only one level here; compression_level has no effect."})
	}
	what := "1 file"
	if len(inputs) != 1 {
		what = fmt.Sprintf("%d files", len(inputs))
	}
	r.Say(fmt.Sprintf("Compressing %s into %s (%s)...", what, path, f))
	out, err := outfile.Create(ctx, r, path, 0o666)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, out.Abort(ctx)) }()
	p := newProgress(r, path, inputs)
	if err := pack(ctx, out, f, t.Level, inputs, p); err != nil {
		return 0, err
	}
	info, err := out.Stat()
	if err != nil {
		return 0, err
	}
	if err := out.Commit(ctx); err != nil {
		return 0, err
	}
	p.finish()
	return info.Size(), nil
}

// inputs lists what goes into the output.
func (t transform) inputs(f format, output string, in *component.Artifact) ([]input, error) {
	if len(in.Files) == 0 {
		return nil, errors.New("the artifact has no files to compress")
	}
	if f.archive == "" && len(in.Files) > 1 {
		return nil, fmt.Errorf("%s holds a single file, but the artifact has %d: use an archive such as .tar.%s", f, len(in.Files), f.algorithm)
	}
	inputs, err := listInputs(f, in.Files)
	if err != nil {
		return nil, err
	}
	if f.archive == "" && (len(inputs) != 1 || !inputs[0].info.Mode().IsRegular()) {
		return nil, fmt.Errorf("%s holds a single file, but %s is a folder: use an archive such as .tar.%s", f, in.Files[0].Path, f.algorithm)
	}
	there, err := os.Stat(output)
	if err != nil {
		return inputs, nil // it is new, so it is none of the inputs
	}
	for _, i := range inputs {
		if os.SameFile(there, i.info) {
			return nil, fmt.Errorf("the output %s is one of the files to compress", output)
		}
	}
	return inputs, nil
}

// format is how the output is packed: an archive, a compressed file, or both.
type format struct{ archive, algorithm string }

const (
	tarArchive     = "tar"
	zipArchive     = "zip"
	gzipAlgorithm  = "gz"
	bgzfAlgorithm  = "bgzf"
	lz4Algorithm   = "lz4"
	xzAlgorithm    = "xz"
	zstdAlgorithm  = "zst"
	bzip2Algorithm = "bz2"
)

func (f format) String() string {
	return strings.Trim(f.archive+"."+f.algorithm, ".")
}

// formatOf reads the format from the end of a file's name, behind which extra
// is imagined.
func formatOf(path, extra string) format {
	name := filepath.Base(path)
	if extra != "" {
		name += "." + strings.TrimPrefix(extra, ".")
	}
	parts := strings.Split(name, ".")
	last, before := parts[len(parts)-1], ""
	if len(parts) == 1 {
		last = ""
	}
	if len(parts) > 2 || len(parts) == 2 && extra != "" {
		before = parts[len(parts)-2]
	}
	f := format{}
	switch last {
	case "tar", "zip":
		return format{archive: last}
	case "gz", "lz4", "bgzf", "xz":
		f.algorithm = last
	case "bz2", "bzip2":
		f.algorithm = bzip2Algorithm
	case "zst", "zstd":
		f.algorithm = zstdAlgorithm
	default:
		return format{archive: tarArchive, algorithm: gzipAlgorithm}
	}
	if before == "tar" {
		f.archive = tarArchive
	}
	return f
}
