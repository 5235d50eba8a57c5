package sandbox

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// IDMap is how users inside the sandbox relate to those of the host.
type IDMap struct {
	uids, gids []syscall.SysProcIDMap
	// helper: more than one user, so newuidmap must write the map.
	helper bool
	// outer is the map of the user namespace that this process is in
	// already; empty on the host.
	outer string
}

// UserNS reports whether the sandbox has a user namespace of its own.
func (m IDMap) UserNS() bool { return len(m.uids) > 0 }

// Single reports whether the sandbox has one user only, so that files cannot
// belong to anybody else.
func (m IDMap) Single() bool {
	if !m.UserNS() {
		return strings.Count(m.outer, "\n") == 1 && strings.HasSuffix(m.outer, " 1\n")
	}
	return !m.helper
}

// Key is a word that is the same for maps under which an unpacked tree means
// the same.
func (m IDMap) Key() string {
	if !m.UserNS() && m.outer == "" {
		return "host"
	}
	sum := sha256.Sum256([]byte(fmt.Sprint(m.outer, m.uids, m.gids)))
	return "user-" + hex.EncodeToString(sum[:6])
}

// CurrentIDMap finds the best map that this user may have: none for root, the
// ranges of /etc/subuid and /etc/subgid where newuidmap is installed, and
// otherwise this user alone, as root.
func CurrentIDMap() IDMap {
	uid, gid := os.Geteuid(), os.Getegid()
	outer := outerMap()
	if uid == 0 {
		return IDMap{outer: outer}
	}
	single := IDMap{
		outer: outer,
		uids:  []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}},
		gids:  []syscall.SysProcIDMap{{ContainerID: 0, HostID: gid, Size: 1}},
	}
	for _, tool := range []string{"newuidmap", "newgidmap"} {
		if _, err := exec.LookPath(tool); err != nil {
			return single
		}
	}
	names := []string{strconv.Itoa(uid)}
	if u, err := user.LookupId(names[0]); err == nil {
		names = append(names, u.Username)
	}
	us, gs := ranges("/etc/subuid", names), ranges("/etc/subgid", names)
	if len(us) == 0 || len(gs) == 0 {
		return single
	}
	return IDMap{uids: append(single.uids, us...), gids: append(single.gids, gs...), helper: true, outer: outer}
}

// outerMap returns the map of this process's user namespace, one range to a
// line with single spaces, or nothing on the host.
func outerMap() string {
	text, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return ""
	}
	var out strings.Builder
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		out.WriteString(strings.Join(strings.Fields(line), " ") + "\n")
	}
	if out.String() == "0 0 4294967295\n" {
		return ""
	}
	return out.String()
}

// ranges reads the lines "NAME:START:COUNT" of a file that belong to a user.
func ranges(file string, names []string) []syscall.SysProcIDMap {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	var out []syscall.SysProcIDMap
	next := 1
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		parts := strings.Split(strings.TrimSpace(lines.Text()), ":")
		if len(parts) != 3 || parts[0] != names[0] && parts[0] != names[len(names)-1] {
			continue
		}
		start, err1 := strconv.Atoi(parts[1])
		count, err2 := strconv.Atoi(parts[2])
		if err1 != nil || err2 != nil || start <= 0 || count <= 0 {
			continue
		}
		out = append(out, syscall.SysProcIDMap{ContainerID: next, HostID: start, Size: count})
		next += count
	}
	return out
}

// writeMaps has newuidmap and newgidmap give the process its users.
func (m IDMap) writeMaps(ctx context.Context, pid int) error {
	for _, side := range []struct {
		tool string
		ids  []syscall.SysProcIDMap
	}{{"newuidmap", m.uids}, {"newgidmap", m.gids}} {
		args := []string{strconv.Itoa(pid)}
		for _, r := range side.ids {
			args = append(args, strconv.Itoa(r.ContainerID), strconv.Itoa(r.HostID), strconv.Itoa(r.Size))
		}
		if out, err := exec.CommandContext(ctx, side.tool, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s %s: %w: %s", side.tool, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}
