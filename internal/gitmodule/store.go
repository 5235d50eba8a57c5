// Package gitmodule makes modules that are in Git repositories available as
// folders. It uses the program git, and keeps what it has fetched by
// repository and commit.
package gitmodule

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ingot/internal/component"
	"ingot/internal/outfile"
)

// Store is a folder of fetched repositories.
type Store struct {
	// Dir is where they are kept. What is in it can be fetched again.
	Dir string
	// Environ is the environment for git.
	Environ []string
}

// stale is the age at which what an interrupted fetch left is removed.
const stale = 24 * time.Hour

// Fetch makes the module at a source available and returns its folder, which
// is not to be changed. A branch or tag is looked up every time. When that
// fails, what it was the last time is used, and the notes say so.
func (s *Store) Fetch(ctx context.Context, source string) (dir string, notes []string, err error) {
	r, err := parse(source)
	if err != nil {
		return "", nil, err
	}
	id, notes, err := s.commit(ctx, r)
	if err != nil {
		return "", nil, err
	}
	root, err := s.tree(ctx, r, id)
	if err != nil {
		return "", notes, err
	}
	dir, err = inside(root, r)
	return dir, notes, err
}

// commit is the commit that a source means now.
func (s *Store) commit(ctx context.Context, r *repository) (id string, notes []string, err error) {
	if r.isCommit() {
		return r.ref, nil, nil
	}
	id, err = s.look(ctx, r)
	record := filepath.Join(s.Dir, "ref-"+digest(r.url, r.ref))
	if err == nil {
		return id, nil, s.write(record, id)
	}
	var unanswered unansweredError
	if !errors.As(err, &unanswered) || ctx.Err() != nil {
		return "", nil, err
	}
	last, readErr := os.ReadFile(record)
	id = strings.TrimSpace(string(last))
	if readErr != nil || !commit.MatchString(id) || !exists(s.treeDir(r, id)) {
		return "", nil, err
	}
	return id, []string{fmt.Sprintf("The commit %s, fetched before, is used, since it could not be found out whether there is a newer one: %s.", id[:12], err)}, nil
}

// look asks the repository for the commit of a branch, a tag or the default
// branch.
func (s *Store) look(ctx context.Context, r *repository) (string, error) {
	wanted := []string{"HEAD"}
	if r.ref != "" {
		// A tag that is an object of its own leads to the commit by "^{}".
		wanted = []string{"refs/tags/" + r.ref + "^{}", "refs/tags/" + r.ref, "refs/heads/" + r.ref}
	}
	out, err := s.git(ctx, r, "", append([]string{"ls-remote", remote}, wanted...)...)
	if err != nil {
		return "", err
	}
	found := map[string]string{}
	for _, line := range strings.Split(out, "\n") {
		if id, name, ok := strings.Cut(line, "\t"); ok {
			found[name] = id
		}
	}
	for _, name := range wanted {
		if id := found[name]; commit.MatchString(id) {
			return id, nil
		}
	}
	if r.ref == "" {
		return "", fmt.Errorf("the repository %s has no commits", r.shown)
	}
	return "", fmt.Errorf("the repository %s has no branch and no tag %q; a commit is given with all of its 40 digits", r.shown, r.ref)
}

// tree is the folder with the files of a commit.
func (s *Store) tree(ctx context.Context, r *repository, id string) (string, error) {
	dir := s.treeDir(r, id)
	if exists(dir) {
		return dir, nil
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return "", fmt.Errorf("folder of fetched modules: %w", err)
	}
	// The lock saves others the work. Without it, they would do it twice,
	// and the first one would win.
	quiet := component.Run{Clock: component.SystemClock{}, Events: component.SinkFunc(func(component.Event) {})}
	if unlock, err := outfile.Lock(ctx, quiet, dir); err == nil {
		defer func() { _ = unlock() }()
	}
	if exists(dir) {
		return dir, nil
	}
	s.sweep()
	draft, err := os.MkdirTemp(s.Dir, draftPrefix)
	if err != nil {
		return "", fmt.Errorf("folder for fetching a module: %w", err)
	}
	defer os.RemoveAll(draft)
	if err := s.checkOut(ctx, r, id, draft); err != nil {
		return "", err
	}
	if err := os.Rename(draft, dir); err != nil && !exists(dir) {
		return "", fmt.Errorf("keep a fetched module: %w", err)
	}
	return dir, nil
}

const draftPrefix = "draft-"

// checkOut fills a folder with the files of a commit.
func (s *Store) checkOut(ctx context.Context, r *repository, id, dir string) error {
	if _, err := s.git(ctx, r, dir, "init", "--quiet", "--template="); err != nil {
		return err
	}
	// Not every server gives a commit that is no tip of something.
	if _, err := s.git(ctx, r, dir, "fetch", "--quiet", "--no-tags", "--depth=1", remote, id); err != nil {
		if ctx.Err() != nil {
			return err
		}
		if _, err := s.git(ctx, r, dir, "fetch", "--quiet", remote, "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"); err != nil {
			return err
		}
	}
	if _, err := s.git(ctx, r, dir, "-c", "advice.detachedHead=false", "checkout", "--quiet", "--detach", id); err != nil {
		return fmt.Errorf("the commit %s: %w", id, err)
	}
	return os.RemoveAll(filepath.Join(dir, ".git"))
}

// inside is the module's folder in the files of its repository.
func inside(root string, r *repository) (string, error) {
	dir := filepath.Join(root, r.subdir)
	actual, err := filepath.EvalSymlinks(dir)
	if err == nil {
		var top string
		if top, err = filepath.EvalSymlinks(root); err == nil {
			if rel, relErr := filepath.Rel(top, actual); relErr != nil || !filepath.IsLocal(rel) {
				return "", fmt.Errorf("the folder %q of the repository %s leads out of it", filepath.ToSlash(r.subdir), r.shown)
			}
		}
	}
	if info, statErr := os.Stat(dir); err != nil || statErr != nil || !info.IsDir() {
		return "", fmt.Errorf("the repository %s has no folder %q", r.shown, filepath.ToSlash(r.subdir))
	}
	return dir, nil
}

// sweep removes what fetches that were cut short have left.
func (s *Store) sweep() {
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return // what follows will meet the same problem and say it
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && strings.HasPrefix(e.Name(), draftPrefix) && time.Since(info.ModTime()) > stale {
			_ = os.RemoveAll(filepath.Join(s.Dir, e.Name())) // the next one tries again
		}
	}
}

// write replaces a file as a whole.
func (s *Store) write(path, text string) error {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return fmt.Errorf("folder of fetched modules: %w", err)
	}
	f, err := os.CreateTemp(s.Dir, draftPrefix)
	if err != nil {
		return fmt.Errorf("note the commit of a module: %w", err)
	}
	defer os.Remove(f.Name()) // it is there only after an error
	_, err = f.WriteString(text + "\n")
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("note the commit of a module: %w", err)
	}
	return nil
}

func (s *Store) treeDir(r *repository, id string) string {
	return filepath.Join(s.Dir, "tree-"+digest(r.url)+"-"+id)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// digest is a name for some texts that tells nothing of them.
func digest(texts ...string) string {
	h := sha256.New()
	for _, t := range texts {
		fmt.Fprintf(h, "%d:%s", len(t), t)
	}
	return hex.EncodeToString(h.Sum(nil))[:24]
}
