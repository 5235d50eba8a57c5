package treecopy

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// entry is a file, folder or symbolic link below the folder that is walked.
type entry struct {
	file string // where it is
	name string // what it is called in the stream
	info fs.FileInfo
	to   string // of a symbolic link
}

// walker goes through a folder in lexical order.
type walker struct {
	ctx   context.Context
	o     PackOptions
	visit func(entry) error
}

// folder visits the members of a folder; above are the folders on the way,
// which a followed link must not lead to.
func (w *walker) folder(dir, name string, above []fs.FileInfo) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		if w.ctx.Err() != nil {
			return context.Cause(w.ctx)
		}
		if err := w.member(filepath.Join(dir, e.Name()), path.Join(name, e.Name()), above); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) member(file, name string, above []fs.FileInfo) error {
	info, err := os.Lstat(file)
	if err != nil {
		return err
	}
	if info.Mode().Type() == fs.ModeSymlink {
		if !w.o.FollowLinks {
			to, err := os.Readlink(file)
			if err != nil {
				return err
			}
			return w.visit(entry{file, name, info, to})
		}
		if info, err = os.Stat(file); err != nil {
			return err
		}
	}
	switch {
	case info.IsDir():
		for _, a := range above {
			if os.SameFile(a, info) {
				return fmt.Errorf("%s: the symbolic link leads back to a folder that it is in", file)
			}
		}
		if err := w.visit(entry{file, name, info, ""}); err != nil {
			return err
		}
		return w.folder(file, name, append(above[:len(above):len(above)], info))
	case info.Mode().IsRegular():
		return w.visit(entry{file, name, info, ""})
	case w.o.Skipped != nil:
		w.o.Skipped(name, info.Mode())
		return nil
	}
	return fmt.Errorf("%s: cannot copy a file of type %s", file, info.Mode().Type())
}

// walk visits everything below dir.
func walk(ctx context.Context, dir string, o PackOptions, visit func(entry) error) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	w := &walker{ctx: ctx, o: o, visit: visit}
	name := ""
	if o.Prefix != "" {
		name = path.Clean(o.Prefix)
		if err := visit(entry{dir, name, info, ""}); err != nil {
			return err
		}
	}
	return w.folder(dir, name, []fs.FileInfo{info})
}
