package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/builder/oci/layers"
)

// Layout is the file system that commands see.
type Layout struct {
	// State is the sandbox's own directory on the host. Upper, Work and
	// Init are directories below it, made when missing.
	State string
	// Lowers are unpacked layers, the topmost first.
	Lowers []string
	// Upper receives all changes; Work belongs to the overlay.
	Upper, Work string
	// Init holds the mount points that the image lacks. It lies between
	// the lowers of the base and all uppers and never becomes part of an
	// image. It is filled when it does not exist yet.
	Init string
	// BaseLowers is how many of Lowers, from the end, are the base.
	BaseLowers int
	Hostname   string
	// Resolv and Hosts are files on the host that cover /etc/resolv.conf
	// and /etc/hosts.
	Resolv, Hosts string
	Mounts        []Mount
	// Capabilities are those that commands of root have, by number.
	Capabilities []int
}

// Mount is a directory or file of the host, or a tmpfs when Source is empty,
// that commands see and that is not part of the image.
type Mount struct {
	Source, Target string
	ReadOnly       bool
	// File: Source is not a directory.
	File bool
}

// space is an attached file system: a thread that lives in it.
type space struct {
	root  *layers.Root // the file system as commands see it
	upper string
	// before are the attributes of upper as it was made.
	before unix.Stat_t
	calls  chan func()
	ended  chan struct{}
}

func newSpace(l Layout) (*space, error) {
	s := &space{upper: l.Upper, calls: make(chan func()), ended: make(chan struct{})}
	if err := ensureInit(l); err != nil {
		return nil, err
	}
	ready := make(chan error, 1)
	go func() {
		defer close(s.ended)
		err := lockThread(func() error {
			root, err := enter(l)
			if err != nil {
				return err
			}
			s.root = root
			ready <- nil
			for fn := range s.calls {
				fn()
			}
			return nil
		})
		if err != nil {
			ready <- err
		}
	}()
	if err := <-ready; err != nil {
		return nil, err
	}
	// Read here, where paths are the host's.
	if err := unix.Stat(l.Upper, &s.before); err != nil {
		_, closeErr := s.close()
		return nil, errors.Join(err, closeErr)
	}
	return s, nil
}

// call runs fn on the thread that lives in the file system.
func (s *space) call(fn func()) {
	done := make(chan struct{})
	s.calls <- func() { defer close(done); fn() }
	<-done
}

// close lets go of the file system, whose mounts end with the thread, and
// reports whether anything was written to it.
func (s *space) close() (changed bool, err error) {
	err = s.root.Close()
	close(s.calls)
	<-s.ended
	names, readErr := os.ReadDir(s.upper)
	var now unix.Stat_t
	statErr := unix.Stat(s.upper, &now)
	changed = len(names) > 0 || now.Mode != s.before.Mode || now.Uid != s.before.Uid || now.Gid != s.before.Gid
	return changed, errors.Join(err, readErr, statErr)
}

// overlay is a set of directories to be mounted over one another.
type overlay struct {
	state       string
	lowers      []string // topmost first
	upper, work string   // empty for a read-only overlay
}

// maxLowers is the kernel's limit of lower directories.
const maxLowers = 500

// mountOverlay mounts on "m" in the state directory, of this thread's mount
// namespace, and returns the path. The lower directories are named by short
// links, since all options together must fit into one page.
func mountOverlay(o overlay) (string, error) {
	target := filepath.Join(o.state, "m")
	if len(o.lowers)+1 > maxLowers {
		return "", fmt.Errorf("%d layers: the kernel stacks at most %d", len(o.lowers), maxLowers-1)
	}
	dir, err := os.MkdirTemp(filepath.Join(o.state, "l"), "")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	var opts []string
	link := func(i int, to string) error { return os.Symlink(to, filepath.Join(dir, strconv.Itoa(i))) }
	lowers := o.lowers
	if o.upper == "" {
		// A read-only overlay has two lower directories at least.
		empty := filepath.Join(o.state, "e")
		if err := os.MkdirAll(empty, 0o755); err != nil {
			return "", err
		}
		lowers = append(append([]string{}, lowers...), empty)
		if len(lowers) == 1 {
			lowers = append(lowers, filepath.Join(o.state, "l"))
		}
	}
	names := make([]string, len(lowers))
	for i, l := range lowers {
		if err := link(i, l); err != nil {
			return "", err
		}
		names[i] = strconv.Itoa(i)
	}
	opts = append(opts, "lowerdir="+strings.Join(names, ":"))
	if o.upper != "" {
		if err := errors.Join(os.Symlink(o.upper, filepath.Join(dir, "u")), os.Symlink(o.work, filepath.Join(dir, "w"))); err != nil {
			return "", err
		}
		opts = append(opts, "upperdir=u", "workdir=w")
	}
	if err := unix.Chdir(dir); err != nil {
		return "", fmt.Errorf("enter %s: %w", dir, err)
	}
	return target, mountVariants(target, opts, o.upper != "")
}

// mountVariants tries the options that newer kernels know, then fewer.
// "volatile" spares the disk a flush for each of a package manager's fsyncs:
// an interrupted build is thrown away anyway. "userxattr" is what a user
// namespace needs.
func mountVariants(target string, opts []string, writable bool) error {
	base := append(append([]string{}, opts...), "redirect_dir=nofollow", "index=off", "metacopy=off")
	user := append(append([]string{}, opts...), "userxattr")
	var variants [][]string
	if writable {
		variants = append(variants, append(base[:len(base):len(base)], "volatile"))
	}
	variants = append(variants, base)
	if inUserNS() {
		variants = nil
		if writable {
			variants = append(variants, append(user[:len(user):len(user)], "volatile"))
		}
		variants = append(variants, user)
	}
	variants = append(variants, opts)
	var err error
	for _, v := range variants {
		if err = unix.Mount("overlay", target, "overlay", 0, strings.Join(v, ",")); err == nil {
			return nil
		}
		if err != unix.EINVAL {
			break
		}
	}
	return &overlayError{err}
}

// overlayError is a refused overlay; the client adds what to do about it.
type overlayError struct{ err error }

func (e *overlayError) Error() string { return fmt.Sprintf("mount overlay: %v", e.err) }
func (e *overlayError) Unwrap() error { return e.err }

func inUserNS() bool { return outerMap() != "" }

// LowersWithInit is Lowers with Init between the base and the steps.
func (l Layout) LowersWithInit() []string {
	at := len(l.Lowers) - l.BaseLowers
	out := append([]string{}, l.Lowers[:at]...)
	out = append(out, l.Init)
	return append(out, l.Lowers[at:]...)
}

// enter makes this thread live in the file system of l.
func enter(l Layout) (*layers.Root, error) {
	lowers := l.LowersWithInit()
	if err := makeUpper(lowers[0], l.Upper, l.Work); err != nil {
		return nil, err
	}
	target, err := mountOverlay(overlay{state: l.State, lowers: lowers, upper: l.Upper, work: l.Work})
	if err != nil {
		return nil, err
	}
	root, err := layers.OpenRoot(target)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if err := mountAll(root, l); err != nil {
		return nil, err
	}
	if err := unix.Sethostname([]byte(l.Hostname)); err != nil {
		return nil, fmt.Errorf("set host name: %w", err)
	}
	if err := pivot(target); err != nil {
		return nil, err
	}
	if err := dropCapabilities(l.Capabilities); err != nil {
		return nil, err
	}
	return layers.OpenRoot("/")
}

// makeUpper gives the upper directory the attributes of the tree below, since
// the root of an overlay shows those of its topmost directory.
func makeUpper(below, upper, work string) error {
	for _, d := range []string{upper, work} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	from, err := layers.OpenRoot(below)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := layers.OpenRoot(upper)
	if err != nil {
		return err
	}
	defer to.Close()
	return layers.CopyAttributes(from, to)
}

func pivot(target string) error {
	if err := unix.Chdir(target); err != nil {
		return fmt.Errorf("enter the new root: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the host's root: %w", err)
	}
	return unix.Chdir("/")
}

// ensureInit fills the directory of mount points once per sandbox.
func ensureInit(l Layout) error {
	if _, err := os.Stat(l.Init); err == nil {
		return nil
	}
	base := l.Lowers[len(l.Lowers)-l.BaseLowers:]
	tmp, work := l.Init+".new", l.Init+".work"
	err := onThread(func() error {
		if err := makeUpper(base[0], tmp, work); err != nil {
			return err
		}
		target, err := mountOverlay(overlay{state: l.State, lowers: base, upper: tmp, work: work})
		if err != nil {
			return err
		}
		root, err := layers.OpenRoot(target)
		if err != nil {
			return err
		}
		defer root.Close()
		for _, d := range []string{"/proc", "/sys", "/dev"} {
			if err := mountPoint(root, d, false, true); err != nil {
				return err
			}
		}
		for _, f := range []string{"/etc/resolv.conf", "/etc/hosts"} {
			if err := mountPoint(root, f, true, true); err != nil {
				return err
			}
		}
		for _, m := range l.Mounts {
			if err := mountPoint(root, m.Target, m.File, false); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("make mount points: %w", err)
	}
	return errors.Join(os.Rename(tmp, l.Init), remove(work))
}

// mountPoint makes an empty file or directory unless the image has one, and
// keeps the time of the directory it is put into. With replace a link is
// replaced; otherwise it is followed, inside the image.
func mountPoint(root *layers.Root, name string, file, replace bool) error {
	lookup := root.Stat
	if replace {
		lookup = root.Lstat
	}
	want := uint32(unix.S_IFDIR)
	if file {
		want = unix.S_IFREG
	}
	st, err := lookup(name)
	if err == nil && st.Mode&unix.S_IFMT == want || err == nil && file && !replace && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	if err == nil || replace {
		if err := root.RemoveAll(name); err != nil {
			return err
		}
	}
	dir := path.Dir(path.Clean("/" + name))
	made, err := root.MkdirAll(dir)
	if err != nil {
		return err
	}
	before, err := root.Stat(dir)
	if err != nil {
		return err
	}
	if file {
		f, err := root.OpenFile(name, unix.O_CREAT|unix.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		err = f.Close()
		if err != nil {
			return err
		}
	} else if _, err := root.MkdirAll(name); err != nil {
		return err
	}
	if made {
		return nil
	}
	return root.SetTime(dir, time.Unix(before.Mtim.Sec, before.Mtim.Nsec))
}
