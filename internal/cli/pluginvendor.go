package cli

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ingot/internal/plugin/install"
	"ingot/internal/plugin/lock"
	"ingot/internal/plugin/resolve"
	"ingot/internal/plugin/store"
)

func (a *app) pluginsVendor(ctx context.Context, f pluginsVendorFlags, target, path string) (err error) {
	platforms, all, err := parsePlatforms(f.platforms)
	if err != nil {
		return err
	}
	if len(platforms) == 0 {
		platforms = []store.Platform{store.Here()}
	}
	screen, err := a.openScreen(buildFlags{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, screen.close()) }()
	work, stop := interruptible(ctx)
	defer stop()
	wanted, locked, err := a.requirements(work, f.templateFlags, path, screen)
	if err != nil {
		return err
	}
	in, done, err := a.installer(f.installerFlags, nil, a.reportTo())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	dir, finish, err := vendorFolder(target, in.Run.WorkDir)
	if err != nil {
		return err
	}
	in.Store = &store.Store{Dir: dir}
	v := vendor{in: in, locked: locked, platforms: platforms, all: all, say: screen.notice}
	for _, w := range wanted {
		if w.choice.Use == resolve.Native && !f.all {
			screen.notice(fmt.Sprintf("%s is not copied: %s.", w.address, w.choice.Why))
			continue
		}
		if err := v.plugin(work, w); err != nil {
			return err
		}
	}
	if err := finish(); err != nil {
		return err
	}
	if _, err := locked.Write(); err != nil {
		return err
	}
	screen.notice(fmt.Sprintf("Copied %d %s to %s", v.files, plural(v.files, "plugin", "plugins"), target))
	return nil
}

// vendor copies plugins.
type vendor struct {
	in        *install.Installer
	locked    *lock.File
	platforms []store.Platform
	all       bool
	say       func(string)
	files     int
}

// plugin copies one plugin for all platforms that are wanted. The version of the
// first one is that of all.
func (v *vendor) plugin(ctx context.Context, w wantedPlugin) error {
	l := v.locked.Plugin(w.address)
	if l != nil && !w.constraints.Check(l.Version.Core()) {
		return fmt.Errorf("the template wants version %s of %s; %s has %s. Run init with -upgrade", w.constraints, w.address, v.locked.Path, l.Version)
	}
	req := install.Request{Plugin: w.address, Constraints: w.constraints}
	platforms := v.platforms
	if v.all {
		zips, _, err := v.in.Look(ctx, v.request(req, l))
		if err != nil {
			return err
		}
		if platforms = install.SortedPlatforms(zips); len(platforms) == 0 {
			platforms = []store.Platform{store.Here()}
		}
	}
	for _, p := range platforms {
		one := v.request(req, l)
		one.Platform = p
		got, err := v.in.Install(ctx, one)
		if err != nil {
			return err
		}
		for _, note := range got.Notes {
			v.say("Note: " + note)
		}
		l = lockEntry(l, got, w)
		v.locked.Set(l)
		v.files++
		v.say(fmt.Sprintf("Copied %s v%s for %s from %s (%s)", w.address, got.Name.Version, p, got.Origin, got.Signature))
	}
	return nil
}

func (v *vendor) request(req install.Request, l *lock.Plugin) install.Request {
	if l != nil {
		req.Version, req.Zips, req.Programs = l.Version, l.Archives, l.Programs
	}
	return req
}

// vendorFolder is the folder to fill, and what is to be done when it is full: an
// archive is made of a temporary one.
func vendorFolder(target, temp string) (dir string, finish func() error, err error) {
	var pack func(io.Writer, string) error
	switch lower := strings.ToLower(target); {
	case strings.HasSuffix(lower, ".zip"):
		pack = packZip
	case strings.HasSuffix(lower, ".tar.gz"), strings.HasSuffix(lower, ".tgz"):
		pack = packTar
	default:
		dir, err := filepath.Abs(target)
		return dir, func() error { return nil }, err
	}
	dir = filepath.Join(temp, "vendor")
	return dir, func() error { return writeArchive(target, dir, pack) }, os.MkdirAll(dir, 0o755)
}

// writeArchive gives the archive its name when it is complete.
func writeArchive(target, dir string, pack func(io.Writer, string) error) error {
	draft, err := os.CreateTemp(filepath.Dir(target), ".vendor-")
	if err != nil {
		return err
	}
	err = pack(draft, dir)
	if err == nil {
		err = draft.Chmod(0o644)
	}
	if err = errors.Join(err, draft.Close()); err == nil {
		err = os.Rename(draft.Name(), target)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", target, errors.Join(err, os.Remove(draft.Name())))
	}
	return nil
}

// eachFile calls use for the files below a folder, in the order of their names. The
// same files make the same archive.
func eachFile(dir string, use func(name string, info fs.FileInfo, content io.Reader) error) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		below, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return use(filepath.ToSlash(below), info, f)
	})
}

func packZip(to io.Writer, dir string) error {
	w := zip.NewWriter(to)
	err := eachFile(dir, func(name string, info fs.FileInfo, content io.Reader) error {
		h := &zip.FileHeader{Name: name, Method: zip.Deflate}
		h.SetMode(info.Mode().Perm())
		f, err := w.CreateHeader(h)
		if err == nil {
			_, err = io.Copy(f, content)
		}
		return err
	})
	return errors.Join(err, w.Close())
}

func packTar(to io.Writer, dir string) error {
	packed := gzip.NewWriter(to)
	w := tar.NewWriter(packed)
	err := eachFile(dir, func(name string, info fs.FileInfo, content io.Reader) error {
		err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: info.Size(), Mode: int64(info.Mode().Perm())})
		if err == nil {
			_, err = io.Copy(w, content)
		}
		return err
	})
	return errors.Join(err, w.Close(), packed.Close())
}
