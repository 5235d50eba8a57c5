package layers

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Owners says which owner unpacked files get.
type Owners uint8

const (
	// KeepOwners sets the owners that the archive names. One that does not
	// exist in the user namespace is noted in an extended attribute, from
	// which Write takes it again.
	KeepOwners Owners = iota + 1
	// RootOwners makes everything belong to 0:0.
	RootOwners
)

// ExtractOptions says how Extract works.
type ExtractOptions struct {
	Owners Owners
	// Layer treats the archive as an image layer: whiteouts remove, and
	// existing directories get the attributes that the layer names.
	// Without it whiteouts are ordinary files, links to directories are
	// entered instead of replaced and existing directories stay as they are.
	Layer bool
	// Prefix is the directory below the root that entries go to; hard
	// links in the archive are relative to it.
	Prefix string
}

// Report is what could not be unpacked as the archive wants it.
type Report struct {
	// Squashed counts files whose owner could not be set.
	Squashed int
	// Devices counts device nodes that could not be made.
	Devices int
}

const (
	whiteoutPrefix = ".wh."
	opaqueMarker   = ".wh..wh..opq"
	xattrRecord    = "SCHILY.xattr."
)

// Extract unpacks an uncompressed tar stream into root.
func Extract(root *Root, archive io.Reader, opt ExtractOptions) (Report, error) {
	x := &extractor{root: root, opt: opt, made: map[string]bool{}, parent: -1}
	defer x.forgetParent()
	tr := tar.NewReader(archive)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return x.report, x.finish()
		}
		if err != nil {
			return x.report, fmt.Errorf("read archive: %w", err)
		}
		if err := x.entry(h, tr); err != nil {
			return x.report, fmt.Errorf("unpack %q: %w", h.Name, err)
		}
	}
}

type extractor struct {
	root   *Root
	opt    ExtractOptions
	report Report
	// made holds the cleaned names this archive has brought, with their
	// parents, so that whiteouts spare them.
	made map[string]bool
	// late are directories whose times are set at the end, when nothing
	// is put into them any more.
	late []lateDir
	// parent is the directory of the previous entry, kept open because
	// archives list directories together.
	parent     int
	parentName string
}

type lateDir struct {
	name  string
	mtime time.Time
}

func (x *extractor) forgetParent() {
	if x.parent >= 0 {
		_ = unix.Close(x.parent)
		x.parent = -1
	}
}

func (x *extractor) openParent(dir string) (int, error) {
	if x.parent >= 0 && x.parentName == dir {
		return x.parent, nil
	}
	x.forgetParent()
	fd, _, err := x.root.dirAt(dir)
	if err != nil {
		return -1, err
	}
	x.parent, x.parentName = fd, dir
	return fd, nil
}

func (x *extractor) entry(h *tar.Header, data io.Reader) error {
	name := path.Clean("/" + h.Name)
	if name == "/" {
		return x.rootEntry(h)
	}
	name = path.Join("/", x.opt.Prefix, name)
	parent, err := x.openParent(path.Dir(name))
	if err != nil {
		return err
	}
	base := path.Base(name)
	if x.opt.Layer && strings.HasPrefix(base, whiteoutPrefix) {
		return x.whiteout(parent, path.Dir(name), base)
	}
	for n := name; n != "/" && !x.made[n]; n = path.Dir(n) {
		x.made[n] = true
	}
	if h.Typeflag == tar.TypeDir {
		return x.directory(parent, base, name, h)
	}
	if x.parentName == name || strings.HasPrefix(x.parentName, name+"/") {
		x.forgetParent()
		if parent, err = x.openParent(path.Dir(name)); err != nil {
			return err
		}
	}
	if err := removeAt(parent, base); err != nil {
		return fmt.Errorf("replace: %w", err)
	}
	return x.file(parent, base, h, data)
}

// rootEntry applies attributes to the root directory itself.
func (x *extractor) rootEntry(h *tar.Header) error {
	if !x.opt.Layer || h.Typeflag != tar.TypeDir {
		return nil
	}
	x.late = append(x.late, lateDir{"/", h.ModTime})
	return x.attributes(x.root.fd(), ".", h)
}

func (x *extractor) whiteout(parent int, dir, base string) error {
	if base == opaqueMarker {
		names, err := namesIn(parent)
		if err != nil {
			return err
		}
		for _, n := range names {
			if err := x.removeLower(parent, n, path.Join(dir, n)); err != nil {
				return err
			}
		}
		return nil
	}
	target := strings.TrimPrefix(base, whiteoutPrefix)
	if target == "" || target == "." || target == ".." || strings.HasPrefix(base, ".wh..wh.") {
		// aufs kept notes of its own under such names; they mean nothing here.
		return nil
	}
	return x.removeLower(parent, target, path.Join(dir, target))
}

// removeLower removes what earlier layers brought and spares what this one did.
func (x *extractor) removeLower(parent int, base, name string) error {
	if !x.made[name] {
		return removeAt(parent, base)
	}
	fd, err := unix.Openat(parent, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == unix.ENOTDIR || err == unix.ELOOP {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	names, err := namesIn(fd)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := x.removeLower(fd, n, path.Join(name, n)); err != nil {
			return err
		}
	}
	return nil
}

func (x *extractor) directory(parent int, base, name string, h *tar.Header) error {
	if !x.opt.Layer {
		if st, err := x.root.Stat(name); err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
			return nil
		}
	}
	err := unix.Mkdirat(parent, base, 0o700)
	if err == unix.EEXIST {
		var st unix.Stat_t
		if err := unix.Fstatat(parent, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			if err := removeAt(parent, base); err != nil {
				return fmt.Errorf("replace: %w", err)
			}
			err = unix.Mkdirat(parent, base, 0o700)
		} else {
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	x.late = append(x.late, lateDir{name, h.ModTime})
	return x.attributes(parent, base, h)
}

func (x *extractor) file(parent int, base string, h *tar.Header, data io.Reader) error {
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
		if err := writeNew(parent, base, data); err != nil {
			return err
		}
	case tar.TypeSymlink:
		if err := unix.Symlinkat(h.Linkname, parent, base); err != nil {
			return fmt.Errorf("make symbolic link: %w", err)
		}
	case tar.TypeLink:
		return x.hardLink(parent, base, h.Linkname)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		made, err := x.node(parent, base, h)
		if err != nil || !made {
			return err
		}
	case tar.TypeXGlobalHeader:
		return nil
	default:
		return fmt.Errorf("archive entry has unknown type %q", h.Typeflag)
	}
	if err := x.attributes(parent, base, h); err != nil {
		return err
	}
	return setTime(parent, base, h.ModTime)
}

func writeNew(parent int, base string, data io.Reader) error {
	fd, err := unix.Openat(parent, base, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("make file: %w", err)
	}
	f := os.NewFile(uintptr(fd), base)
	_, err = io.Copy(f, data)
	return errors.Join(err, f.Close())
}

func (x *extractor) hardLink(parent int, base, target string) error {
	target = path.Join("/", x.opt.Prefix, path.Clean("/"+target))
	dir, err := x.root.openat2(path.Dir(target), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return fmt.Errorf("hard link to %s: %w", target, err)
	}
	defer unix.Close(dir)
	if err := unix.Linkat(dir, path.Base(target), parent, base, 0); err != nil {
		return fmt.Errorf("hard link to %s: %w", target, err)
	}
	return nil
}

func (x *extractor) node(parent int, base string, h *tar.Header) (made bool, err error) {
	kind := map[byte]uint32{tar.TypeChar: unix.S_IFCHR, tar.TypeBlock: unix.S_IFBLK, tar.TypeFifo: unix.S_IFIFO}[h.Typeflag]
	dev := unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor))
	if h.Typeflag == tar.TypeChar && dev == 0 && x.opt.Layer {
		return false, nil // the overlay would take it for a whiteout
	}
	err = unix.Mknodat(parent, base, kind|0o600, int(dev))
	if err == unix.EPERM && kind != unix.S_IFIFO {
		x.report.Devices++
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("make device node: %w", err)
	}
	return true, nil
}

// attributes sets owner, mode and extended attributes, in the order in which
// one does not undo the other.
func (x *extractor) attributes(parent int, base string, h *tar.Header) error {
	uid, gid := h.Uid, h.Gid
	if x.opt.Owners == RootOwners {
		uid, gid = 0, 0
	}
	err := unix.Fchownat(parent, base, uid, gid, unix.AT_SYMLINK_NOFOLLOW)
	squashed := err == unix.EINVAL || err == unix.EPERM
	if err != nil && !squashed {
		return fmt.Errorf("set owner %d:%d: %w", uid, gid, err)
	}
	if h.Typeflag == tar.TypeSymlink {
		if squashed {
			x.report.Squashed++
		}
		return nil
	}
	if err := unix.Fchmodat(parent, base, tarMode(h.Mode), 0); err != nil {
		return fmt.Errorf("set mode: %w", err)
	}
	p := magic(parent, base)
	if squashed {
		x.report.Squashed++
		note := fmt.Sprintf("%d:%d", uid, gid)
		if err := unix.Lsetxattr(p, ownerAttr, []byte(note), 0); err != nil && err != unix.EPERM && err != unix.ENOTSUP {
			return fmt.Errorf("note owner: %w", err)
		}
	}
	for record, value := range h.PAXRecords {
		key, ok := strings.CutPrefix(record, xattrRecord)
		if !ok || !portable(key) {
			continue
		}
		if err := unix.Lsetxattr(p, key, []byte(value), 0); err != nil && err != unix.ENOTSUP {
			return fmt.Errorf("set extended attribute %s: %w", key, err)
		}
	}
	return nil
}

// finish sets the times of directories, deepest last come first.
func (x *extractor) finish() error {
	x.forgetParent()
	for i := len(x.late) - 1; i >= 0; i-- {
		d := x.late[i]
		if d.name == "/" {
			if err := setTime(x.root.fd(), ".", d.mtime); err != nil {
				return err
			}
			continue
		}
		parent, err := x.root.openat2(path.Dir(d.name), unix.O_PATH|unix.O_DIRECTORY, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the archive itself removed it again
		}
		if err != nil {
			return fmt.Errorf("set time of %s: %w", d.name, err)
		}
		err = setTime(parent, path.Base(d.name), d.mtime)
		_ = unix.Close(parent)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("set time of %s: %w", d.name, err)
		}
	}
	return nil
}

func setTime(parent int, base string, t time.Time) error {
	ts := unix.NsecToTimespec(t.UnixNano())
	if err := unix.UtimesNanoAt(parent, base, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("set time: %w", err)
	}
	return nil
}

// tarMode keeps the permission, set-id and sticky bits.
func tarMode(mode int64) uint32 { return uint32(mode) & 0o7777 }
