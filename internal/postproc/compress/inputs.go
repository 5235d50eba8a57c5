package compress

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"ingot/internal/component"
)

// input is one file or folder that goes into the output.
type input struct {
	path string
	// name is its name in an archive, with slashes.
	name string
	info fs.FileInfo
	// link is what a symbolic link below a folder points to.
	link string
}

// listInputs names the files of an artifact, and all that is below those that
// are folders, each once.
func listInputs(f format, files []component.File) ([]input, error) {
	var paths []string
	seen := map[string]bool{}
	for _, file := range files {
		p := filepath.Clean(file.Path)
		if !seen[p] {
			seen[p] = true
			paths = append(paths, p)
		}
	}
	names, err := entryNames(f, paths)
	if err != nil {
		return nil, err
	}
	var out []input
	for i, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			out = append(out, input{path: p, name: names[i], info: info})
			continue
		}
		below, err := walk(p, names[i])
		if err != nil {
			return nil, err
		}
		out = append(out, below...)
	}
	return out, nil
}

func walk(root, name string) ([]input, error) {
	var out []input
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		in := input{path: p, name: path.Join(name, filepath.ToSlash(rel)), info: info}
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			if in.link, err = os.Readlink(p); err != nil {
				return err
			}
		case !info.Mode().IsRegular() && !info.IsDir():
			return errors.New(p + " is neither a file nor a folder")
		}
		out = append(out, in)
		return nil
	})
	return out, err
}

// entryNames chooses the names in the archive. A tar has base names, a zip
// the paths as they are; where that would give two files one name, or lead out
// of the archive, all get their paths below the folder that they share.
func entryNames(f format, paths []string) ([]string, error) {
	out := make([]string, len(paths))
	used := map[string]bool{}
	good := true
	for i, p := range paths {
		name := filepath.Base(p)
		if f.archive == zipArchive {
			good = good && filepath.IsLocal(p)
			name = filepath.ToSlash(p)
		}
		out[i] = name
		good = good && !used[name] && filepath.IsLocal(name)
		used[name] = true
	}
	if good {
		return out, nil
	}
	return belowShared(paths)
}

func belowShared(paths []string) ([]string, error) {
	abs := make([]string, len(paths))
	for i, p := range paths {
		a, err := filepath.Abs(p)
		if err != nil {
			return nil, err
		}
		abs[i] = a
	}
	shared := filepath.Dir(abs[0])
	for _, a := range abs[1:] {
		for !inside(a, shared) {
			up := filepath.Dir(shared)
			if up == shared {
				break
			}
			shared = up
		}
	}
	out := make([]string, len(abs))
	for i, a := range abs {
		rel, err := filepath.Rel(shared, a)
		if err != nil {
			return nil, err
		}
		out[i] = filepath.ToSlash(rel)
	}
	return out, nil
}

// inside reports whether p lies below dir.
func inside(p, dir string) bool {
	rel, err := filepath.Rel(dir, p)
	return err == nil && rel != "." && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}
