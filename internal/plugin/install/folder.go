package install

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
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/go-version"

	"ingot/internal/addr"
	"ingot/internal/plugin/store"
)

// folder is a folder with plugins: laid out as a plugin folder, which 'plugins
// vendor' makes, or with the files of releases. They lie in the folder of the
// plugin's address, those of releases also in the folder itself.
type folder struct {
	dir string
	// shown is what it is called; empty is dir.
	shown string
}

func (f *folder) String() string {
	if f.shown != "" {
		return f.shown
	}
	return f.dir
}

func (f *folder) versions(_ context.Context, p addr.Plugin) ([]*version.Version, error) {
	var out []*version.Version
	for _, dir := range f.places(p) {
		names, err := filesIn(dir.path)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			n, err := store.ParseFileName(name)
			if err != nil || !dir.programs {
				z, zipErr := parseZipName(name)
				if n, err = z.FileName, zipErr; err != nil {
					continue
				}
			}
			if n.Name == p.Name() && !slices.ContainsFunc(out, n.Version.Equal) {
				out = append(out, n.Version)
			}
		}
	}
	return out, nil
}

// place is a folder that files of a plugin may be in.
type place struct {
	path string
	// programs says that programs count, not only archives: those in the folder
	// itself could be anybody's.
	programs bool
}

func (f *folder) places(p addr.Plugin) []place {
	return []place{{filepath.Join(f.dir, filepath.FromSlash(p.String())), true}, {f.dir, false}}
}

func filesIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

func (f *folder) release(_ context.Context, p addr.Plugin, v *version.Version) (*release, error) {
	r := &release{signature: func(context.Context) ([]byte, error) { return nil, nil }}
	for _, dir := range f.places(p) {
		names, err := filesIn(dir.path)
		if err != nil {
			return nil, err
		}
		if dir.programs {
			if err := r.addPrograms(dir.path, names, p, v); err != nil {
				return nil, err
			}
		}
		if err := r.addZips(dir.path, names, p, v); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// addPrograms adds programs that have a checksum file beside them.
func (r *release) addPrograms(dir string, names []string, p addr.Plugin, v *version.Version) error {
	for _, name := range names {
		n, err := store.ParseFileName(name)
		if err != nil || n.Name != p.Name() || !n.Version.Equal(v) || !slices.Contains(names, name+store.SumSuffix) {
			continue
		}
		path := filepath.Join(dir, name)
		r.files = append(r.files, file{FileName: n, fetch: func(context.Context) (string, error) { return path, nil }})
	}
	return nil
}

// addZips adds the archives of a release that its list of checksums has.
func (r *release) addZips(dir string, names []string, p addr.Plugin, v *version.Version) error {
	for _, list := range []string{fmt.Sprintf("%s_v%s_SHA256SUMS", repository(p), v), fmt.Sprintf("%s_%s_SHA256SUMS", repository(p), v)} {
		if !slices.Contains(names, list) {
			continue
		}
		text, err := readFile(filepath.Join(dir, list), maxList)
		if err != nil {
			return err
		}
		all, err := parseSums(text)
		if err != nil {
			return fmt.Errorf("%s: %w", list, err)
		}
		r.sums, r.signature = text, localSignature(filepath.Join(dir, list))
		for name, digest := range all {
			n, err := parseZipName(name)
			if err != nil || n.Name != p.Name() || !n.Version.Equal(v) {
				continue
			}
			if !n.hasAPI {
				text, err := readFile(filepath.Join(dir, fmt.Sprintf("%s_%s_manifest.json", repository(p), v)), maxList)
				if err != nil {
					return err
				}
				if n.API, err = parseManifest(text); err != nil {
					return err
				}
			}
			path := filepath.Join(dir, name)
			r.files = append(r.files, file{FileName: n.FileName, zip: digest, fetch: func(ctx context.Context) (string, error) { return path, checkZip(ctx, path, digest) }})
		}
	}
	return nil
}

// checkZip compares a file's content with a digest.
func checkZip(ctx context.Context, path, digest string) error {
	got, err := store.Digest(ctx, path)
	if err != nil {
		return err
	}
	if got != digest {
		return &mismatchError{filepath.Base(path), digest, got}
	}
	return nil
}

func localSignature(list string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) {
		for _, ext := range []string{".sig", ".asc"} {
			text, err := readFile(list+ext, maxList)
			if !errors.Is(err, fs.ErrNotExist) {
				return text, err
			}
		}
		return nil, nil
	}
}

// readFile reads a file of at most limit bytes.
func readFile(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", name, limit)
	}
	return text, err
}

// archive is such a folder in one file.
type archive struct {
	in   *Installer
	path string
}

func (a *archive) String() string { return a.path }

func isArchive(name string) bool {
	return slices.ContainsFunc([]string{".zip", ".tar.gz", ".tgz"}, func(ext string) bool { return strings.HasSuffix(strings.ToLower(name), ext) })
}

func (a *archive) versions(ctx context.Context, p addr.Plugin) ([]*version.Version, error) {
	f, err := a.open(ctx, p)
	if err != nil {
		return nil, err
	}
	return f.versions(ctx, p)
}

func (a *archive) release(ctx context.Context, p addr.Plugin, v *version.Version) (*release, error) {
	f, err := a.open(ctx, p)
	if err != nil {
		return nil, err
	}
	return f.release(ctx, p, v)
}

// open unpacks what the archive has of a plugin, once.
func (a *archive) open(ctx context.Context, p addr.Plugin) (*folder, error) {
	dir := filepath.Join(a.in.Run.WorkDir, "archive-"+hash(a.path, p.String()))
	f := &folder{dir: dir, shown: a.path}
	if _, err := os.Stat(dir); err == nil {
		return f, nil
	}
	if err := os.MkdirAll(filepath.Join(dir, filepath.FromSlash(p.String())), 0o755); err != nil {
		return nil, err
	}
	each := eachInTar
	if strings.HasSuffix(strings.ToLower(a.path), ".zip") {
		each = eachInZip
	}
	room := int64(maxProgram) * 2
	err := each(a.path, func(name string, r io.Reader) error {
		// Only names that are known are used, never a path that the archive gives.
		below, file := path.Split(strings.TrimPrefix(name, "./"))
		below = strings.TrimSuffix(below, "/")
		if below != p.String() || !wanted(file) {
			return nil
		}
		to := filepath.Join(dir, filepath.FromSlash(p.String()), file)
		if err := writeProgram(ctx, r, to, room); err != nil {
			return err
		}
		info, err := os.Stat(to)
		if err != nil {
			return err
		}
		room -= info.Size()
		return nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", a.path, err), os.RemoveAll(dir))
	}
	return f, nil
}

// wanted reports whether a file can belong to a plugin.
func wanted(file string) bool {
	if _, err := store.ParseFileName(strings.TrimSuffix(file, store.SumSuffix)); err == nil {
		return true
	}
	if _, err := parseZipName(file); err == nil {
		return true
	}
	rest, ok := strings.CutPrefix(file, store.Prefix)
	return ok && filepath.IsLocal(rest) && !strings.ContainsAny(rest, `/\:`) && (strings.HasSuffix(rest, "_manifest.json") || strings.Contains(rest, "_SHA256SUMS"))
}

func eachInZip(name string, use func(string, io.Reader) error) error {
	r, err := zip.OpenReader(name)
	if err != nil {
		return err
	}
	defer r.Close()
	if len(r.File) > maxMembers {
		return fmt.Errorf("it has %d files", len(r.File))
	}
	for _, f := range r.File {
		if !f.Mode().IsRegular() {
			continue
		}
		from, err := f.Open()
		if err != nil {
			return err
		}
		err = use(f.Name, from)
		if closeErr := from.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func eachInTar(name string, use func(string, io.Reader) error) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	plain, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	r := tar.NewReader(plain)
	for n := 0; ; n++ {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && n > maxMembers {
			err = fmt.Errorf("it has more than %d files", maxMembers)
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if err := use(h.Name, r); err != nil {
			return err
		}
	}
}
