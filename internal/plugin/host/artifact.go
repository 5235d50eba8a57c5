package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/plugin/packerwire"
)

// fileOf describes a file that a plugin names. What is no file on this machine has no
// size.
func fileOf(path string) component.File {
	f := component.File{Path: strings.ToValidUTF8(path, "�")}
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		f.Size = info.Size()
	}
	return f
}

// given is an artifact as post-processors of plugins see it.
type given struct {
	ctx  context.Context // of the post-processor
	live *Live
	a    *component.Artifact
	data map[string]any
}

func (g given) BuilderID() string { return g.a.Producer }
func (g given) ID() string        { return g.a.ID }
func (g given) Summary() string   { return g.a.Summary }

func (g given) Files() []string {
	var out []string
	for _, f := range g.a.Files {
		out = append(out, f.Path)
	}
	return out
}

// State knows the data of the machine, and what the plugin that made the artifact knows.
func (g given) State(key string) any {
	if key == packerwire.GeneratedData {
		return g.data
	}
	made := g.live.artifactOf(g.a)
	if made == nil {
		return nil
	}
	v, err := made.state(g.ctx, key)
	if err != nil {
		return nil // as when it is not known
	}
	return v
}

// Destroy is refused: whether an artifact goes is decided when what replaces it is
// there.
func (g given) Destroy(context.Context) error {
	return errors.New("an artifact is removed by the program that runs the plugin, when keep_input_artifact allows it")
}

// given returns an artifact for a post-processor.
func (h *Provider) given(ctx context.Context, r component.Run, a *component.Artifact) given {
	texts := map[string]cty.Value{}
	for name, s := range r.Template.Build {
		texts[name] = cty.StringVal(s)
	}
	d := data(texts)
	maps.Copy(d, plain(a.Data))
	for name, v := range d {
		if s, ok := v.(string); ok {
			d[name] = typed(name, s)
		}
	}
	return given{ctx, h.plugin.Live, a, d}
}

// typed gives values that plugins know as something else than texts their type back.
func typed(name, s string) any {
	var n int64
	switch {
	case name == "Port":
		if _, err := fmt.Sscan(s, &n); err == nil {
			return n
		}
		return int64(0)
	case name == "SSHAgentAuth":
		return s == "true"
	}
	return s
}

// same reports whether an artifact is the one that was given, seen through the plugin.
func same(out, in *component.Artifact) bool {
	if out.Producer != in.Producer || out.ID != in.ID || out.Summary != clean(in.Summary) || len(out.Files) != len(in.Files) {
		return false
	}
	for i := range in.Files {
		if out.Files[i].Path != in.Files[i].Path {
			return false
		}
	}
	return true
}
