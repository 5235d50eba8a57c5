// Package file is the file provisioner: it copies files and folders to the
// machine and from it.
package file

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/gotmpl"
)

const (
	directionUpload   = "upload"
	directionDownload = "download"
)

type provisioner struct{}

// New returns the file provisioner.
func New() component.Provisioner { return provisioner{} }

type config struct {
	Source      string   `cty:"source"`
	Sources     []string `cty:"sources"`
	Content     string   `cty:"content"`
	Destination string   `cty:"destination"`
	Direction   string   `cty:"direction"`
	Generated   bool     `cty:"generated"`

	// HasContent: content is set, be it empty.
	HasContent bool
}

func (provisioner) Schema() component.Schema {
	destination := component.String("destination", "Where to copy to. A / at its end means a folder to copy into.")
	destination.Required = true
	return component.Schema{
		Description: "Copies files and folders to the machine, or from it. A source folder is copied with its name, or, with a / at its end, only what is in it.",
		Attributes: []component.Attribute{
			component.String("source", "A file or folder to copy. For a download it may be a pattern with * ? and []."),
			component.Strings("sources", "Several files or folders to copy."),
			component.String("content", "Text to write to destination instead of a file's."),
			destination,
			{Name: "direction", Type: cty.String, OneOf: []string{directionUpload, directionDownload}, Description: "upload (default) or download."},
			component.Bool("generated", "The source is made while the build runs: do not look for it before."),
		},
		Manual: &component.Manual{
			Example: `provisioner "file" {
  content     = "listen = 8080\n"
  destination = "/etc/app.conf"
}
`,
		},
	}
}

func (provisioner) Plan(_ context.Context, cfg cty.Value) (component.Step, diag.List) {
	var c config
	if err := component.Decode(cfg, &c); err != nil {
		return nil, diag.Errorf("Invalid configuration", "%s.", err)
	}
	c.HasContent = component.IsSet(cfg, "content")
	if c.Direction == "" {
		c.Direction = directionUpload
	}
	var out diag.List
	if cfg.IsKnown() {
		out = c.check(cfg)
	}
	if out.HasErrors() {
		return nil, out
	}
	if c.Direction == directionDownload {
		return download{c}, out
	}
	return upload{c}, out
}

func (c *config) check(cfg cty.Value) diag.List {
	var out diag.List
	if component.Known(cfg, "destination") && c.Destination == "" {
		out = append(out, diag.At("destination", "Missing destination", "Set destination to where the file is to be copied.")...)
	}
	fromSource := given(cfg, "source") || given(cfg, "sources")
	switch {
	case component.HasValue(cfg, "content") && (component.HasValue(cfg, "source") || component.HasValue(cfg, "sources")):
		out = append(out, diag.At("content", "Conflicting settings", "content excludes source and sources. Remove one of them.")...)
	case !c.HasContent && !fromSource:
		out = append(out, diag.At("source", "Nothing to copy", "Set source, sources or content.")...)
	}
	if !component.Known(cfg, "direction") {
		return out
	}
	switch c.Direction {
	case directionUpload:
		out = append(out, c.checkUpload(cfg)...)
	case directionDownload:
		if c.HasContent {
			out = append(out, diag.At("content", "Conflicting settings", "content is text to upload: it cannot be downloaded.")...)
		}
		if c.Generated {
			out = append(out, diag.WarnAt("generated", "Setting without effect", "generated is about sources on this machine; a download has none.")...)
		}
	default:
		out = append(out, diag.At("direction", "Unknown direction", "direction must be %q or %q, got %q.", directionUpload, directionDownload, c.Direction)...)
	}
	return out
}

func (c *config) checkUpload(cfg cty.Value) diag.List {
	var out diag.List
	if c.HasContent && strings.HasSuffix(c.Destination, "/") {
		out = append(out, diag.At("destination", "Missing file name", "content needs the name of a file: destination must not end with a slash.")...)
	}
	if c.Generated || !component.Known(cfg, "generated") {
		return out
	}
	plain := 0
	check := func(attribute, path string) {
		if path == "" || gotmpl.HasAction(path) {
			return
		}
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			out = append(out, diag.At(attribute, "Source not found", "There is no file or folder %q. If it is made while the build runs, set generated = true.", path)...)
		case err != nil:
			out = append(out, diag.At(attribute, "Source not readable", "%s.", err)...)
		case !info.IsDir():
			plain++
		}
	}
	for _, p := range c.Sources {
		check("sources", p)
	}
	check("source", c.Source)
	if plain > 1 && component.Known(cfg, "destination") && c.Destination != "" && !strings.HasSuffix(c.Destination, "/") {
		out = append(out, diag.At("destination", "Several files for one path", "%d files would all be written to %q. End destination with a slash to copy them into that folder.", plain, c.Destination)...)
	}
	return out
}

// sources lists what to copy, in order.
func (c *config) sources() []string {
	if c.Source == "" {
		return c.Sources
	}
	return append(append([]string(nil), c.Sources...), c.Source)
}

// given reports whether an attribute holds anything, or may once it is known.
func given(cfg cty.Value, name string) bool {
	if !component.IsSet(cfg, name) {
		return false
	}
	v, _ := cfg.GetAttr(name).Unmark()
	if !v.IsKnown() {
		return true
	}
	if v.Type() == cty.String {
		return v.AsString() != ""
	}
	return v.LengthInt() > 0
}
