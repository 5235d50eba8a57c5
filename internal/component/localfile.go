package component

import (
	"errors"
	"io/fs"
	"os"

	"ingot/internal/diag"
	"ingot/internal/gotmpl"
)

// CheckPath finds out whether the local file or folder is there that an attribute
// names. An empty path is passed over, and one with an action, which is not known yet.
func CheckPath(attribute, path string) diag.List {
	_, out := checkPath(attribute, path)
	return out
}

// CheckFile is CheckPath for what has to be a file.
func CheckFile(attribute, path string) diag.List {
	info, out := checkPath(attribute, path)
	if info != nil && info.IsDir() {
		return diag.At(attribute, "Not a file", "%q is a folder.", path)
	}
	return out
}

// CheckFolder is CheckPath for what has to be a folder.
func CheckFolder(attribute, path string) diag.List {
	info, out := checkPath(attribute, path)
	if info != nil && !info.IsDir() {
		return diag.At(attribute, "Not a folder", "%q is not a folder.", path)
	}
	return out
}

// checkPath returns nil for a path that is passed over, or has a mistake.
func checkPath(attribute, path string) (fs.FileInfo, diag.List) {
	if path == "" || gotmpl.HasAction(path) {
		return nil, nil
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, diag.At(attribute, "File not found", "There is no file or folder %q.", path)
	case err != nil:
		return nil, diag.At(attribute, "File not readable", "%s.", err)
	}
	return info, nil
}
