package docker

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// buildContext is the folder that a Dockerfile is built with.
type buildContext struct {
	dir string
	// dockerfile is the Dockerfile's name in the stream.
	dockerfile string
	// outside is the Dockerfile's text when it is not in dir.
	outside  []byte
	ignore   *patternmatcher.PatternMatcher
	compress bool
}

// outsideName is what a Dockerfile from elsewhere is called in the stream.
const outsideName = ".ingot.Dockerfile"

func openBuildContext(dir, dockerfile string, text []byte, compress bool) (*buildContext, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if abs, err = filepath.EvalSymlinks(abs); err != nil {
		return nil, err
	}
	file, err := filepath.Abs(dockerfile)
	if err != nil {
		return nil, err
	}
	c := &buildContext{dir: abs, compress: compress}
	rel, err := filepath.Rel(abs, file)
	if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		c.dockerfile, c.outside = outsideName, text
	} else {
		c.dockerfile = filepath.ToSlash(rel)
	}
	patterns, err := ignorePatterns(abs, file)
	if err != nil {
		return nil, err
	}
	// The builder needs these two whatever the file says.
	patterns = append(patterns, "!"+c.dockerfile, "!.dockerignore")
	if c.ignore, err = patternmatcher.New(patterns); err != nil {
		return nil, fmt.Errorf(".dockerignore: %w", err)
	}
	return c, nil
}

// ignorePatterns reads DOCKERFILE.dockerignore or else the folder's
// .dockerignore.
func ignorePatterns(dir, dockerfile string) ([]string, error) {
	for _, name := range []string{dockerfile + ".dockerignore", filepath.Join(dir, ".dockerignore")} {
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		defer f.Close()
		patterns, err := ignorefile.ReadAll(f)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		return patterns, nil
	}
	return nil, nil
}

// stream returns the folder as a tar stream. The function that comes with it
// ends the stream and returns the error that it had, if any.
func (c *buildContext) stream() (io.Reader, func() error) {
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := c.write(w)
		w.CloseWithError(err)
		written <- err
	}()
	return r, func() error {
		r.CloseWithError(errStopped)
		if err := <-written; !errors.Is(err, errStopped) {
			return err
		}
		return nil
	}
}

func (c *buildContext) write(w io.Writer) error {
	if !c.compress {
		return c.writeTar(w)
	}
	z := gzip.NewWriter(w)
	if err := c.writeTar(z); err != nil {
		return err
	}
	return z.Close()
}

func (c *buildContext) writeTar(w io.Writer) error {
	out := tar.NewWriter(w)
	err := filepath.WalkDir(c.dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(c.dir, name)
		if err != nil || rel == "." {
			return err
		}
		ignored, err := c.ignore.MatchesOrParentMatches(rel)
		if err != nil {
			return err
		}
		if ignored {
			// A later pattern may ask for something below an ignored folder.
			if entry.IsDir() && !c.ignore.Exclusions() {
				return filepath.SkipDir
			}
			return nil
		}
		return addToTar(out, name, filepath.ToSlash(rel))
	})
	if err != nil {
		return err
	}
	if c.outside != nil {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: c.dockerfile, Mode: 0o644, Size: int64(len(c.outside))}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if _, err := out.Write(c.outside); err != nil {
			return err
		}
	}
	return out.Close()
}

// addToTar writes one file, folder or link. Owners are not the image's
// business, so that they are left out as `docker build` does.
func addToTar(out *tar.Writer, file, name string) error {
	info, err := os.Lstat(file)
	if err != nil {
		return err
	}
	link := ""
	switch mode := info.Mode(); {
	case mode&fs.ModeSymlink != 0:
		if link, err = os.Readlink(file); err != nil {
			return err
		}
	case mode&(fs.ModeSocket|fs.ModeDevice|fs.ModeNamedPipe) != 0:
		return nil
	}
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	h.Name, h.Uid, h.Gid, h.Uname, h.Gname = name, 0, 0, "", ""
	if info.IsDir() {
		h.Name += "/"
	}
	if err := out.WriteHeader(h); err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(out, f)
	return err
}
