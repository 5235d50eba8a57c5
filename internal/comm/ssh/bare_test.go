//go:build unix

package ssh_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/component"
	"ingot/internal/testkit/sshd"
	"ingot/internal/treecopy"
)

// TestTreesByTheSCPProtocol: the last resort, where there is neither tar nor
// SFTP.
func TestTreesByTheSCPProtocol(t *testing.T) {
	s := sshd.Start(t, sshd.Options{Path: noTar(t), NoSFTP: true})
	c := hasty(t).mustDial(t, to(s, component.Connection{}))
	src, dst := t.TempDir(), filepath.Join(t.TempDir(), "new folder")
	write := func(name, body string, mode os.FileMode) {
		t.Helper()
		p := filepath.Join(src, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(body), 0o600), os.Chmod(p, mode)); err != nil {
			t.Fatal(err)
		}
	}
	write("file", "contents", 0o640)
	write("a/b/c/deep 'name", strings.Repeat("x", 100_000), 0o755)
	write("a/second", "", 0o644)
	if err := errors.Join(os.Mkdir(filepath.Join(src, "empty"), 0o700), os.Symlink("a/second", filepath.Join(src, "link"))); err != nil {
		t.Fatal(err)
	}
	var stream bytes.Buffer
	if err := treecopy.Pack(t.Context(), &stream, src, treecopy.PackOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.PutTree(t.Context(), dst, &stream); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"file": 0o640, "a/b/c/deep 'name": 0o755, "empty": os.ModeDir | 0o700} {
		if info, err := os.Stat(filepath.Join(dst, name)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if to, err := os.Readlink(filepath.Join(dst, "link")); err != nil || to != "a/second" {
		t.Errorf("the link: %q, %v", to, err)
	}
	var back bytes.Buffer
	if err := c.GetTree(t.Context(), dst, &back); err != nil {
		t.Fatal(err)
	}
	again := t.TempDir()
	if err := treecopy.Unpack(t.Context(), &back, again, treecopy.UnpackOptions{}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(again, "a/b/c/deep 'name")); err != nil || len(got) != 100_000 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := c.GetTree(t.Context(), dst+"/missing", io.Discard); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing folder: %v", err)
	}
	if err := c.GetTree(t.Context(), dst+"/file", io.Discard); err == nil {
		t.Error("a file in place of a folder: no error")
	}
}

func TestNoWayToCopy(t *testing.T) {
	var bare *sshd.Server
	s := sshd.Start(t, sshd.Options{NoSFTP: true, Path: toolsFor(t, "cat"), Exec: noShell(&bare)})
	bare = s
	for method, want := range map[string][]string{"": {"sftp", "scp"}, "sftp": {"sftp"}, "scp": {"scp"}} {
		c := hasty(t).mustDial(t, to(s, component.Connection{SSHFileTransferMethod: method}))
		err := c.Put(t.Context(), "/tmp/f", strings.NewReader("x"), component.FileMeta{Size: 1})
		if err == nil {
			t.Errorf("%q: no error", method)
			continue
		}
		contains(t, err.Error(), append(want, "not available on the machine")...)
		if err := c.PutTree(t.Context(), "/tmp/t", emptyArchive()); err == nil {
			t.Errorf("%q: no error for a tree", method)
		}
	}
}

func emptyArchive() io.Reader {
	var out bytes.Buffer
	_ = tar.NewWriter(&out).Close()
	return &out
}

// TestW45HostileMachine: names that a machine sends lead nowhere.
func TestW45HostileMachine(t *testing.T) {
	s := sshd.Start(t, sshd.Options{NoSFTP: true, Exec: func(c *sshd.Call) sshd.Status {
		switch {
		case strings.Contains(c.Line, "ingot-tar"):
			_, _ = io.WriteString(c.Stdout, "ingot-posix\n")
		case strings.Contains(c.Line, "scp -"):
			_, _ = io.WriteString(c.Stdout, "D0755 0 top\nC0644 4 ../../evil\nevil\x00E\nE\n")
			_, _ = io.Copy(io.Discard, c.Stdin)
		}
		return sshd.Status{}
	}})
	c := hasty(t).mustDial(t, to(s, component.Connection{}))
	err := c.GetTree(t.Context(), "/x", io.Discard)
	if err == nil {
		t.Fatal("no error")
	}
	contains(t, err.Error(), "../../evil")
}
