// Package file is the file builder: its image is a single file.
package file

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/fileid"
)

type builder struct{}

// New returns the file builder.
func New() component.Builder { return builder{} }

func (builder) Schema() component.Schema {
	target := component.String("target", "The file to write. It is replaced when it exists.")
	target.Required, target.Format = true, component.Path
	source := component.String("source", "A file to copy.")
	source.Format = component.Path
	return component.Schema{
		Description: "Writes one file. There is no machine: only local steps such as shell-local can be used with it.",
		Attributes: []component.Attribute{
			target,
			source,
			component.String("content", "What the file is to hold."),
		},
		Manual: &component.Manual{
			Example: `source "file" "example" {
  target  = "greeting.txt"
  content = "hello\n"
}
`,
			Facts:    []component.Term{{Name: "ID", Description: "Always `File`."}},
			Artifact: "The file. It is removed when the build fails.",
		},
	}
}

func (builder) Plan(_ context.Context, cfg cty.Value) (component.Job, diag.List) {
	var j job
	if err := component.Decode(cfg, &j); err != nil {
		return nil, diag.Errorf("Invalid configuration", "%s.", err)
	}
	var out diag.List
	if component.Known(cfg, "target") && j.Target == "" {
		out = append(out, diag.At("target", "Missing target", "Set target to the file that is to be written.")...)
	}
	hasContent, hasSource := component.IsSet(cfg, "content"), component.IsSet(cfg, "source")
	switch {
	case component.HasValue(cfg, "content") && component.HasValue(cfg, "source"):
		out = append(out, diag.At("source", "Conflicting settings", "content and source exclude each other. Remove one of them.")...)
	case !hasContent && !hasSource && cfg.IsKnown():
		out = append(out, diag.WarnAt("target", "Empty file", "Neither content nor source is set: the file will be empty.")...)
	}
	if out.HasErrors() {
		return nil, out
	}
	return j, out
}

type job struct {
	Target  string `cty:"target"`
	Source  string `cty:"source"`
	Content string `cty:"content"`
}

func (job) FactNames() []string { return []string{"ID"} }

// Creates implements component.Describer.
func (j job) Creates() []component.Creation {
	return []component.Creation{{Kind: "file", Name: j.Target}}
}

// Origin implements component.OriginTeller.
func (j job) Origin(context.Context, component.Run) (component.Origins, error) {
	if j.Source == "" {
		return component.Origins{}, nil
	}
	return component.Origins{Files: []string{j.Source}}, nil
}

func (job) Prepare(context.Context, component.Run) error { return nil }

// Boot writes the file, since local provisioners may work on it. It belongs
// to the run until Capture: a failed build leaves no file.
func (j job) Boot(ctx context.Context, r component.Run) (component.Machine, error) {
	path, err := filepath.Abs(j.Target)
	if err != nil {
		return nil, fmt.Errorf("file: %w", err)
	}
	if err := j.clear(path); err != nil {
		return nil, fmt.Errorf("file: target %s: %w", j.Target, err)
	}
	lease, err := j.place(ctx, r, path)
	if err != nil {
		return nil, fmt.Errorf("file: write %s: %w", j.Target, err)
	}
	return machine{lease}, nil
}

// place writes the file under a name of its own and then links it to its
// target. Only by its identity is it known to be ours there: another build, or
// a later run, may write to the same target.
func (j job) place(ctx context.Context, r component.Run, path string) (component.Lease, error) {
	tmp := filepath.Join(filepath.Dir(path), ".ingot-part-"+rand.Text())
	draft, err := r.Journal.Acquire(ctx, component.Resource{Kind: component.FileKind, Attrs: map[string]string{"path": tmp}},
		func(ctx context.Context, _ component.Resource) (string, error) { return tmp, j.write(ctx, tmp) })
	if err != nil {
		return nil, err
	}
	id, err := fileid.Of(tmp)
	if err != nil {
		return nil, errors.Join(err, draft.Release(context.WithoutCancel(ctx)))
	}
	want := component.Resource{Kind: component.FileKind, Attrs: map[string]string{"path": path, fileid.Attr: id}}
	lease, err := r.Journal.Acquire(ctx, want, func(context.Context, component.Resource) (string, error) {
		return path, moveIntoFree(tmp, path)
	})
	return lease, errors.Join(err, draft.Release(context.WithoutCancel(ctx)))
}

// moveIntoFree gives a file its final name, unless something has that name.
func moveIntoFree(tmp, path string) error {
	err := os.Link(tmp, path)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		// This file system has no hard links; look, then rename.
		if _, statErr := os.Lstat(path); errors.Is(statErr, fs.ErrNotExist) {
			return os.Rename(tmp, path)
		}
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: another build or program has just written it", err)
	}
	return err
}

// clear makes the folder and removes what is at the target, before the
// journal hears of it: were the run to be cut short now, only what it has made
// itself would be removed.
func (j job) clear(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("it exists and is not a regular file")
	}
	if j.Source != "" {
		source, err := os.Open(j.Source)
		if err != nil {
			return err
		}
		is, err := source.Stat()
		if err = errors.Join(err, source.Close()); err != nil {
			return err
		}
		if info != nil && os.SameFile(is, info) {
			return errors.New("source and target are the same file")
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (j job) write(ctx context.Context, path string) error {
	perm := fs.FileMode(0o600)
	var in io.Reader = strings.NewReader(j.Content)
	if j.Source != "" {
		source, err := os.Open(j.Source)
		if err != nil {
			return err
		}
		defer source.Close()
		perm, in = 0o666, readerUntil{ctx, source}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, in)
	return errors.Join(err, f.Close())
}

func (j job) Capture(ctx context.Context, _ component.Run, m component.Machine) (*component.Artifact, error) {
	lease := m.(machine).lease
	size, digest, err := describe(ctx, j.Target)
	if err != nil {
		return nil, fmt.Errorf("file: %w", err)
	}
	// A step may have put a new file in the place of the first one.
	res := lease.Resource()
	id, err := fileid.Of(res.ID)
	if err != nil {
		return nil, fmt.Errorf("file: %w", err)
	}
	res.Attrs = map[string]string{"path": res.ID, fileid.Attr: id}
	if err := lease.Keep(ctx); err != nil {
		return nil, fmt.Errorf("file: keep %s: %w", j.Target, err)
	}
	return &component.Artifact{
		Producer:  "packer.file",
		ID:        "File",
		Summary:   "Stored file: " + j.Target,
		Files:     []component.File{{Path: j.Target, Size: size, Digest: digest}},
		Resources: []component.Resource{res},
	}, nil
}

// describe returns a file's size and digest.
func describe(ctx context.Context, path string) (int64, string, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, readerUntil{ctx, f})
	if err != nil {
		return 0, "", err
	}
	return n, "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// readerUntil fails once its context has ended.
type readerUntil struct {
	ctx context.Context
	io.Reader
}

func (r readerUntil) Read(p []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
