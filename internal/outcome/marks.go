package outcome

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"ingot/internal/component"
)

// Marks say what the parts of an artifact were when it was made, by the part: a
// later look tells whether they are still the same.
type Marks map[string]string

// Prober tells what a resource is now: some text that changes with it, and "" when
// it is gone. known is false of resources that it cannot tell of.
type Prober func(ctx context.Context, r component.Resource) (mark string, known bool, err error)

// Mark looks at the parts of artifacts. Relative paths start from dir. What cannot
// be looked at has no mark.
func Mark(ctx context.Context, artifacts []*component.Artifact, dir string, probe Prober) Marks {
	out := Marks{}
	for _, a := range artifacts {
		if a == nil {
			continue
		}
		for _, f := range a.Files {
			if mark, err := fileMark(inDir(dir, f.Path)); err == nil {
				out[fileKey(dir, f)] = mark
			}
		}
		for _, r := range a.Resources {
			if mark, known, err := probe(ctx, r); err == nil && known && mark != "" {
				out[resourceKey(r)] = mark
			}
		}
	}
	return out
}

// Missing says what of an artifact is not what it was when it was marked, as a
// clause such as "the file x.tar is gone"; "" when all is there. The error is
// about not being able to tell.
func Missing(ctx context.Context, a *component.Artifact, dir string, marks Marks, probe Prober) (string, error) {
	for _, f := range a.Files {
		wrong, err := missingFile(ctx, f, inDir(dir, f.Path), marks[fileKey(dir, f)])
		if wrong != "" || err != nil {
			return wrong, err
		}
	}
	for _, r := range a.Resources {
		if r.Kind == component.FileKind {
			if _, err := os.Lstat(r.ID); errors.Is(err, fs.ErrNotExist) {
				return fmt.Sprintf("the file %s is gone", r.ID), nil
			}
			continue
		}
		if r.Kind == component.DirKind {
			if _, err := os.Lstat(r.ID); errors.Is(err, fs.ErrNotExist) {
				return fmt.Sprintf("the folder %s is gone", r.ID), nil
			}
			continue
		}
		mark, known, err := probe(ctx, r)
		was := marks[resourceKey(r)]
		switch {
		case err != nil:
			return "", err
		case !known:
			return "", fmt.Errorf("this program cannot tell whether the %s %s is still there", r.Kind, r.ID)
		case mark == "":
			return fmt.Sprintf("the %s %s is gone", word(r.Kind), r.ID), nil
		case was != "" && mark != was:
			return fmt.Sprintf("the %s %s is another one now", word(r.Kind), r.ID), nil
		}
	}
	return "", nil
}

// word is a kind of resource as people say it: "docker.image" is an image.
func word(kind string) string {
	if _, name, ok := strings.Cut(kind, "."); ok {
		return name
	}
	return kind
}

func missingFile(ctx context.Context, f component.File, path, was string) (string, error) {
	now, err := fileMark(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Sprintf("the file %s is gone", f.Path), nil
	case err != nil:
		return "", err
	case was != "" && now == was:
		return "", nil
	case f.Digest == "":
		return fmt.Sprintf("the file %s was changed", f.Path), nil
	}
	// It was touched, or copied back: its contents decide.
	same, err := hasDigest(ctx, path, f.Digest)
	if err == nil && !same {
		return fmt.Sprintf("the file %s was changed", f.Path), nil
	}
	return "", err
}

// fileMark is the size and the time of the last change.
func fileMark(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	return strconv.FormatInt(info.Size(), 10) + " " + strconv.FormatInt(info.ModTime().UnixNano(), 10), nil
}

func hasDigest(ctx context.Context, path, digest string) (bool, error) {
	want, ok := strings.CutPrefix(digest, "sha256:")
	if !ok {
		return false, nil
	}
	in, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer in.Close()
	stop := context.AfterFunc(ctx, func() { _ = in.Close() }) // the read then fails
	defer stop()
	h := sha256.New()
	if _, err := io.Copy(h, in); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return false, cause
		}
		return false, err
	}
	return hex.EncodeToString(h.Sum(nil)) == want, nil
}

func fileKey(dir string, f component.File) string { return "file " + inDir(dir, f.Path) }
func resourceKey(r component.Resource) string     { return r.Kind + " " + r.ID }

func inDir(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
