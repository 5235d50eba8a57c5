package sandbox

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"ingot/internal/builder/oci/layers"
)

// mountAt mounts onto a path inside root, resolving links inside root only.
func mountAt(root *layers.Root, source, target, fstype string, flags uintptr, data string) error {
	f, err := root.OpenFile(target, unix.O_PATH, 0)
	if err != nil {
		return fmt.Errorf("mount on %s: %w", target, err)
	}
	defer f.Close()
	at := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	if err := unix.Mount(source, at, fstype, flags, data); err != nil {
		return fmt.Errorf("mount %s on %s: %w", nonEmpty(source, fstype), target, err)
	}
	return nil
}

func nonEmpty(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// bindAt shows a file or directory of the host inside root.
func bindAt(root *layers.Root, source, target string, readOnly bool) error {
	if err := mountAt(root, source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	if !readOnly {
		return nil
	}
	return readOnlyAt(root, target)
}

// readOnlyAt makes the mount on target, with all below it, read-only.
func readOnlyAt(root *layers.Root, target string) error {
	f, err := root.OpenFile(target, unix.O_PATH, 0)
	if err != nil {
		return fmt.Errorf("protect %s: %w", target, err)
	}
	defer f.Close()
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	err = unix.MountSetattr(int(f.Fd()), "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr)
	if err == unix.ENOSYS {
		// Before Linux 5.12: the topmost mount only. Flags that the host
		// has locked must be repeated.
		var st unix.Statfs_t
		if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
			return fmt.Errorf("protect %s: %w", target, err)
		}
		locked := uintptr(st.Flags) & (unix.MS_NODEV | unix.MS_NOSUID | unix.MS_NOEXEC)
		err = unix.Mount("", fmt.Sprintf("/proc/self/fd/%d", f.Fd()), "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|locked, "")
	}
	if err != nil {
		return fmt.Errorf("protect %s: %w", target, err)
	}
	return nil
}

func mountAll(root *layers.Root, l Layout) error {
	if err := mountProc(root); err != nil {
		return err
	}
	if err := mountSys(root); err != nil {
		return err
	}
	if err := mountDev(root, inUserNS()); err != nil {
		return err
	}
	for source, target := range map[string]string{l.Resolv: "/etc/resolv.conf", l.Hosts: "/etc/hosts"} {
		if err := bindAt(root, source, target, false); err != nil {
			return err
		}
	}
	for _, m := range l.Mounts {
		var err error
		if m.Source == "" {
			err = mountAt(root, "tmpfs", m.Target, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777")
		} else {
			err = bindAt(root, m.Source, m.Target, m.ReadOnly)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mountProc mounts /proc and takes away what would change or reveal the host.
func mountProc(root *layers.Root) error {
	if err := mountAt(root, "proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return err
	}
	for _, p := range []string{"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs"} {
		if _, err := root.Stat(p); err != nil {
			continue
		}
		f, err := root.OpenFile(p, unix.O_PATH, 0)
		if err != nil {
			return err
		}
		source := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
		err = bindAt(root, source, p, true)
		_ = f.Close()
		if err != nil {
			return err
		}
	}
	return mask(root, "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/latency_stats", "/proc/acpi", "/proc/scsi", "/proc/asound")
}

// mask hides files behind /dev/null and directories behind an empty one.
func mask(root *layers.Root, names ...string) error {
	for _, n := range names {
		st, err := root.Stat(n)
		if err != nil {
			continue
		}
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			err = mountAt(root, "tmpfs", n, "tmpfs", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "size=0k,mode=755")
		} else {
			err = bindAt(root, "/dev/null", n, false)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mountSys shows /sys read-only. A user namespace may mount it anew only with
// a network namespace of its own; otherwise it borrows the host's.
func mountSys(root *layers.Root) error {
	const flags = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := mountAt(root, "sysfs", "/sys", "sysfs", flags, ""); err != nil {
		if !inUserNS() {
			return err
		}
		if err := bindAt(root, "/sys", "/sys", true); err != nil {
			return err
		}
	}
	return mask(root, "/sys/firmware")
}

// devices are the nodes of /dev: name, major, minor.
var devices = []struct {
	name         string
	major, minor uint32
}{{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}}

func mountDev(root *layers.Root, userNS bool) error {
	if err := mountAt(root, "tmpfs", "/dev", "tmpfs", unix.MS_NOSUID|unix.MS_STRICTATIME, "mode=755,size=65536k"); err != nil {
		return err
	}
	dev, err := root.Sub("/dev")
	if err != nil {
		return err
	}
	defer dev.Close()
	for _, d := range devices {
		if err := device(root, dev, d.name, unix.Mkdev(d.major, d.minor), userNS); err != nil {
			return err
		}
	}
	for _, d := range []string{"pts", "shm", "mqueue"} {
		if _, err := dev.MkdirAll(d); err != nil {
			return err
		}
	}
	if err := mountPts(root); err != nil {
		return err
	}
	if err := mountAt(root, "shm", "/dev/shm", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=1777,size=65536k"); err != nil {
		return err
	}
	if err := mountAt(root, "mqueue", "/dev/mqueue", "mqueue", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return err
	}
	for name, to := range map[string]string{
		"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx",
	} {
		if err := dev.Symlink(to, name); err != nil {
			return err
		}
	}
	return nil
}

func device(root, dev *layers.Root, name string, number uint64, userNS bool) error {
	if !userNS {
		return dev.Mknod(name, unix.S_IFCHR|0o666, number)
	}
	f, err := dev.OpenFile(name, unix.O_CREAT|unix.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return bindAt(root, "/dev/"+name, "/dev/"+name, false)
}

// mountPts gives terminals to group 5, which is "tty" everywhere, unless the
// user namespace has no such group.
func mountPts(root *layers.Root) error {
	const flags = unix.MS_NOSUID | unix.MS_NOEXEC
	const data = "newinstance,ptmxmode=0666,mode=0620"
	if err := mountAt(root, "devpts", "/dev/pts", "devpts", flags, data+",gid=5"); err == nil {
		return nil
	}
	return mountAt(root, "devpts", "/dev/pts", "devpts", flags, data)
}

// lastCapability returns the highest capability number this kernel has.
func lastCapability() int {
	text, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		return unix.CAP_LAST_CAP
	}
	var n int
	if _, err := fmt.Sscan(strings.TrimSpace(string(text)), &n); err != nil {
		return unix.CAP_LAST_CAP
	}
	return n
}
