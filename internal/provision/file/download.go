package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"ingot/internal/component"
	"ingot/internal/outfile"
	"ingot/internal/treecopy"
)

type download struct{ config }

// Inputs says that a download cannot be left out.
func (download) Inputs() component.Inputs {
	return component.Inputs{Volatile: "a download writes to this computer"}
}

// Creates implements component.Describer.
func (d download) Creates() []component.Creation {
	return []component.Creation{{Kind: "download", Name: d.Destination}}
}

// Apply downloads everything in order.
func (d download) Apply(ctx context.Context, t component.Target) error {
	taken := map[string]string{}
	for _, src := range d.sources() {
		items, err := d.expand(ctx, t, src)
		if err != nil {
			return err
		}
		for _, it := range items {
			if before, ok := taken[it.to]; ok && before != it.from {
				return fmt.Errorf("file: download: %s and %s would both be written to %s", before, it.from, it.to)
			}
			if !it.contents {
				taken[it.to] = it.from
			}
			if err := d.fetch(ctx, t, it); err != nil {
				return err
			}
		}
	}
	return nil
}

// item is one file or folder to download.
type item struct {
	from, to string
	folder   bool
	// contents: only what is in the folder is copied, so that others may
	// be copied to the same place.
	contents bool
}

// expand says what a source means: a pattern is all that it matches, a path
// with a slash at its end is what is in a folder, anything else is a file.
func (d download) expand(ctx context.Context, t component.Target, src string) ([]item, error) {
	switch {
	case strings.ContainsAny(src, "*?["):
		return d.matches(ctx, t, src)
	case strings.HasSuffix(src, "/"):
		return []item{{from: src, to: d.Destination, folder: true, contents: true}}, nil
	case endsWithSeparator(d.Destination):
		return []item{{from: src, to: filepath.Join(d.Destination, path.Base(src))}}, nil
	}
	return []item{{from: src, to: d.Destination}}, nil
}

// matches asks the machine's shell what a pattern matches.
func (d download) matches(ctx context.Context, t component.Target, pattern string) ([]item, error) {
	if t.Comm.Caps().Shell != component.POSIX {
		return nil, fmt.Errorf("file: download %s: patterns need a machine with a POSIX shell: %w", pattern, component.ErrUnsupported)
	}
	var out, complaints bytes.Buffer
	line := "for f in " + shellPattern(pattern) + "; do if [ -d \"$f\" ]; then printf 'd%s\\000' \"$f\"; elif [ -e \"$f\" ]; then printf 'f%s\\000' \"$f\"; fi; done"
	exit, err := t.Comm.Run(ctx, component.Command{Line: line, Stdout: &out, Stderr: &complaints})
	if err == nil && exit.Code != 0 {
		err = fmt.Errorf("%s: %s", exit, bytes.TrimSpace(complaints.Bytes()))
	}
	if err != nil {
		return nil, fmt.Errorf("file: download: list %s: %w", pattern, err)
	}
	var items []item
	for _, entry := range strings.Split(out.String(), "\x00") {
		if len(entry) < 2 {
			continue
		}
		from := entry[1:]
		base := path.Base(from)
		if !filepath.IsLocal(base) || base == "." {
			return nil, fmt.Errorf("file: download %s: the machine reports a file of the name %q", pattern, from)
		}
		items = append(items, item{from: from, to: filepath.Join(d.Destination, base), folder: entry[0] == 'd'})
	}
	if len(items) == 0 {
		return nil, fmt.Errorf("file: download: nothing on the machine matches %s", pattern)
	}
	return items, nil
}

// shellPattern quotes everything in a pattern but its own special characters
// and a ~ at its beginning.
func shellPattern(pattern string) string {
	var b strings.Builder
	inside := false
	for i := range len(pattern) {
		r := pattern[i]
		switch {
		case r == '[':
			inside = true
			b.WriteByte(r)
		case r == ']':
			inside = false
			b.WriteByte(r)
		case r == '*', r == '?', r == '/', r == '.', r == '-', r == '_', inside && (r == '!' || r == '^' || r == ':'),
			r == '~' && i == 0,
			r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r > 127:
			b.WriteByte(r)
		case r == '\n':
			b.WriteString("'\n'")
		default:
			b.WriteByte('\\')
			b.WriteByte(r)
		}
	}
	return b.String()
}

func (d download) fetch(ctx context.Context, t component.Target, it item) error {
	t.Say("Downloading " + it.from + " => " + it.to)
	p := newProgress(t.Run, it.from, -1)
	defer p.finish()
	var err error
	if it.folder {
		err = d.folder(ctx, t, it, p)
	} else {
		err = d.file(ctx, t, it, p)
	}
	if err != nil {
		return fmt.Errorf("file: download %s to %s: %w", it.from, it.to, err)
	}
	return nil
}

func (d download) file(ctx context.Context, t component.Target, it item, p *progress) (err error) {
	if info, err := os.Stat(it.to); err == nil && info.IsDir() {
		return errors.New("this is a folder; end destination with a slash to copy into it")
	}
	out, err := outfile.Create(ctx, t.Run, it.to, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Abort(ctx)) }()
	if err := t.Comm.Get(ctx, it.from, p.writer(out)); err != nil {
		return err
	}
	return out.Commit(ctx)
}

func (d download) folder(ctx context.Context, t component.Target, it item, p *progress) error {
	if err := os.MkdirAll(it.to, 0o755); err != nil {
		return err
	}
	from := it.from
	if len(from) > 1 {
		from = strings.TrimRight(from, "/")
	}
	if from == "" {
		from = "/"
	}
	return through(
		func(w io.Writer) error { return t.Comm.GetTree(ctx, from, p.writer(w)) },
		func(r io.Reader) error {
			return treecopy.Unpack(ctx, r, it.to, treecopy.UnpackOptions{Skipped: skipped(t.Run)})
		},
	)
}
