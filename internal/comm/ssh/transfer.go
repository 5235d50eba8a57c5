package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"ingot/internal/component"
)

// Exit codes with which the command lines below say what went wrong. They
// are checked in the shell because its messages depend on the language.
const (
	exitMissing = 81
	exitDenied  = 82
	exitNotDir  = 83
	exitIsDir   = 84
)

// transferError makes an error of an exit code and what was written to
// standard error.
func transferError(exit component.Exit, complaint string) error {
	var kind error
	switch exit.Code {
	case 0:
		return nil
	case exitMissing:
		kind = fs.ErrNotExist
	case exitDenied:
		kind = fs.ErrPermission
	case exitNotDir:
		kind = errors.New("not a directory")
	case exitIsDir:
		kind = errors.New("is a directory")
	default:
		kind = errors.New(exit.String())
	}
	if complaint == "" {
		return kind
	}
	return fmt.Errorf("%w (%s)", kind, complaint)
}

// shell runs one of our own command lines.
func (c *comm) shell(ctx context.Context, cmd command) error {
	complaint := &tail{}
	cmd.stderr = complaint
	exit, err := c.exec(ctx, cmd)
	if err != nil {
		return err
	}
	return transferError(exit, complaint.String())
}

// Put writes a file; see component.Communicator.
func (c *comm) Put(ctx context.Context, dst string, src io.Reader, meta component.FileMeta) error {
	err := checkPath(dst)
	if err == nil {
		err = c.put(ctx, dst, &exact{r: src, want: meta.Size}, meta)
	}
	if err != nil {
		return fmt.Errorf("ssh: put %s: %w", dst, err)
	}
	return nil
}

func (c *comm) put(ctx context.Context, dst string, src io.Reader, meta component.FileMeta) error {
	if meta.Mode == 0 {
		meta.Mode = 0o644
	}
	if !c.facts.posix {
		return c.withoutShell().put(ctx, dst, src, meta)
	}
	return c.shell(ctx, command{line: putLine(dst, meta), stdin: src, whole: true})
}

// putLine writes standard input to dst. The file is opened first and gets its
// mode before its contents, so that a secret is never readable for others. One
// that may not be written is replaced, as root could write it.
func putLine(dst string, meta component.FileMeta) string {
	p, dir := quotePath(dst), quotePath(path.Dir(dst))
	mode := fmt.Sprintf("%04o", unixMode(meta.Mode))
	touch := ""
	if !meta.ModTime.IsZero() {
		touch = " && TZ=UTC0 touch -t " + meta.ModTime.UTC().Format("200601021504.05") + " " + p
	}
	return "umask 077; [ ! -f " + p + " ] || [ -w " + p + " ] || rm -f " + p + "; " +
		"{ chmod " + mode + " " + p + " && cat; } >" + p + touch + " || { r=$?; " +
		"[ ! -d " + p + " ] || exit 84; [ -e " + dir + " ] || exit 81; [ -d " + dir + " ] || exit 83; " +
		"[ -w " + p + " ] || [ -w " + dir + " ] || exit 82; exit $r; }"
}

// unixMode is the permission bits with set-id and sticky bits.
func unixMode(m fs.FileMode) uint32 {
	out := uint32(m.Perm())
	if m&fs.ModeSetuid != 0 {
		out |= 0o4000
	}
	if m&fs.ModeSetgid != 0 {
		out |= 0o2000
	}
	if m&fs.ModeSticky != 0 {
		out |= 0o1000
	}
	return out
}

// Get reads a file; see component.Communicator.
func (c *comm) Get(ctx context.Context, src string, dst io.Writer) error {
	err := checkPath(src)
	switch {
	case err != nil:
	case !c.facts.posix:
		err = c.withoutShell().get(ctx, src, dst)
	default:
		err = c.shell(ctx, command{line: getLine(src), stdout: dst})
	}
	if err != nil {
		return fmt.Errorf("ssh: get %s: %w", src, err)
	}
	return nil
}

func getLine(src string) string {
	p := quotePath(src)
	return "[ ! -d " + p + " ] || exit 84; cat <" + p + " || { r=$?; [ -e " + p + " ] || exit 81; [ -r " + p + " ] || exit 82; exit $r; }"
}

// PutTree unpacks an archive; see component.Communicator.
func (c *comm) PutTree(ctx context.Context, dst string, archive io.Reader) error {
	err := checkPath(dst)
	switch {
	case err != nil:
	case !c.facts.posix || !c.facts.tar:
		err = c.withoutShell().putTree(ctx, dst, archive)
	default:
		err = c.shell(ctx, command{line: putTreeLine(dst), stdin: archive, whole: true})
	}
	if err != nil {
		return fmt.Errorf("ssh: put tree %s: %w", dst, err)
	}
	return nil
}

// putTreeLine unpacks standard input below dst. Owners are not kept: they are
// those of the machine that made the archive. GNU tar would replace a symbolic
// link to a directory by a directory; unpacking "lib" over a root file system
// where /lib is a link must not do that.
func putTreeLine(dst string) string {
	p := quotePath(dst)
	return "mkdir -p " + p + " || { r=$?; [ ! -e " + p + " ] || exit 83; exit $r; }; [ -d " + p + " ] || exit 83; [ -w " + p + " ] || exit 82; k=; " +
		"case $(tar --version 2>/dev/null) in *GNU*) k=--keep-directory-symlink;; esac; " +
		"LC_ALL=C tar -xopf - -C " + p + " $k"
}

// GetTree packs a folder; see component.Communicator.
func (c *comm) GetTree(ctx context.Context, src string, archive io.Writer) error {
	err := checkPath(src)
	switch {
	case err != nil:
	case !c.facts.posix || !c.facts.tar:
		err = c.withoutShell().getTree(ctx, src, archive)
	default:
		err = c.getTree(ctx, src, archive)
	}
	if err != nil {
		return fmt.Errorf("ssh: get tree %s: %w", src, err)
	}
	return nil
}

func (c *comm) getTree(ctx context.Context, src string, archive io.Writer) error {
	p := quotePath(src)
	complaint := &tail{}
	exit, err := c.exec(ctx, command{
		line: "[ -e " + p + " ] || exit 81; [ -d " + p + " ] || exit 83; [ -r " + p + " ] && [ -x " + p + " ] || exit 82; " +
			"LC_ALL=C tar -cf - -C " + p + " .",
		stdout: archive, stderr: complaint,
	})
	if err != nil {
		return err
	}
	if exit.Code == 1 && onlyChanges(complaint.String()) {
		return nil
	}
	return transferError(exit, complaint.String())
}

// onlyChanges reports whether GNU tar complains about nothing but files that
// grew while it read them, as logs do. The archive is complete then.
func onlyChanges(complaint string) bool {
	if complaint == "" {
		return false
	}
	for _, line := range strings.Split(complaint, "; ") {
		if !strings.HasSuffix(line, "file changed as we read it") && !strings.HasSuffix(line, "socket ignored") {
			return false
		}
	}
	return true
}

// exact checks that a reader has as many bytes as was said.
type exact struct {
	r    io.Reader
	want int64 // 0 and below when not known
	got  int64
}

// Read fails at the end when bytes are missing, or as soon as there are too
// many.
func (e *exact) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	e.got += int64(n)
	switch {
	case e.want <= 0:
	case e.got > e.want:
		return 0, fmt.Errorf("the source is longer than the %d bytes it should have", e.want)
	case err == io.EOF && e.got < e.want:
		return n, fmt.Errorf("the source ended after %d of %d bytes: %w", e.got, e.want, io.ErrUnexpectedEOF)
	}
	return n, err
}
