// Package outfile writes local files that appear complete or not at all. A
// file is written beside its final place under a name that cannot clash, is
// known to the journal meanwhile, and is renamed when it is complete and on
// disk.
package outfile

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"ingot/internal/component"
)

// File is a file that is being written.
type File struct {
	*os.File
	path  string
	lease component.Lease
	done  bool
}

// Create starts a new file for path, whose folder is made when it is missing.
// perm is the mode before umask; a file that is there already keeps its own.
// Either Commit or Abort must be called; calling Abort after Commit does
// nothing.
func Create(ctx context.Context, r component.Run, path string, perm fs.FileMode) (*File, error) {
	target, err := resolve(path)
	if err != nil {
		return nil, err
	}
	old, err := os.Stat(target)
	switch {
	case err == nil && !old.Mode().IsRegular():
		return nil, fmt.Errorf("write %s: it exists and is not a regular file", path)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	dir := filepath.Dir(target)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	part := unusedName(dir)
	f := &File{path: target}
	f.lease, err = r.Journal.Acquire(ctx, component.Resource{Kind: component.FileKind, Attrs: map[string]string{"path": part}},
		func(context.Context, component.Resource) (string, error) {
			var err error
			f.File, err = os.OpenFile(part, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
			if err == nil && old != nil {
				err = f.Chmod(old.Mode().Perm())
			}
			return part, err
		})
	if err != nil {
		if f.File != nil {
			f.File.Close()
		}
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	return f, nil
}

// resolve makes the path absolute and follows a symbolic link at its end, so
// that the link stays one.
func resolve(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("write %s: %w", path, err)
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		return real, nil
	}
	return abs, nil
}

func unusedName(dir string) string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return filepath.Join(dir, ".ingot-part-"+hex.EncodeToString(b[:]))
}

// Commit makes the file durable and puts it in its place.
func (f *File) Commit(ctx context.Context) error {
	if f.done {
		return nil
	}
	f.done = true
	ctx = context.WithoutCancel(ctx)
	err := f.Sync()
	if err = errors.Join(err, f.File.Close()); err == nil {
		err = os.Rename(f.Name(), f.path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(f.path))
	}
	// After the rename there is nothing left under the lease's name.
	if err = errors.Join(err, f.lease.Release(ctx)); err != nil {
		return fmt.Errorf("write %s: %w", f.path, err)
	}
	return nil
}

// Abort removes what has been written. The file at the final place is as it
// was before.
func (f *File) Abort(ctx context.Context) error {
	if f.done {
		return nil
	}
	f.done = true
	f.File.Close() // what is in it does not matter any more
	if err := f.lease.Release(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("remove the unfinished %s: %w", f.path, err)
	}
	return nil
}

// Write makes a whole file from data.
func Write(ctx context.Context, r component.Run, path string, data []byte, perm fs.FileMode) error {
	f, err := Create(ctx, r, path, perm)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Abort(ctx))
	}
	return f.Commit(ctx)
}

func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // folders cannot be opened for that there
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
