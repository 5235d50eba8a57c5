package sandbox

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"ingot/internal/builder/oci/layers"
)

// account is who a command runs as.
type account struct {
	uid, gid uint32
	groups   []uint32
	home     string
}

// credential is nil for root, who needs no change, which a user namespace of
// a single user could not do anyway.
func (u account) credential() *syscall.Credential {
	if u.uid == 0 && u.gid == 0 {
		return nil
	}
	return &syscall.Credential{Uid: u.uid, Gid: u.gid, Groups: u.groups}
}

// lookupUser resolves "NAME", "UID", each with ":GROUP" behind it, in the
// image's own files. Numbers need not be in there.
func lookupUser(root *layers.Root, spec string) (account, error) {
	name, group, hasGroup := strings.Cut(spec, ":")
	if name == "" {
		name = "0"
	}
	u := account{home: "/"}
	if name == "0" || name == "root" {
		u.home = "/root"
	}
	id, numeric := parseID(name)
	u.uid = id
	found := false
	for _, f := range records(root, "/etc/passwd", 7) {
		uid, ok := parseID(f[2])
		gid, ok2 := parseID(f[3])
		if !ok || !ok2 || !(f[0] == name || numeric && uid == id) {
			continue
		}
		found = true
		name, u.uid, u.gid = f[0], uid, gid
		if f[5] != "" {
			u.home = f[5]
		}
		break
	}
	if !found && !numeric && name != "root" {
		return u, fmt.Errorf("the image has no user %q", name)
	}
	for _, f := range records(root, "/etc/group", 4) {
		gid, ok := parseID(f[2])
		if !ok {
			continue
		}
		for _, member := range strings.Split(f[3], ",") {
			if found && member == name {
				u.groups = append(u.groups, gid)
			}
		}
	}
	if hasGroup {
		gid, err := lookupGroup(root, group)
		if err != nil {
			return u, err
		}
		u.gid = gid
	}
	return u, nil
}

func lookupGroup(root *layers.Root, name string) (uint32, error) {
	if id, ok := parseID(name); ok {
		return id, nil
	}
	for _, f := range records(root, "/etc/group", 4) {
		if id, ok := parseID(f[2]); ok && f[0] == name {
			return id, nil
		}
	}
	return 0, fmt.Errorf("the image has no group %q", name)
}

func parseID(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 31)
	return uint32(n), err == nil
}

// records reads the lines of a passwd-like file that have enough fields. A
// missing file has none.
func records(root *layers.Root, name string, fields int) [][]string {
	f, err := root.OpenFile(name, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	var out [][]string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if parts := strings.Split(lines.Text(), ":"); len(parts) >= fields {
			out = append(out, parts)
		}
	}
	return out
}
