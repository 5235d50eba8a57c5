package treecopy

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"
)

// UnpackOptions are optional.
type UnpackOptions struct {
	// SpecialBits keeps set-id and sticky bits, for streams that are
	// trusted.
	SpecialBits bool
	// Progress is told how many bytes of file contents have been read so
	// far.
	Progress func(done int64)
	// Skipped is told of devices and pipes, which are left out. When it is
	// nil they are an error.
	Skipped func(name string, mode fs.FileMode)
}

// Unpack reads a tar stream into a folder, which is made with its parents if
// it is missing. Existing files are replaced, others stay. Modes, modification
// times and symbolic links are kept; owners are not. A symbolic link may point
// anywhere, but nothing is written through one that leads out of the folder.
func Unpack(ctx context.Context, r io.Reader, dir string, o UnpackOptions) error {
	err := unpack(ctx, r, dir, o)
	if err != nil {
		return fmt.Errorf("unpack into %s: %w", dir, err)
	}
	return nil
}

func unpack(ctx context.Context, r io.Reader, dir string, o UnpackOptions) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }() // nothing is buffered in it
	u := &unpacker{ctx: ctx, o: o, root: root, tar: tar.NewReader(r), buf: make([]byte, copyBuffer)}
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		h, err := u.tar.Next()
		if err == io.EOF {
			return u.finish()
		}
		if err != nil {
			return err
		}
		if err := u.add(h); err != nil {
			return err
		}
	}
}

type unpacker struct {
	ctx  context.Context
	o    UnpackOptions
	root *os.Root
	tar  *tar.Reader
	buf  []byte
	done int64
	// folders get their modes and times at the end, since a mode may
	// forbid to fill them and filling them changes their times.
	folders []folder
}

type folder struct {
	name     string
	mode     fs.FileMode
	modified time.Time
}

// local turns a member's name into one below the folder. Names with ".." are
// refused rather than cleaned: whoever wrote them wanted something else.
func local(name string) (string, error) {
	clean := path.Clean(strings.TrimLeft(name, "/"))
	if clean == ".." || strings.HasPrefix(clean, "../") || strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("the stream has a member with the name %q, which leads out of the folder", name)
	}
	return clean, nil
}

func (u *unpacker) add(h *tar.Header) error {
	name, err := local(h.Name)
	if err != nil {
		return err
	}
	if dir := path.Dir(name); dir != "." {
		if err := u.root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return u.folder(name, h)
	case tar.TypeReg:
		return u.file(name, h)
	case tar.TypeSymlink:
		if err := u.clear(name); err != nil {
			return err
		}
		return u.root.Symlink(h.Linkname, name)
	case tar.TypeLink:
		return u.hardLink(name, h)
	}
	if u.o.Skipped != nil {
		u.o.Skipped(name, h.FileInfo().Mode())
		return nil
	}
	return fmt.Errorf("%s: cannot unpack a member of type %q", name, h.Typeflag)
}

// mode is the permission bits of a member.
func (u *unpacker) mode(h *tar.Header) fs.FileMode {
	m := h.FileInfo().Mode()
	if u.o.SpecialBits {
		return m.Perm() | m&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky)
	}
	return m.Perm()
}

// folder makes a folder. One that is there stays, and so does a link to one
// inside.
func (u *unpacker) folder(name string, h *tar.Header) error {
	info, err := u.root.Stat(name)
	switch {
	case err == nil && info.IsDir():
	case err == nil:
		return fmt.Errorf("%s is in the way: it is no directory", name)
	case errors.Is(err, fs.ErrNotExist):
		// The mode comes at the end.
		if err := u.root.Mkdir(name, 0o700); err != nil {
			return err
		}
	default:
		return err
	}
	if name != "." {
		u.folders = append(u.folders, folder{name, u.mode(h), h.ModTime})
	}
	return nil
}

// clear removes what is in the way of a file or link.
func (u *unpacker) clear(name string) error {
	info, err := u.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is in the way: it is a directory", name)
	}
	return u.root.Remove(name)
}

func (u *unpacker) file(name string, h *tar.Header) error {
	if err := u.clear(name); err != nil {
		return err
	}
	f, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	src := &meter{ctx: u.ctx, r: u.tar, done: &u.done, tell: u.o.Progress}
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, src, u.buf)
	if err == nil {
		err = f.Chmod(u.mode(h))
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return u.root.Chtimes(name, time.Time{}, h.ModTime)
}

func (u *unpacker) hardLink(name string, h *tar.Header) error {
	to, err := local(h.Linkname)
	if err != nil {
		return err
	}
	if to == name {
		return nil
	}
	if err := u.clear(name); err != nil {
		return err
	}
	return u.root.Link(to, name)
}

// finish gives the folders their modes and times, the deepest first.
func (u *unpacker) finish() error {
	for i := len(u.folders) - 1; i >= 0; i-- {
		f := u.folders[i]
		if err := u.root.Chtimes(f.name, time.Time{}, f.modified); err != nil {
			return err
		}
		if err := u.root.Chmod(f.name, f.mode); err != nil {
			return err
		}
	}
	return nil
}
