package docker

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
)

// owner is who an uploaded file belongs to.
type owner struct{ uid, gid int }

// findOwner turns the user that commands run as into numbers. Names are looked
// up in the container's own files, once; root and plain numbers need no call.
func (c *comm) findOwner(ctx context.Context) (owner, error) {
	if !c.fixOwner {
		return owner{}, nil
	}
	user, group, hasGroup := strings.Cut(c.user, ":")
	if user == "" || (user == "root" || user == "0") && !hasGroup {
		return owner{}, nil
	}
	uid, uidErr := strconv.Atoi(user)
	gid, gidErr := strconv.Atoi(group)
	if uidErr == nil && hasGroup && gidErr == nil {
		return owner{uid, gid}, nil
	}
	passwd, err := c.accounts(ctx, "/etc/passwd")
	if err != nil {
		return owner{}, err
	}
	entry, found := account(passwd, user)
	switch {
	case found:
		uid, gid = entry.uid, entry.gid
	case uidErr != nil:
		return owner{}, fmt.Errorf("exec_user: there is no user %q in the container's /etc/passwd", user)
	default:
		gid = 0 // as the engine does for a number without an account
	}
	if !hasGroup {
		return owner{uid, gid}, nil
	}
	if gidErr == nil {
		gid, _ = strconv.Atoi(group)
		return owner{uid, gid}, nil
	}
	groups, err := c.accounts(ctx, "/etc/group")
	if err != nil {
		return owner{}, err
	}
	g, found := account(groups, group)
	if !found {
		return owner{}, fmt.Errorf("exec_user: there is no group %q in the container's /etc/group", group)
	}
	return owner{uid, g.uid}, nil
}

// accounts reads a file of the container; a missing one is empty.
func (c *comm) accounts(ctx context.Context, file string) ([]byte, error) {
	var text bytes.Buffer
	err := c.get(ctx, file, &text)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look up the upload owner: %w", err)
	}
	return text.Bytes(), nil
}

// accountEntry is a line of passwd or group; gid has no meaning for a group.
type accountEntry struct{ uid, gid int }

// account finds a line by name, or by number where no name matches.
func account(file []byte, who string) (accountEntry, bool) {
	var byNumber *accountEntry
	lines := bufio.NewReader(bytes.NewReader(file))
	for {
		line, err := lines.ReadString('\n')
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) >= 3 {
			e := accountEntry{}
			e.uid, _ = strconv.Atoi(fields[2])
			if len(fields) > 3 {
				e.gid, _ = strconv.Atoi(fields[3])
			}
			if fields[0] == who {
				return e, true
			}
			if fields[2] == who && byNumber == nil {
				byNumber = &e
			}
		}
		if err != nil {
			if err != io.EOF || byNumber == nil {
				return accountEntry{}, false
			}
			return *byNumber, true
		}
	}
}
