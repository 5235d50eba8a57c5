package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"ingot/internal/component"
)

// mover copies files without a POSIX shell's help.
type mover interface {
	put(ctx context.Context, dst string, src io.Reader, meta component.FileMeta) error
	get(ctx context.Context, src string, dst io.Writer) error
	putTree(ctx context.Context, dst string, archive io.Reader) error
	getTree(ctx context.Context, src string, archive io.Writer) error
}

// errNoMover says that the machine does not have a way to copy files; nothing
// was read or written.
var errNoMover = errors.New("not available on the machine")

// bare copies files where "cat" or "tar" cannot be used: through SFTP, or the
// SCP protocol. When ssh_file_transfer_method names one, only that is used,
// but for trees, which the SCP protocol cannot carry as they are (it follows
// symbolic links): for them it is the last resort.
type bare struct{ c *comm }

func (c *comm) withoutShell() bare { return bare{c} }

// try calls f with one mover after the other as long as they are not there.
func (b bare) try(ways []mover, f func(mover) error) error {
	var missing []error
	for _, w := range ways {
		err := f(w)
		if !errors.Is(err, errNoMover) {
			return err
		}
		missing = append(missing, err)
	}
	return errors.Join(missing...)
}

func (b bare) forFiles() []mover {
	switch b.c.connection.SSHFileTransferMethod {
	case "scp":
		return []mover{scpMover(b)}
	case "sftp":
		return []mover{sftpMover(b)}
	}
	return []mover{sftpMover(b), scpMover(b)}
}

func (b bare) forTrees() []mover {
	if b.c.connection.SSHFileTransferMethod == "sftp" || !b.c.facts.posix {
		return []mover{sftpMover(b)}
	}
	return []mover{sftpMover(b), scpMover(b)}
}

func (b bare) put(ctx context.Context, dst string, src io.Reader, meta component.FileMeta) error {
	return b.try(b.forFiles(), func(m mover) error { return m.put(ctx, dst, src, meta) })
}

func (b bare) get(ctx context.Context, src string, dst io.Writer) error {
	return b.try(b.forFiles(), func(m mover) error { return m.get(ctx, src, dst) })
}

func (b bare) putTree(ctx context.Context, dst string, archive io.Reader) error {
	return b.try(b.forTrees(), func(m mover) error { return m.putTree(ctx, dst, archive) })
}

func (b bare) getTree(ctx context.Context, src string, archive io.Writer) error {
	return b.try(b.forTrees(), func(m mover) error { return m.getTree(ctx, src, archive) })
}

// remoteName checks a name that the machine says one of its files has: it
// must not lead anywhere else.
func remoteName(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("the machine names a file %q, which cannot be a file's name", name)
	}
	return nil
}

// classify gives the text of a remote error its kind.
func classify(text string) error {
	switch {
	case strings.Contains(text, "No such file or directory"):
		return fmt.Errorf("%s: %w", text, fs.ErrNotExist)
	case strings.Contains(text, "Permission denied"):
		return fmt.Errorf("%s: %w", text, fs.ErrPermission)
	}
	return errors.New(text)
}
