// Package staging keeps files in a folder of the machine while a step uses them
// there. It is for steps that run a program on a machine with a POSIX shell.
package staging

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/shellenv"
	"ingot/internal/treecopy"
)

// cleanTimeout bounds the removal of the folder after an interrupt.
const cleanTimeout = 30 * time.Second

// Options says which folder is used.
type Options struct {
	// Dir is the folder that the user names; empty for a new one below /tmp
	// that nobody else can read or guess.
	Dir string
	// Prefix begins the name of a new folder.
	Prefix string
	// Clean says whether the folder is removed at the end; nil means that it
	// is when it is a new one.
	Clean *bool
}

// Check finds mistakes in staging_directory and clean_staging_directory.
func Check(dir string, clean *bool) diag.List {
	if dir == "" {
		return nil
	}
	if !path.IsAbs(dir) {
		return diag.At("staging_directory", "Not an absolute path", "staging_directory is a folder on the machine, and its path must begin with /; got %q.", dir)
	}
	if clean != nil && *clean && common(path.Clean(dir)) {
		return diag.At("clean_staging_directory", "Folder of the system",
			"%q would be removed from the machine with all that is in it. Name a folder in staging_directory that is for this step only, or remove clean_staging_directory.", dir)
	}
	return nil
}

// common reports whether a folder is one that others use too.
func common(dir string) bool {
	switch dir {
	case "/", "/tmp", "/var", "/var/tmp", "/etc", "/usr", "/usr/local", "/opt", "/home", "/root", "/srv", "/run", "/mnt", "/boot", "/dev", "/bin", "/sbin", "/lib":
		return true
	}
	return path.Dir(dir) == "/home"
}

// Area is the folder.
type Area struct {
	t component.Target
	// Dir is its path on the machine.
	Dir   string
	clean bool
}

// Open makes the folder. Close is to be called in any case.
func Open(ctx context.Context, t component.Target, o Options) (*Area, error) {
	caps := t.Comm.Caps()
	switch {
	case !caps.Run || !caps.Put:
		return nil, fmt.Errorf("this build has no machine to work on (communicator %q): %w", caps.Transport, component.ErrUnsupported)
	case caps.Shell != component.POSIX:
		return nil, fmt.Errorf("the machine has no POSIX shell: %w", component.ErrUnsupported)
	}
	a := &Area{t: t, Dir: path.Clean(o.Dir), clean: o.Clean != nil && *o.Clean}
	make := "mkdir -p -- " + shellenv.Quote(a.Dir)
	if o.Dir == "" {
		a.Dir = "/tmp/" + o.Prefix + strings.ToLower(rand.Text())
		a.clean = o.Clean == nil || *o.Clean
		make = "mkdir -- " + a.Dir + " && chmod 700 " + a.Dir
	}
	if err := a.do(ctx, make); err != nil {
		return nil, errors.Join(fmt.Errorf("make the folder %s on the machine: %w", a.Dir, err), a.Close(ctx))
	}
	return a, nil
}

// Close removes the folder, unless it is to stay. It works after the end of
// ctx too.
func (a *Area) Close(ctx context.Context) error {
	if !a.clean {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), cleanTimeout, errors.New("no answer"))
	defer cancel()
	dir := shellenv.Quote(a.Dir)
	// What a program has written there as root, only root can remove.
	if err := a.do(ctx, fmt.Sprintf("rm -rf -- %s 2>/dev/null || sudo -n rm -rf -- %[1]s", dir)); err != nil {
		return fmt.Errorf("remove the folder %s from the machine: %w", a.Dir, err)
	}
	return nil
}

// do runs a command of ours.
func (a *Area) do(ctx context.Context, line string) error {
	var complaint bytes.Buffer
	exit, err := a.t.Comm.Run(ctx, component.Command{Line: line, Stdout: &complaint, Stderr: &complaint})
	if err == nil && exit.Code != 0 {
		err = fmt.Errorf("%s: %s", exit, strings.TrimSpace(complaint.String()))
	}
	return err
}

// Path is that of a name in the folder.
func (a *Area) Path(name string) string { return path.Join(a.Dir, name) }

// MakeFolder makes a folder in the folder, with those above it.
func (a *Area) MakeFolder(ctx context.Context, name string) error {
	if err := a.do(ctx, "mkdir -p -- "+shellenv.Quote(a.Path(name))); err != nil {
		return fmt.Errorf("make the folder %s on the machine: %w", a.Path(name), err)
	}
	return nil
}

// PutText writes a file that only its owner can read.
func (a *Area) PutText(ctx context.Context, name, text string) error {
	if err := a.t.Comm.Put(ctx, a.Path(name), strings.NewReader(text), component.FileMeta{Mode: 0o600, Size: int64(len(text))}); err != nil {
		return fmt.Errorf("write %s on the machine: %w", a.Path(name), err)
	}
	return nil
}

// Put uploads a local file, or what is in a local folder.
func (a *Area) Put(ctx context.Context, local, name string) error {
	a.t.Say("Uploading " + local + " => " + a.Path(name))
	info, err := os.Stat(local)
	if err == nil && info.IsDir() {
		err = a.tree(ctx, local, a.Path(name))
	} else if err == nil {
		err = a.file(ctx, local, a.Path(name), info)
	}
	if err != nil {
		return fmt.Errorf("upload %s to %s: %w", local, a.Path(name), err)
	}
	return nil
}

func (a *Area) file(ctx context.Context, local, remote string, info fs.FileInfo) error {
	f, err := os.Open(local)
	if err != nil {
		return err
	}
	defer f.Close()
	return a.t.Comm.Put(ctx, remote, f, component.FileMeta{Mode: info.Mode().Perm(), Size: info.Size(), ModTime: info.ModTime()})
}

// tree sends a folder as an archive. Links are followed, so that none leads to
// a place of this machine.
func (a *Area) tree(ctx context.Context, local, remote string) error {
	if !a.t.Comm.Caps().Tree {
		return fmt.Errorf("folders: %w", component.ErrUnsupported)
	}
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := treecopy.Pack(ctx, w, local, treecopy.PackOptions{FollowLinks: true, Skipped: func(name string, mode fs.FileMode) {
			a.t.Emit(component.Warning{Summary: "File left out", Detail: fmt.Sprintf("%s is neither a file nor a folder (%s) and was not copied.", name, mode)})
		}})
		w.CloseWithError(err)
		packed <- err
	}()
	err := a.t.Comm.PutTree(ctx, remote, r)
	if err == nil {
		// The reader may stop before the archive's padding.
		_, err = io.Copy(io.Discard, r)
	}
	r.CloseWithError(errStopped)
	if packErr := <-packed; packErr != nil && !errors.Is(packErr, errStopped) {
		return packErr
	}
	return err
}

var errStopped = errors.New("the other side stopped")

// Run runs a command of the user's and prints what it prints.
func (a *Area) Run(ctx context.Context, line string) (component.Exit, error) {
	out, errOut := component.NewLineWriter(a.t.Events, component.Stdout), component.NewLineWriter(a.t.Events, component.Stderr)
	defer errOut.Flush()
	defer out.Flush()
	return a.t.Comm.Run(ctx, component.Command{Line: line, Stdout: out, Stderr: errOut})
}
