package base

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// files is a set of named files: a directory or an archive.
type files interface {
	// open opens a file; a missing one is fs.ErrNotExist. The name has
	// slashes and is relative.
	open(name string) (io.ReadCloser, error)
}

// dirFiles are the files of a directory.
type dirFiles string

func (d dirFiles) open(name string) (io.ReadCloser, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	return os.Open(filepath.Join(string(d), filepath.FromSlash(name)))
}

// archiveFiles are the files of a tar file, read where they lie.
type archiveFiles struct {
	path    string
	entries map[string]extent
	// links are other names, as older "docker save" used them.
	links map[string]string
}

type extent struct{ at, size int64 }

// maxLinks bounds how many links lead to a file.
const maxLinks = 16

func (a *archiveFiles) open(name string) (io.ReadCloser, error) {
	name = path.Clean(name)
	for range maxLinks {
		e, ok := a.entries[name]
		if ok {
			f, err := os.Open(a.path)
			if err != nil {
				return nil, err
			}
			return both{io.NewSectionReader(f, e.at, e.size), []io.Closer{f}}, nil
		}
		to, ok := a.links[name]
		if !ok {
			break
		}
		name = to
	}
	return nil, &fs.PathError{Op: "open", Path: a.path + ":" + name, Err: fs.ErrNotExist}
}

// openArchive lists a tar file. A compressed one is decompressed first.
func (s *Store) openArchive(ctx context.Context, file string) (*archiveFiles, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in, err := decompress(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	defer in.Close()
	if in.was {
		if file, err = s.spool(ctx, in); err != nil {
			return nil, err
		}
	}
	return listArchive(file)
}

// spool writes a stream to a temporary file.
func (s *Store) spool(ctx context.Context, in io.Reader) (string, error) {
	f, err := os.CreateTemp(s.Tmp, "archive-")
	if err != nil {
		return "", fmt.Errorf("oci cache: %w", err)
	}
	_, err = io.Copy(f, cancellable{ctx, in})
	return f.Name(), errors.Join(err, f.Close())
}

func listArchive(file string) (*archiveFiles, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	a := &archiveFiles{path: file, entries: map[string]extent{}, links: map[string]string{}}
	if err := a.list(f); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return a, nil
}

// list reads the headers only, since tar skips contents by seeking.
func (a *archiveFiles) list(f io.ReadSeeker) error {
	tr := tar.NewReader(f)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		name := path.Clean(h.Name)
		switch h.Typeflag {
		case tar.TypeReg:
			at, err := f.Seek(0, io.SeekCurrent)
			if err != nil {
				return err
			}
			a.entries[name] = extent{at, h.Size}
		case tar.TypeSymlink:
			a.links[name] = path.Join(path.Dir(name), h.Linkname)
		case tar.TypeLink:
			a.links[name] = path.Clean(h.Linkname)
		}
	}
}

// readFile reads a small file, such as a manifest.
func readFile(from files, name string) ([]byte, error) {
	f, err := from.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	const most = 16 << 20
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && len(text) > most {
		err = fmt.Errorf("%s is larger than any manifest", name)
	}
	return text, err
}
