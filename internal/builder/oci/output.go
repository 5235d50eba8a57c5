package oci

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// vacant fails when the output may not be written: something is there, and
// force is not given or would remove what was never an image.
func (o output) vacant(force bool) error {
	info, err := os.Lstat(o.path)
	if errors.Is(err, fs.ErrNotExist) {
		return o.parentUsable()
	}
	if err != nil {
		return fmt.Errorf("oci: output: %w", err)
	}
	if !force {
		return fmt.Errorf("oci: output %s exists already: remove it, or run with -force to replace it", o.path)
	}
	switch {
	case o.format != formatDir && info.IsDir():
		return fmt.Errorf("oci: output %s is a directory: it is not replaced by a file, not even with -force", o.path)
	case o.format == formatDir && !info.IsDir():
		return fmt.Errorf("oci: output %s is not a directory: it is not replaced by one, not even with -force", o.path)
	case o.format == formatDir && !isLayout(o.path):
		return fmt.Errorf("oci: output %s holds other things than an OCI image: it is not replaced, not even with -force", o.path)
	}
	return nil
}

// parentUsable fails when the folders above the output are neither there nor
// can be made.
func (o output) parentUsable() error {
	for dir := filepath.Dir(o.path); ; dir = filepath.Dir(dir) {
		st, err := os.Stat(dir)
		switch {
		case err == nil && st.IsDir():
			return nil
		case err == nil:
			return fmt.Errorf("oci: output %s: %s is not a directory", o.path, dir)
		case !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir):
			return fmt.Errorf("oci: output %s: %w", o.path, err)
		}
	}
}

// isLayout reports whether a directory is empty or an OCI image layout.
func isLayout(dir string) bool {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, e := range entries {
		switch e.Name() {
		case "oci-layout", "index.json", "blobs":
		default:
			return false
		}
	}
	return true
}
