package install

import (
	"archive/zip"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
)

const (
	// maxProgram is the largest program that is unpacked.
	maxProgram = 2 << 30
	// maxMembers is how many files an archive may have.
	maxMembers = 100_000
)

// unpack writes the program that an archive holds under a name to a file. There
// has to be exactly one of that name; what else there is, is left alone.
func unpack(ctx context.Context, archive, member, to string) error {
	r, err := zip.OpenReader(archive)
	if err != nil {
		return fmt.Errorf("open the archive: %w", err)
	}
	defer r.Close()
	f, err := choose(&r.Reader, member)
	if err != nil {
		return err
	}
	from, err := f.Open()
	if err != nil {
		return fmt.Errorf("unpack %s: %w", member, err)
	}
	defer from.Close()
	if err := writeProgram(ctx, from, to, maxProgram); err != nil {
		return fmt.Errorf("unpack %s: %w", member, err)
	}
	return nil
}

// choose finds the one regular file of a name.
func choose(r *zip.Reader, member string) (*zip.File, error) {
	if len(r.File) > maxMembers {
		return nil, fmt.Errorf("the archive has %d files, which no plugin's has", len(r.File))
	}
	var found *zip.File
	for _, f := range r.File {
		switch {
		case f.Name != member:
		case found != nil:
			return nil, fmt.Errorf("the archive has two files %s", member)
		default:
			found = f
		}
	}
	switch {
	case found == nil:
		return nil, fmt.Errorf("the archive does not have the file %s; it has %s", member, contents(r))
	case !found.Mode().IsRegular():
		return nil, fmt.Errorf("%s in the archive is no regular file", member)
	case found.UncompressedSize64 > maxProgram:
		return nil, fmt.Errorf("%s in the archive has %d bytes, more than the %d that a plugin may have", member, found.UncompressedSize64, int64(maxProgram))
	}
	return found, nil
}

func contents(r *zip.Reader) string {
	const shown = 5
	var names []string
	for _, f := range r.File[:min(len(r.File), shown)] {
		names = append(names, fmt.Sprintf("%q", f.Name))
	}
	if len(r.File) > shown {
		names = append(names, "...")
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// writeProgram writes an executable file of at most limit bytes. The file must not
// exist.
func writeProgram(ctx context.Context, from io.Reader, to string, limit int64) error {
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, io.LimitReader(stoppable{ctx, from}, limit+1))
	if err == nil && n > limit {
		err = fmt.Errorf("it is larger than %d bytes", limit)
	}
	if err == nil {
		err = out.Sync()
	}
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	return err
}

// stoppable is a reader that ends with its context.
type stoppable struct {
	ctx context.Context
	io.Reader
}

func (s stoppable) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	return s.Reader.Read(p)
}
