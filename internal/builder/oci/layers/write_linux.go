package layers

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"
)

// WriteOptions says what Write puts into the archive.
type WriteOptions struct {
	// Lower, when set, makes the tree the upper directory of an overlay
	// over Lower, and the archive the image layer of the difference:
	// whiteouts are translated, and a directory that is there only because
	// the overlay copied it up is left out.
	Lower *Root
	// Self puts an entry "./" for the tree's root in front.
	Self bool
	// Clamp, when set, is the latest modification time to write.
	Clamp *time.Time
}

// Write archives a tree. Entries are sorted, carry numeric owners only and no
// time but the modification time in seconds, so that equal trees give equal
// bytes. It reports how many entries it wrote.
func Write(ctx context.Context, root *Root, w io.Writer, opt WriteOptions) (entries int, err error) {
	a := &archiver{ctx: ctx, opt: opt, tw: tar.NewWriter(w), links: map[inode]string{}}
	if err := a.top(root); err != nil {
		return a.entries, err
	}
	return a.entries, a.tw.Close()
}

type inode struct{ dev, ino uint64 }

type archiver struct {
	ctx     context.Context
	opt     WriteOptions
	tw      *tar.Writer
	links   map[inode]string
	entries int
	// pending are directories that are written only once something in
	// them is.
	pending []*tar.Header
}

func (a *archiver) top(root *Root) error {
	fd := root.fd()
	if a.opt.Self || a.opt.Lower != nil {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return fmt.Errorf("archive: %w", err)
		}
		h, xs, err := a.header(fd, ".", "./", &st)
		if err != nil {
			return fmt.Errorf("archive root directory: %w", err)
		}
		changed := true
		if a.opt.Lower != nil {
			changed = a.changed(a.opt.Lower.fd(), ".", &st, xs)
		}
		if changed {
			if err := a.emit(h); err != nil {
				return err
			}
		}
	}
	lower := -1
	if a.opt.Lower != nil {
		lower = a.opt.Lower.fd()
	}
	return a.children(fd, lower, "")
}

// children archives what a directory holds. lower is the same directory in
// the lower tree, or -1.
func (a *archiver) children(dir, lower int, prefix string) error {
	names, err := namesIn(dir)
	if err != nil {
		return fmt.Errorf("archive %s: %w", "/"+prefix, err)
	}
	for _, n := range names {
		if err := context.Cause(a.ctx); err != nil {
			return err
		}
		if err := a.child(dir, lower, n, path.Join(prefix, n)); err != nil {
			return fmt.Errorf("archive %s: %w", "/"+path.Join(prefix, n), err)
		}
	}
	return nil
}

func (a *archiver) child(dir, lower int, base, name string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		if err == unix.ENOENT {
			return nil // a live tree changes while it is read
		}
		return err
	}
	kind := st.Mode & unix.S_IFMT
	switch {
	case a.opt.Lower != nil && kind == unix.S_IFCHR && st.Rdev == 0:
		return a.emit(&tar.Header{
			Typeflag: tar.TypeReg, Name: path.Join(path.Dir(name), whiteoutPrefix+base),
			Mode: 0o600, ModTime: a.time(st),
		})
	case kind == unix.S_IFSOCK:
		return nil // archives cannot hold a socket, and it means nothing without its owner
	}
	h, xs, err := a.header(dir, base, name, &st)
	if err != nil {
		return err
	}
	if kind == unix.S_IFDIR {
		return a.directory(dir, lower, base, h, &st, xs)
	}
	if kind == unix.S_IFREG && st.Nlink > 1 {
		id := inode{st.Dev, st.Ino}
		if first, ok := a.links[id]; ok {
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
			h.PAXRecords = nil
			return a.emit(h)
		}
		a.links[id] = name
	}
	if kind != unix.S_IFREG {
		return a.emit(h)
	}
	return a.regular(dir, base, h)
}

func (a *archiver) regular(dir int, base string, h *tar.Header) error {
	fd, err := unix.Openat(dir, base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), base)
	defer f.Close()
	if err := a.emit(h); err != nil {
		return err
	}
	n, err := io.Copy(a.tw, io.LimitReader(f, h.Size))
	if err == nil && n < h.Size {
		err = errors.New("the file became shorter while it was read")
	}
	return err
}

func (a *archiver) directory(dir, lower int, base string, h *tar.Header, st *unix.Stat_t, xs map[string]string) error {
	fd, err := unix.Openat(dir, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	opaque := a.opt.Lower != nil && isOpaque(xs)
	below := -1
	if lower >= 0 && !opaque {
		below, err = unix.Openat(lower, base, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err == nil {
			defer unix.Close(below)
		} else {
			below = -1
		}
	}
	depth := len(a.pending)
	a.pending = append(a.pending, h)
	if below < 0 || a.changed(lower, base, st, xs) {
		if err := a.flush(); err != nil {
			return err
		}
	}
	if opaque {
		marker := &tar.Header{
			Typeflag: tar.TypeReg, Name: path.Join(h.Name, opaqueMarker),
			Mode: 0o600, ModTime: h.ModTime,
		}
		if err := a.emit(marker); err != nil {
			return err
		}
	}
	if err := a.children(fd, below, path.Clean(h.Name)); err != nil {
		return err
	}
	if len(a.pending) > depth {
		a.pending = a.pending[:depth]
	}
	return nil
}

// changed reports whether a directory differs from the one in the lower tree
// in more than its times.
func (a *archiver) changed(lower int, base string, st *unix.Stat_t, xs map[string]string) bool {
	if a.opt.Lower == nil {
		return true
	}
	var old unix.Stat_t
	if unix.Fstatat(lower, base, &old, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return true
	}
	if old.Mode != st.Mode || old.Uid != st.Uid || old.Gid != st.Gid {
		return true
	}
	oldXs, err := xattrs(lower, base)
	return err != nil || !maps.Equal(archived(oldXs), archived(xs))
}

func (a *archiver) emit(h *tar.Header) error {
	if err := a.flush(); err != nil {
		return err
	}
	a.entries++
	return a.tw.WriteHeader(h)
}

func (a *archiver) flush() error {
	for _, h := range a.pending {
		if h == nil {
			continue
		}
		a.entries++
		if err := a.tw.WriteHeader(h); err != nil {
			return err
		}
	}
	// What has been written stays in place as nil, so that the depth of
	// the stack still is the depth of the walk.
	for i := range a.pending {
		a.pending[i] = nil
	}
	return nil
}

func (a *archiver) header(dir int, base, name string, st *unix.Stat_t) (*tar.Header, map[string]string, error) {
	xs, err := xattrs(dir, base)
	if err != nil {
		return nil, nil, err
	}
	h := &tar.Header{
		Name: name, Mode: int64(st.Mode & 0o7777), Uid: int(st.Uid), Gid: int(st.Gid),
		ModTime: a.time(*st),
	}
	if note, ok := xs[ownerAttr]; ok && st.Uid == 0 && st.Gid == 0 {
		if _, err := fmt.Sscanf(note, "%d:%d", &h.Uid, &h.Gid); err != nil {
			h.Uid, h.Gid = 0, 0
		}
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		h.Typeflag, h.Size = tar.TypeReg, st.Size
	case unix.S_IFDIR:
		h.Typeflag = tar.TypeDir
		if base != "." {
			h.Name = name + "/"
		}
	case unix.S_IFLNK:
		h.Typeflag = tar.TypeSymlink
		to, ok := readLink(dir, base)
		if !ok {
			return nil, nil, errors.New("the link cannot be read")
		}
		h.Linkname = to
	case unix.S_IFCHR, unix.S_IFBLK:
		h.Typeflag = tar.TypeChar
		if st.Mode&unix.S_IFMT == unix.S_IFBLK {
			h.Typeflag = tar.TypeBlock
		}
		h.Devmajor, h.Devminor = int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	}
	for key, value := range archived(xs) {
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords[xattrRecord+key] = value
	}
	return h, xs, nil
}

func (a *archiver) time(st unix.Stat_t) time.Time {
	t := time.Unix(st.Mtim.Sec, 0)
	if a.opt.Clamp != nil && t.After(*a.opt.Clamp) {
		t = a.opt.Clamp.Truncate(time.Second)
	}
	return t
}

// archived are the extended attributes that go into the archive.
func archived(xs map[string]string) map[string]string {
	out := make(map[string]string, len(xs))
	for k, v := range xs {
		if portable(k) {
			out[k] = v
		}
	}
	return out
}

func isOpaque(xs map[string]string) bool {
	return xs["trusted.overlay.opaque"] == "y" || xs["user.overlay.opaque"] == "y"
}

// CopyAttributes gives the root of a tree the owner, mode, times and extended
// attributes of another one's, as the upper directory of an overlay needs.
func CopyAttributes(from, to *Root) error {
	var st unix.Stat_t
	if err := unix.Fstat(from.fd(), &st); err != nil {
		return fmt.Errorf("read attributes: %w", err)
	}
	xs, err := xattrs(from.fd(), ".")
	if err != nil {
		return err
	}
	if err := unix.Fchownat(to.fd(), ".", int(st.Uid), int(st.Gid), 0); err != nil {
		return fmt.Errorf("set owner: %w", err)
	}
	if err := unix.Fchmodat(to.fd(), ".", st.Mode&0o7777, 0); err != nil {
		return fmt.Errorf("set mode: %w", err)
	}
	for k, v := range xs {
		if !portable(k) && k != ownerAttr {
			continue
		}
		if err := unix.Lsetxattr(magic(to.fd(), "."), k, []byte(v), 0); err != nil {
			return fmt.Errorf("set extended attribute %s: %w", k, err)
		}
	}
	return setTime(to.fd(), ".", time.Unix(st.Mtim.Sec, st.Mtim.Nsec))
}
