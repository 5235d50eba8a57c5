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
		parent := filepath.Dir(o.path)
		if st, err := os.Stat(parent); err != nil || !st.IsDir() {
			return fmt.Errorf("oci: output %s: %s is not a directory: make it first", o.path, parent)
		}
		return nil
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
