package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// Refusal is the kernel's no to what a sandbox needs, with what to change.
type Refusal struct {
	// What was refused: "namespaces", "overlay".
	What string
	// Fix is whole sentences for the user.
	Fix string
	Err error
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("the kernel refuses %s: %v. %s", r.What, r.Err, r.Fix)
}

func (r *Refusal) Unwrap() error { return r.Err }

// settings reads kernel settings; tests replace it.
type settings func(name string) string

func sysctl(name string) string {
	text, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// explainNamespaces names the setting that keeps namespaces from being made.
func explainNamespaces(err error, userNS bool, get settings) error {
	r := &Refusal{What: "namespaces", Err: err}
	var limits []string
	if userNS {
		limits = append(limits, "user")
	}
	limits = append(limits, "mnt", "pid", "uts", "ipc", "net")
	for _, kind := range limits {
		name := "user.max_" + kind + "_namespaces"
		if get(name) == "0" || errors.Is(err, syscall.ENOSPC) && kind == limits[0] {
			r.Fix = fmt.Sprintf("Raise the limit: sysctl -w %s=10000.", name)
			if userNS {
				r.Fix += " Or run as root."
			}
			return r
		}
	}
	switch {
	case userNS && get("kernel.unprivileged_userns_clone") == "0":
		r.Fix = "Allow user namespaces: sysctl -w kernel.unprivileged_userns_clone=1. Or run as root."
	case userNS && get("kernel.apparmor_restrict_unprivileged_userns") == "1":
		r.Fix = "Allow user namespaces: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or give this program an AppArmor profile with \"userns,\". Or run as root."
	case userNS && errors.Is(err, syscall.EINVAL):
		r.Fix = "This kernel has no user namespaces (CONFIG_USER_NS). Run as root."
	case userNS:
		r.Fix = "Run as root, or outside of a container or service that forbids user namespaces (for Docker: --security-opt seccomp=unconfined --security-opt apparmor=unconfined)."
	default:
		r.Fix = "This root lacks CAP_SYS_ADMIN, as in an unprivileged container or a service with RestrictNamespaces=: start the container with --privileged, or run on the host."
	}
	return r
}

// explainOverlay says why an overlay could not be mounted.
func explainOverlay(err error, userNS bool, state string) error {
	r := &Refusal{What: "an overlay file system", Err: err}
	switch {
	case errors.Is(err, syscall.ENODEV):
		r.Fix = "Load the kernel module: modprobe overlay."
	case userNS && errors.Is(err, syscall.EPERM):
		r.Fix = "Overlays without root need Linux 5.11 and no security policy against them (on Ubuntu: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0). Or run as root."
	case errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.EOPNOTSUPP):
		r.Fix = fmt.Sprintf("The file system of %s cannot hold the upper directory of an overlay, as is the case on overlays themselves and on network file systems: choose a cache directory (INGOT_CACHE_DIR) on ext4, xfs, btrfs or tmpfs.", state)
	default:
		r.Fix = "Run as root, or outside of a container that forbids mounts."
	}
	return r
}

// explain adds to an error from inside the sandbox what the user can change.
func explain(err error, userNS bool, state string) error {
	if err == nil {
		return nil
	}
	var w *wireError
	if !errors.As(err, &w) || w.Errno == 0 {
		return err
	}
	switch {
	case strings.Contains(w.Text, "mount overlay: "):
		return explainOverlay(err, userNS, state)
	case strings.Contains(w.Text, "mount proc on /proc: ") && w.Errno == syscall.EPERM:
		return &Refusal{What: "a new /proc", Err: err, Fix: "Part of /proc is hidden here, as in a container: start the container with --privileged (or --security-opt systempaths=unconfined), or run on the host."}
	}
	return err
}
