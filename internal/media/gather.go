package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/diag"
)

// entry is a file or a folder of an image.
type entry struct {
	name string
	// folder is what a folder holds; nil for files.
	folder *folder
	// path is the local file whose bytes it has, unless content is set.
	path    string
	content *string
	size    int64
	// executable says that the file may be run.
	executable bool
	// from says where the entry comes from, for messages.
	from string
}

// folder holds entries by name.
type folder struct {
	name    string
	entries map[string]*entry // by name, folded where the medium folds case
}

func newFolder(name string) *folder { return &folder{name, map[string]*entry{}} }

// sorted returns the entries in the order of their names.
func (f *folder) sorted() []*entry {
	return slices.SortedFunc(maps.Values(f.entries), func(a, b *entry) int { return strings.Compare(a.name, b.name) })
}

// copyTo writes the file's bytes, exactly as many as were planned.
func (e *entry) copyTo(ctx context.Context, w io.Writer) error {
	if e.content != nil {
		_, err := io.WriteString(w, *e.content)
		return err
	}
	f, err := os.Open(e.path)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := io.Copy(w, io.LimitReader(stoppable{ctx, f}, e.size+1))
	switch {
	case err != nil:
		return err
	case n != e.size:
		return fmt.Errorf("read %s: its size changed meanwhile: it had %d bytes", e.path, e.size)
	}
	return nil
}

// stoppable is a reader that fails once ctx has ended.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s stoppable) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	return s.r.Read(p)
}

// source is one element of a list attribute.
type source struct {
	attribute string
	index     int
	text      string
}

func (s source) at() cty.Path { return cty.GetAttrPath(s.attribute).IndexInt(s.index) }

// gatherer collects what goes on a medium.
type gatherer struct {
	root     *folder
	foldCase bool
	diags    diag.List
	current  source
	place    cty.Path
}

func (g *gatherer) report(severity diag.Severity, summary, detail string, args ...any) {
	g.diags = append(g.diags, &diag.Diagnostic{Severity: severity, Summary: summary, Detail: fmt.Sprintf(detail, args...), Path: g.place})
}

// add calls put for every path that the source's pattern stands for.
func (g *gatherer) add(s source, put func(path string) error) {
	g.current, g.place = s, s.at()
	paths, ok := g.expand(s)
	if !ok {
		return
	}
	for _, p := range paths {
		if err := put(p); err != nil {
			g.report(diag.Error, "File cannot be used", "%s: %s.", s.attribute, err)
		}
	}
}

// expand returns the files that a path or pattern stands for. A path that is
// there is taken as it is, whatever characters are in it.
func (g *gatherer) expand(s source) ([]string, bool) {
	if s.text == "" {
		g.report(diag.Error, "Empty path", "%s has an empty path. Name a file, or leave the element out.", s.attribute)
		return nil, false
	}
	_, err := os.Stat(s.text)
	if err == nil {
		return []string{s.text}, true
	}
	if !strings.ContainsAny(s.text, "*?[") {
		g.report(diag.Error, "File not found", "%s: %s. Paths are relative to the folder in which the program is started.", s.attribute, err)
		return nil, false
	}
	found, err := filepath.Glob(s.text)
	if err != nil {
		g.report(diag.Error, "Invalid pattern", "%s: %q is not a valid pattern: %s.", s.attribute, s.text, err)
		return nil, false
	}
	if len(found) == 0 {
		g.report(diag.Warning, "Pattern matches nothing", "%s: no file matches %q, so it puts nothing on the medium.", s.attribute, s.text)
	}
	return found, true
}

// tree puts a file or a folder with all that is in it below into.
func (g *gatherer) tree(p string, into *folder) error { return g.walk(p, baseName(p), into, into, nil) }

// members puts what is in a folder, or a file, below into.
func (g *gatherer) members(p string, into *folder) error {
	info, err := os.Stat(p)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return g.tree(p, into)
	}
	return g.walkMembers(p, into, into, []fs.FileInfo{info})
}

// flat puts a file, or all files below a folder, directly into the folder.
func (g *gatherer) flat(p string, into *folder) error { return g.walk(p, baseName(p), into, nil, nil) }

// walk puts the file or folder p into a folder. When nested is nil, folders are
// dissolved. above are the folders on the way.
func (g *gatherer) walk(p, name string, into, nested *folder, above []fs.FileInfo) error {
	info, err := os.Stat(p)
	if err != nil {
		return err
	}
	switch {
	case info.IsDir():
		for _, a := range above {
			if os.SameFile(a, info) {
				return fmt.Errorf("%s: the symbolic link leads back to a folder that it is in", p)
			}
		}
		below := append(above[:len(above):len(above)], info)
		if nested == nil {
			return g.walkMembers(p, into, nil, below)
		}
		dir, err := g.subfolder(into, name, p)
		if err != nil {
			return err
		}
		return g.walkMembers(p, dir, dir, below)
	case info.Mode().IsRegular():
		return g.put(into, &entry{name: name, path: p, size: info.Size(), executable: info.Mode()&0o100 != 0, from: p})
	}
	return fmt.Errorf("%s: it is neither a file nor a folder", p)
}

func (g *gatherer) walkMembers(dir string, into, nested *folder, above []fs.FileInfo) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, m := range list {
		if err := g.walk(filepath.Join(dir, m.Name()), m.Name(), into, nested, above); err != nil {
			return err
		}
	}
	return nil
}

// contents adds the texts of a map attribute.
func (g *gatherer) contents(attribute string, texts map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(texts)) {
		text := texts[key]
		g.current, g.place = source{attribute: attribute}, cty.GetAttrPath(attribute).IndexString(key)
		parts, err := splitPath(key)
		if err != nil {
			g.report(diag.Error, "Invalid path", "%s: %q: %s.", attribute, key, err)
			continue
		}
		dir := g.root
		for _, p := range parts[:len(parts)-1] {
			if dir, err = g.subfolder(dir, p, attribute); err != nil {
				break
			}
		}
		if err == nil {
			err = g.put(dir, &entry{name: parts[len(parts)-1], content: &text, size: int64(len(text)), from: attribute})
		}
		if err != nil {
			g.report(diag.Error, "Invalid path", "%s: %q: %s.", attribute, key, err)
		}
	}
}

// splitPath takes a path on the medium apart.
func splitPath(p string) ([]string, error) {
	p = strings.TrimLeft(strings.ReplaceAll(p, `\`, "/"), "/")
	if p == "" || strings.HasSuffix(p, "/") {
		return nil, errors.New("it has no file name")
	}
	if slices.Contains(strings.Split(p, "/"), "..") {
		return nil, errors.New("it must not lead upward with \"..\"")
	}
	p = path.Clean(p)
	if p == "." {
		return nil, errors.New("it has no file name")
	}
	return strings.Split(p, "/"), nil
}

func (g *gatherer) key(name string) string {
	if g.foldCase {
		return strings.ToUpper(name)
	}
	return name
}

// subfolder returns the folder of that name, which it makes when it is missing.
func (g *gatherer) subfolder(in *folder, name, from string) (*folder, error) {
	old := in.entries[g.key(name)]
	switch {
	case old == nil:
		dir := newFolder(name)
		in.entries[g.key(name)] = &entry{name: name, folder: dir, from: from}
		return dir, nil
	case old.folder == nil:
		return nil, fmt.Errorf("%s is a folder, but the file %s goes to the same place", name, old.from)
	}
	return old.folder, nil
}

// put adds a file; one that was there is replaced, with a warning.
func (g *gatherer) put(in *folder, e *entry) error {
	old := in.entries[g.key(e.name)]
	if old != nil && old.folder != nil {
		return fmt.Errorf("%s is a file, but the folder %s goes to the same place", e.name, old.from)
	}
	if old != nil && old.from != e.from {
		g.report(diag.Warning, "File is replaced", "%s: %s takes the place of %s, since both are called %s on the medium.", g.current.attribute, e.from, old.from, e.name)
	}
	in.entries[g.key(e.name)] = e
	return nil
}

// baseName is the last element of a path, also of "." and "dir/..".
func baseName(p string) string {
	if abs, err := filepath.Abs(p); err == nil {
		p = abs
	}
	return filepath.Base(p)
}
