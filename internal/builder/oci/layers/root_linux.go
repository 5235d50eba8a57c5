package layers

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sort"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Root is a directory that paths are resolved in as if it were "/": neither
// "..", nor an absolute symbolic link, nor a link of /proc leads out of it.
type Root struct{ dir *os.File }

// OpenRoot opens the directory at a path of this process.
func OpenRoot(dir string) (*Root, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	return &Root{dir: os.NewFile(uintptr(fd), dir)}, nil
}

// Close gives the directory up.
func (r *Root) Close() error { return r.dir.Close() }

// Sub opens a directory below r as a root of its own.
func (r *Root) Sub(name string) (*Root, error) {
	f, err := r.OpenFile(name, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return &Root{dir: f}, nil
}

func (r *Root) fd() int { return int(r.dir.Fd()) }

// OpenFile opens a path inside the root; flags are those of open(2).
func (r *Root) OpenFile(name string, flags int, mode uint32) (*os.File, error) {
	fd, err := r.openat2(name, flags, mode)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

func (r *Root) openat2(name string, flags int, mode uint32) (int, error) {
	if name == "" || name == "/" {
		name = "."
	}
	how := unix.OpenHow{
		Flags:   uint64(flags) | unix.O_CLOEXEC,
		Mode:    uint64(mode),
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	for {
		fd, err := unix.Openat2(r.fd(), name, &how)
		// EAGAIN: a rename elsewhere made ".." unsafe to follow this time.
		if err == unix.EINTR || err == unix.EAGAIN && flags&unix.O_NONBLOCK == 0 {
			continue
		}
		return fd, err
	}
}

// Stat returns the attributes of what name is, following links inside the root.
func (r *Root) Stat(name string) (unix.Stat_t, error) { return r.stat(name, 0) }

// Lstat is Stat without following a link that name itself is.
func (r *Root) Lstat(name string) (unix.Stat_t, error) { return r.stat(name, unix.O_NOFOLLOW) }

func (r *Root) stat(name string, flags int) (unix.Stat_t, error) {
	var st unix.Stat_t
	fd, err := r.openat2(name, unix.O_PATH|flags, 0)
	if err == nil {
		err = unix.Fstat(fd, &st)
		_ = unix.Close(fd)
	}
	if err != nil {
		return st, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return st, nil
}

// MkdirAll makes a directory and its parents with mode 0755 and reports
// whether it had to. Links to directories count as directories.
func (r *Root) MkdirAll(name string) (made bool, err error) {
	fd, made, err := r.dirAt(name)
	if err != nil {
		return false, err
	}
	return made, unix.Close(fd)
}

// maxLinks bounds how many dangling links dirAt follows.
const maxLinks = 40

// dirAt opens a directory, making what is missing on the way, also where links
// lead to.
func (r *Root) dirAt(name string) (fd int, made bool, err error) {
	return r.dirAtDepth(name, 0)
}

func (r *Root) dirAtDepth(name string, depth int) (fd int, made bool, err error) {
	fd, err = r.openat2(name, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err == nil {
		return fd, false, nil
	}
	name = path.Clean("/" + name)
	if err != unix.ENOENT || name == "/" || depth > maxLinks {
		return -1, false, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	parent, _, err := r.dirAtDepth(path.Dir(name), depth)
	if err != nil {
		return -1, false, err
	}
	defer unix.Close(parent)
	err = unix.Mkdirat(parent, path.Base(name), 0o755)
	if err == unix.EEXIST {
		if to, ok := readLink(parent, path.Base(name)); ok {
			if !path.IsAbs(to) {
				to = path.Join(path.Dir(name), to)
			}
			return r.dirAtDepth(to, depth+1)
		}
	} else if err != nil {
		return -1, false, &fs.PathError{Op: "mkdir", Path: name, Err: err}
	}
	fd, err = r.openat2(name, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return -1, false, &fs.PathError{Op: "mkdir", Path: name, Err: err}
	}
	return fd, true, nil
}

func readLink(dir int, name string) (string, bool) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, buf)
	if err != nil {
		return "", false
	}
	return string(buf[:n]), true
}

// RemoveAll removes name with all below it; a missing one is no error.
func (r *Root) RemoveAll(name string) error {
	name = path.Clean("/" + name)
	if name == "/" {
		return removeChildren(r.fd())
	}
	parent, err := r.openat2(path.Dir(name), unix.O_PATH|unix.O_DIRECTORY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &fs.PathError{Op: "remove", Path: name, Err: err}
	}
	defer unix.Close(parent)
	if err := removeAt(parent, path.Base(name)); err != nil {
		return &fs.PathError{Op: "remove", Path: name, Err: err}
	}
	return nil
}

func removeAt(parent int, name string) error {
	err := unix.Unlinkat(parent, name, 0)
	if err == nil || err == unix.ENOENT {
		return nil
	}
	if err != unix.EISDIR && err != unix.EPERM {
		return err
	}
	dir, openErr := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if openErr != nil {
		return err
	}
	err = removeChildren(dir)
	_ = unix.Close(dir)
	if err != nil {
		return err
	}
	return unix.Unlinkat(parent, name, unix.AT_REMOVEDIR)
}

func removeChildren(dir int) error {
	names, err := namesIn(dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := removeAt(dir, n); err != nil {
			return fmt.Errorf("%s: %w", n, err)
		}
	}
	return nil
}

// namesIn lists a directory, sorted. The descriptor may be an O_PATH one.
func namesIn(dir int) ([]string, error) {
	fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), ".")
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	sort.Strings(names)
	return names, nil
}

// magic is a path of this process that leads to name inside an open
// directory, for the system calls that know no directory descriptors. Name
// itself is not followed by the l-variants.
func magic(dir int, name string) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir, name)
}

// xattrs reads the extended attributes that belong into an archive.
func xattrs(dir int, name string) (map[string]string, error) {
	p := magic(dir, name)
	buf := make([]byte, 1024)
	n, err := unix.Llistxattr(p, buf)
	for err == unix.ERANGE {
		buf = make([]byte, 4*len(buf))
		n, err = unix.Llistxattr(p, buf)
	}
	if err == unix.ENOTSUP || n == 0 && err == nil {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list extended attributes: %w", err)
	}
	out := map[string]string{}
	for _, key := range strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00") {
		val, err := xattr(p, key)
		if err != nil {
			return nil, err
		}
		out[key] = val
	}
	return out, nil
}

func xattr(p, key string) (string, error) {
	buf := make([]byte, 256)
	for {
		n, err := unix.Lgetxattr(p, key, buf)
		if err == unix.ERANGE {
			buf = make([]byte, 4*len(buf))
			continue
		}
		if err != nil {
			return "", fmt.Errorf("read extended attribute %s: %w", key, err)
		}
		return string(buf[:n]), nil
	}
}

// portable reports whether an extended attribute means the same on another
// machine: capabilities, ACLs and the user's own. Labels of a security module
// and the overlay's private notes do not.
func portable(key string) bool {
	switch {
	case key == ownerAttr, strings.HasPrefix(key, "user.overlay."):
		return false
	case key == "security.capability", strings.HasPrefix(key, "user."):
		return true
	case key == "system.posix_acl_access", key == "system.posix_acl_default":
		return true
	}
	return false
}

// ownerAttr holds "UID:GID" of a file whose owner could not be set because
// the user namespace has only one user.
const ownerAttr = "user.ingot.owner"

// SetTime sets a path's modification time, following links inside the root.
func (r *Root) SetTime(name string, t time.Time) error {
	fd, err := r.openat2(name, unix.O_PATH, 0)
	if err != nil {
		return &fs.PathError{Op: "set time", Path: name, Err: err}
	}
	defer unix.Close(fd)
	ts := unix.NsecToTimespec(t.UnixNano())
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), []unix.Timespec{ts, ts}, 0); err != nil {
		return &fs.PathError{Op: "set time", Path: name, Err: err}
	}
	return nil
}

// Symlink makes a symbolic link in the root directory itself.
func (r *Root) Symlink(to, name string) error {
	if err := unix.Symlinkat(to, r.fd(), name); err != nil {
		return &fs.PathError{Op: "symlink", Path: name, Err: err}
	}
	return nil
}

// Mknod makes a device node in the root directory itself.
func (r *Root) Mknod(name string, mode uint32, dev uint64) error {
	if err := unix.Mknodat(r.fd(), name, mode, int(dev)); err != nil {
		return &fs.PathError{Op: "mknod", Path: name, Err: err}
	}
	if err := unix.Fchmodat(r.fd(), name, mode&0o7777, 0); err != nil {
		return &fs.PathError{Op: "chmod", Path: name, Err: err}
	}
	return nil
}

// Names lists a directory inside the root, sorted.
func (r *Root) Names(dir string) ([]string, error) {
	fd, err := r.openat2(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "list", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	names, err := namesIn(fd)
	if err != nil {
		return nil, &fs.PathError{Op: "list", Path: dir, Err: err}
	}
	return names, nil
}

// Sync writes the file system that the root lies on to its disk.
func (r *Root) Sync() error {
	fd, err := unix.Openat(r.fd(), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Syncfs(fd)
}
