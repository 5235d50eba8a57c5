package componenttest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
)

// PostProcessorConfig says what the suite works with.
type PostProcessorConfig struct {
	New func() component.PostProcessor
	// Valid configurations can be planned and process the artifact that
	// Input returns, in an empty working directory. Invalid ones are
	// refused.
	Valid, Invalid Configs
	// Input makes an artifact whose files are below dir.
	Input func(t testing.TB, dir string) *component.Artifact
	// Instant names the valid configurations that do nothing that a cancel
	// could stop.
	Instant []string
}

// PostProcessor checks that a post-processor keeps the contract of
// component.PostProcessor and component.Transform.
func PostProcessor(t *testing.T, cfg PostProcessorConfig) { keep(t, postProcessorPromises(cfg)) }

func postProcessorPromises(cfg PostProcessorConfig) []promise {
	p := planned{
		schema: func() component.Schema { return cfg.New().Schema() },
		plan: func(ctx context.Context, v cty.Value) (bool, diag.List) {
			tr, diags := cfg.New().Plan(ctx, v)
			return tr != nil, diags
		},
		valid: cfg.Valid, invalid: cfg.Invalid,
	}
	return append(p.promises(),
		promise{"the input stays as it is", cfg.leavesInput},
		promise{"says what becomes of the input", cfg.saysUse},
		promise{"describes what it has made", cfg.describes},
		promise{"gives up what it acquires", cfg.closesLeases},
		promise{"a cancelled transform fails and leaves nothing", cfg.stops},
	)
}

// processing is one transform with what it is given.
type processing struct {
	name string
	tr   component.Transform
	in   *component.Artifact
	run  component.Run
	j    *MemoryJournal
	// work is the working directory and files the folder of the input.
	work, files string
}

func (cfg PostProcessorConfig) each(t testing.TB, fn func(p processing) error) error {
	var errs []error
	for name, values := range cfg.Valid {
		pp := cfg.New()
		tr, diags := pp.Plan(t.Context(), pp.Schema().Object(values))
		if diags.HasErrors() || tr == nil {
			errs = append(errs, fmt.Errorf("%s: plan: %w", name, diags.Err()))
			continue
		}
		p := processing{name: name, tr: tr, work: t.TempDir(), files: t.TempDir()}
		t.Chdir(p.work)
		p.in = cfg.Input(t, p.files)
		p.run, p.j, _ = NewRun(t)
		if err := fn(p); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

func (cfg PostProcessorConfig) leavesInput(t testing.TB) error {
	return cfg.each(t, func(p processing) error {
		before, files := copyArtifact(p.in), contents(p.files)
		_, _, err := p.tr.Process(t.Context(), p.run, p.in)
		if err != nil {
			return err
		}
		if !reflect.DeepEqual(before, p.in) {
			return fmt.Errorf("the input was changed from %+v to %+v", before, p.in)
		}
		if now := contents(p.files); !reflect.DeepEqual(files, now) {
			return fmt.Errorf("the input's files were changed from %v to %v", keysOf(files), keysOf(now))
		}
		return nil
	})
}

func (cfg PostProcessorConfig) saysUse(t testing.TB) error {
	return cfg.each(t, func(p processing) error {
		out, use, err := p.tr.Process(t.Context(), p.run, p.in)
		switch {
		case err != nil:
			return err
		case use != component.Consumes && use != component.Keeps && use != component.Requires:
			return fmt.Errorf("InputUse is %d", use)
		case out == p.in && use != component.Requires:
			return errors.New("it hands its input on, so it must require it")
		}
		return nil
	})
}

func (cfg PostProcessorConfig) describes(t testing.TB) error {
	return cfg.each(t, func(p processing) error {
		out, use, err := p.tr.Process(t.Context(), p.run, p.in)
		if err != nil || out == nil || out == p.in {
			return err
		}
		if err := describesFiles(out); err != nil {
			return err
		}
		if use != component.Requires {
			return nil
		}
		// An output that refers to its input must not own it as well.
		for _, theirs := range p.in.Resources {
			for _, ours := range out.Resources {
				if ours.Kind == theirs.Kind && ours.ID == theirs.ID {
					return fmt.Errorf("both the input and the output own %s %s", ours.Kind, ours.ID)
				}
			}
		}
		return nil
	})
}

// describesFiles: the artifact has a producer and a summary, its files are
// there with the sizes that it says, and resources that are files are absolute.
func describesFiles(a *component.Artifact) error {
	if a.Producer == "" || a.Summary == "" {
		return fmt.Errorf("the artifact has producer %q and summary %q", a.Producer, a.Summary)
	}
	for _, f := range a.Files {
		info, err := os.Stat(f.Path)
		if err != nil {
			return fmt.Errorf("a file of the artifact: %w", err)
		}
		if info.Mode().IsRegular() && info.Size() != f.Size {
			return fmt.Errorf("%s has %d bytes, the artifact says %d", f.Path, info.Size(), f.Size)
		}
	}
	for _, r := range a.Resources {
		if r.Kind != component.FileKind {
			continue
		}
		if !filepath.IsAbs(r.ID) {
			return fmt.Errorf("resource %q is not an absolute path", r.ID)
		}
		if _, err := os.Stat(r.ID); err != nil {
			return fmt.Errorf("a resource of the artifact: %w", err)
		}
	}
	return nil
}

func (cfg PostProcessorConfig) closesLeases(t testing.TB) error {
	return cfg.each(t, func(p processing) error {
		_, _, err := p.tr.Process(t.Context(), p.run, p.in)
		if open := p.j.Open(); len(open) > 0 {
			err = errors.Join(err, fmt.Errorf("it still holds %v", open))
		}
		return err
	})
}

func (cfg PostProcessorConfig) stops(t testing.TB) error {
	return cfg.each(t, func(p processing) error {
		if slices.Contains(cfg.Instant, p.name) {
			return nil
		}
		before := contents(p.files)
		out, _, err := p.tr.Process(stopped(t), p.run, p.in)
		switch {
		case !errors.Is(err, errStop):
			return fmt.Errorf("got %v, want an error that wraps the context's cause", err)
		case out != nil:
			return errors.New("there is an artifact beside the error")
		case len(p.j.Open()) > 0:
			return fmt.Errorf("it still holds %v", p.j.Open())
		}
		if left := contents(p.work); len(left) > 0 {
			return fmt.Errorf("it has left %v", keysOf(left))
		}
		if now := contents(p.files); !reflect.DeepEqual(before, now) {
			return fmt.Errorf("the input's files were changed from %v to %v", keysOf(before), keysOf(now))
		}
		return nil
	})
}

func copyArtifact(a *component.Artifact) *component.Artifact {
	c := *a
	c.Files, c.Images, c.Resources = slices.Clone(a.Files), slices.Clone(a.Images), slices.Clone(a.Resources)
	if a.Data != nil {
		c.Data = map[string]cty.Value{}
		for k, v := range a.Data {
			c.Data[k] = v
		}
	}
	return &c
}

// contents reads all files below a folder.
func contents(dir string) map[string]string {
	out := map[string]string{}
	_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			out[path] = fmt.Sprint(string(data), err)
		}
		return nil
	})
	return out
}

func keysOf(m map[string]string) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
