package qemu

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ingot/internal/component"
	"ingot/internal/fileid"
	"ingot/internal/outfile"
)

// output is the folder of the artifact.
type output struct {
	// path is the folder as the user would write it, dir the absolute path.
	path, dir string
	// name is that of the machine and of its first disk.
	name string
	// lease holds the folder once it has been made.
	lease component.Lease
}

// findOutput says where the folder is.
func (p *plan) findOutput(r component.Run) (*output, error) {
	build := r.Template.BuildName
	o := &output{path: p.outputDir(build), name: p.vmName(build)}
	var err error
	if o.dir, err = filepath.Abs(o.path); err != nil {
		return nil, fmt.Errorf("output_directory: %w", err)
	}
	// The folder that a link leads to is replaced, not the link.
	if real, err := filepath.EvalSymlinks(o.dir); err == nil {
		o.dir = real
	}
	return o, nil
}

// openOutput checks that the folder can be made, and keeps other builds away from
// it until the end of this one. Nothing of the folder is touched yet.
func (p *plan) openOutput(ctx context.Context, r component.Run) (*output, error) {
	o, err := p.findOutput(r)
	if err != nil {
		return nil, err
	}
	if err := o.vacant(r.Force); err != nil {
		return nil, err
	}
	return o, o.lock(ctx, r)
}

// lock keeps builds apart that have the same folder: with -force one would remove
// the disks under the other.
func (o *output) lock(ctx context.Context, r component.Run) error {
	sum := sha256.Sum256([]byte(o.dir))
	unlock, err := outfile.Lock(ctx, r, filepath.Join(r.CacheDir, "qemu", hex.EncodeToString(sum[:8])))
	if err != nil {
		return fmt.Errorf("output_directory %s is used by another build: %w", o.path, err)
	}
	r.AtEnd(func() {
		if err := unlock(); err != nil {
			r.Emit(component.Problem{Text: err.Error()})
		}
	})
	return nil
}

// vacant fails when the folder may not be made.
func (o *output) vacant(force bool) error {
	info, err := os.Lstat(o.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("output_directory: %w", err)
	case !info.IsDir():
		return fmt.Errorf("output_directory %s is not a folder: remove it, or set another output_directory", o.path)
	case !force:
		return fmt.Errorf("output_directory %s exists already: remove it, or run with -force to replace it with all that is in it", o.path)
	}
	return o.expendable()
}

// expendable refuses to replace folders that nobody can mean.
func (o *output) expendable() error {
	kept := map[string]string{}
	if wd, err := os.Getwd(); err == nil {
		kept["the working directory"] = wd
	}
	if home, err := os.UserHomeDir(); err == nil {
		kept["the home directory"] = home
	}
	for what, path := range kept {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real
		}
		if rel, err := filepath.Rel(o.dir, path); err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
			return fmt.Errorf("output_directory %s holds %s: it is not replaced, not even with -force", o.path, what)
		}
	}
	return nil
}

// make makes the folder, in place of an old one with -force. It is removed when
// the build fails; only by its identity is it known to be ours.
func (o *output) make(ctx context.Context, r component.Run) error {
	if err := o.vacant(r.Force); err != nil {
		return err
	}
	parent := filepath.Dir(o.dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return fmt.Errorf("output_directory: %w", err)
	}
	draftPath := filepath.Join(parent, ".ingot-part-"+rand.Text())
	draft, err := r.Journal.Acquire(ctx, component.Resource{Kind: component.DirKind, Attrs: map[string]string{"path": draftPath}},
		func(context.Context, component.Resource) (string, error) {
			return draftPath, os.Mkdir(draftPath, 0o755)
		})
	if err != nil {
		return fmt.Errorf("output_directory: %w", err)
	}
	err = o.place(ctx, r, draftPath)
	// Under the name of the draft there is nothing any more.
	if err = errors.Join(err, draft.Release(context.WithoutCancel(ctx))); err != nil {
		return fmt.Errorf("output_directory %s: %w", o.path, err)
	}
	return nil
}

func (o *output) place(ctx context.Context, r component.Run, draft string) error {
	id, err := fileid.Of(draft)
	if err != nil {
		return err
	}
	if r.Force {
		if err := os.RemoveAll(o.dir); err != nil {
			return fmt.Errorf("remove what is there: %w", err)
		}
	}
	want := component.Resource{Kind: component.DirKind, Attrs: map[string]string{"path": o.dir, fileid.Attr: id}}
	o.lease, err = r.Journal.Acquire(ctx, want, func(context.Context, component.Resource) (string, error) {
		if _, err := os.Lstat(o.dir); err == nil {
			return "", fmt.Errorf("%w: another program has just made it", fs.ErrExist)
		}
		return o.dir, os.Rename(draft, o.dir)
	})
	return err
}

// file is the absolute path of a file in the folder.
func (o *output) file(name string) string { return filepath.Join(o.dir, name) }

// shown is the path of a file in the folder as the user would write it.
func (o *output) shown(name string) string { return filepath.Join(o.path, name) }
