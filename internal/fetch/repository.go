package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"ingot/internal/retry"
)

// fromRepository takes one file out of a repository and verifies it.
func (f *fetcher) fromRepository(ctx context.Context, to slot, src source, want checksum) error {
	if err := to.forget(); err != nil {
		return err
	}
	err := f.repeat(ctx, src, func() int64 { return 0 }, func(ctx context.Context) error { return f.checkout(ctx, src, to.part()) })
	if err == nil {
		err = verifyFile(ctx, to.part(), want)
	}
	if err != nil {
		return errors.Join(err, to.forget())
	}
	return nil
}

// checkout writes the file of a repository to path, by the program of that system.
func (f *fetcher) checkout(ctx context.Context, src source, path string) (err error) {
	dir, err := os.MkdirTemp(f.run.WorkDir, "repository-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if src.kind == hgFile {
		return hgCheckout(ctx, src, dir, out)
	}
	return gitCheckout(ctx, src, dir, out)
}

func gitCheckout(ctx context.Context, src source, dir string, out io.Writer) error {
	ref := src.url.Fragment
	if ref == "" {
		ref = "HEAD"
	}
	repository, err := absolute(src.repository)
	if err != nil {
		return err
	}
	if err := tool(ctx, nil, "git", "init", "-q", dir); err != nil {
		return err
	}
	commit := "FETCH_HEAD"
	err = tool(ctx, nil, "git", "-C", dir, "fetch", "-q", "--depth", "1", repository, ref)
	if err != nil && looksLikeCommit(ref) {
		// Not every server hands out a commit by its name.
		commit = ref
		err = tool(ctx, nil, "git", "-C", dir, "fetch", "-q", repository, "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
	}
	if err != nil {
		return err
	}
	return tool(ctx, out, "git", "-C", dir, "cat-file", "blob", commit+":"+src.path)
}

// looksLikeCommit reports whether ref can be the name of a commit, short or long.
func looksLikeCommit(ref string) bool {
	return len(ref) >= 7 && len(ref) <= 64 && strings.Trim(strings.ToLower(ref), "0123456789abcdef") == ""
}

func hgCheckout(ctx context.Context, src source, dir string, out io.Writer) error {
	rev := src.url.Fragment
	if rev == "" {
		rev = "tip"
	}
	repository, err := absolute(src.repository)
	if err != nil {
		return err
	}
	clone := filepath.Join(dir, "clone")
	if err := tool(ctx, nil, "hg", "--noninteractive", "clone", "-q", "--noupdate", "--", repository, clone); err != nil {
		return err
	}
	return tool(ctx, out, "hg", "--noninteractive", "--cwd", clone, "cat", "-r", rev, "--", src.path)
}

// absolute leaves URLs alone, and "host:path".
func absolute(repository string) (string, error) {
	if !isLocal(repository) {
		return repository, nil
	}
	return filepath.Abs(repository)
}

// tool runs a program that must not ask anything; its output goes to out.
func tool(ctx context.Context, out io.Writer, name string, args ...string) error {
	if _, err := exec.LookPath(name); err != nil {
		return retry.As(retry.User, fmt.Errorf("the program %s is needed for this URL: %w", name, err))
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "GIT_TERMINAL_PROMPT=0", "HGPLAIN=1")
	cmd.Stdout, cmd.Stderr = out, &stderr
	// Helpers of the program may hold its output open when it is gone.
	cmd.WaitDelay = 2 * time.Second
	err := cmd.Run()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	text := strings.TrimSpace(stderr.String())
	if text == "" {
		text = err.Error()
	}
	// The address may be in the message, with its password.
	for _, a := range args {
		if hidden := hidePassword(a); strings.Contains(a, "://") && hidden != a {
			text = strings.ReplaceAll(text, a, hidden)
		}
	}
	class := retry.User
	for _, passing := range []string{"Could not resolve host", "Connection timed out", "Connection reset", "Connection refused", "early EOF", "unexpected disconnect", "The requested URL returned error: 5"} {
		if strings.Contains(text, passing) {
			class = retry.Transient
		}
	}
	return retry.As(class, fmt.Errorf("%s: %s", name, text))
}
