// Package reap removes the resources that belong to no provider: files,
// folders and processes of this machine.
package reap

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ingot/internal/component"
	"ingot/internal/fileid"
)

// Files removes files and folders. Resource.ID, or Attrs["path"] while the ID
// is not known, is an absolute path.
type Files struct{}

var _ component.Reaper = Files{}

// PathAttr is where a resource says which path it is about to make.
const PathAttr = "path"

// Kinds implements component.Reaper.
func (Files) Kinds() []string { return []string{component.FileKind, component.DirKind} }

// Reap removes the file, or the folder with everything below it; a folder with
// something mounted below it is left alone. Gone is success, and so is another
// file at the path than the one whose identity the resource has.
func (Files) Reap(_ context.Context, r component.Resource) error {
	path := r.ID
	if path == "" {
		path = r.Attrs[PathAttr]
	}
	if path == "" {
		return nil // nothing was made yet: the path is chosen before the intent
	}
	if !filepath.IsAbs(path) || filepath.Clean(path) == filepath.Dir(filepath.Clean(path)) {
		return fmt.Errorf("refusing to remove %q: not an absolute path below the root", path)
	}
	if want := r.Attrs[fileid.Attr]; want != "" {
		is, err := fileid.Of(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && is != want {
			return nil
		}
		if err != nil {
			return err
		}
	}
	if r.Kind == component.FileKind {
		return removeFile(path)
	}
	return removeTree(path)
}

func removeFile(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.IsDir() {
		return fmt.Errorf("%s is a folder now: left alone", path)
	}
	err = os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// removeTree makes folders writable where that is what stands in the way, as
// trees that were unpacked from archives often have folders without.
func removeTree(path string) error {
	if crossed, err := mountBelow(path); err != nil || crossed != "" {
		if err == nil {
			err = fmt.Errorf("%s is still mounted: left alone", crossed)
		}
		return err
	}
	err := os.RemoveAll(path)
	if err == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	walk := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			return os.Chmod(p, 0o700)
		}
		return nil
	})
	return errors.Join(os.RemoveAll(path), walk)
}
