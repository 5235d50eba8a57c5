// Package manifest is the manifest post-processor: it keeps a JSON file with
// the artifacts of all builds.
package manifest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/outfile"
)

const defaultOutput = "packer-manifest.json"

type postProcessor struct{}

// New returns the manifest post-processor.
func New() component.PostProcessor { return postProcessor{} }

func (postProcessor) Schema() component.Schema {
	output := component.String("output", "The file to write. Default packer-manifest.json.")
	output.Format = component.Path
	return component.Schema{
		Description: "Adds the artifact to a JSON file that lists the artifacts of all builds, of this run and of earlier ones. With -force it starts over with each run.",
		Attributes: []component.Attribute{
			output,
			component.Bool("strip_path", "Write the names of files without their folders."),
			component.Bool("strip_time", "Leave the time of the build out."),
			component.StringMap("custom_data", "Values to write along with the artifact."),
		},
		Manual: &component.Manual{
			Example: `post-processor "manifest" {
  output = "manifest.json"
}
`,
			Artifact: "What came in.",
		},
	}
}

func (postProcessor) Plan(_ context.Context, cfg cty.Value) (component.Transform, diag.List) {
	var t transform
	if err := component.Decode(cfg, &t); err != nil {
		return nil, diag.Errorf("Invalid configuration", "%s.", err)
	}
	if t.Output == "" && component.Known(cfg, "output") {
		t.Output = defaultOutput
	}
	return t, nil
}

type transform struct {
	Output     string            `cty:"output"`
	StripPath  bool              `cty:"strip_path"`
	StripTime  bool              `cty:"strip_time"`
	CustomData map[string]string `cty:"custom_data"`
}

// content is the file. Entries of other builds are carried along as they are.
type content struct {
	Builds      []json.RawMessage `json:"builds"`
	LastRunUUID string            `json:"last_run_uuid"`
}

type entry struct {
	Name        string            `json:"name"`
	BuilderType string            `json:"builder_type"`
	BuildTime   int64             `json:"build_time,omitempty"`
	Files       []file            `json:"files"`
	ArtifactID  string            `json:"artifact_id"`
	RunUUID     string            `json:"packer_run_uuid"`
	CustomData  map[string]string `json:"custom_data"`
}

type file struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
}

// Creates implements component.Describer.
func (t transform) Creates() []component.Creation {
	return []component.Creation{{Kind: "file", Name: t.Output}}
}

func (t transform) Process(ctx context.Context, r component.Run, in *component.Artifact) (*component.Artifact, component.InputUse, error) {
	if err := t.add(ctx, r, t.entry(r, in)); err != nil {
		return nil, component.Requires, fmt.Errorf("manifest: %w", err)
	}
	return in, component.Requires, nil
}

func (t transform) entry(r component.Run, in *component.Artifact) entry {
	e := entry{
		Name:        r.Template.BuildName,
		BuilderType: r.Template.BuildType,
		ArtifactID:  in.ID,
		RunUUID:     r.ID,
		CustomData:  t.CustomData,
	}
	if !t.StripTime {
		e.BuildTime = r.Clock.Now().Unix()
	}
	for _, f := range in.Files {
		size := f.Size
		if info, err := os.Stat(f.Path); err == nil && info.Mode().IsRegular() {
			size = info.Size()
		}
		name := f.Path
		if t.StripPath {
			name = filepath.Base(name)
		}
		e.Files = append(e.Files, file{Name: name, Size: size})
	}
	return e
}

// add writes the manifest with the entry, under its lock.
func (t transform) add(ctx context.Context, r component.Run, e entry) (err error) {
	unlock, err := outfile.Lock(ctx, r, t.Output)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	c, err := read(t.Output)
	if err != nil {
		return err
	}
	if r.Force && c.LastRunUUID != r.ID {
		c.Builds = nil
	}
	raw, err := json.Marshal(e)
	if err != nil {
		return err
	}
	c.Builds, c.LastRunUUID = append(c.Builds, raw), r.ID
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return outfile.Write(ctx, r, t.Output, data, 0o664)
}

// read returns what the manifest holds now; a missing or empty file holds
// nothing.
func read(path string) (content, error) {
	var c content
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(bytes.TrimSpace(data)) == 0 {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("%s is not a manifest: %w; move it away or choose another output", path, err)
	}
	return c, nil
}
