package checksum

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"ingot/internal/component"
	"ingot/internal/outfile"
)

// line is one line of a checksum file: the sum, a tab, the file's base name.
type line struct{ sum, name string }

// update writes lines into the checksum file at path. What earlier runs have
// written there is replaced; what other builds of this run have written stays,
// except for lines about the same file with the same kind of checksum.
func update(ctx context.Context, r component.Run, path string, lines []line) (err error) {
	unlock, err := outfile.Lock(ctx, r, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	old, err := fromThisRun(path, r.Template.Start)
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, l := range append(without(old, lines), lines...) {
		text.WriteString(l.sum + "\t" + l.name + "\n")
	}
	return outfile.Write(ctx, r, path, []byte(text.String()), 0o666)
}

// fromThisRun reads the lines of a checksum file that was written since the
// run has started; an older file counts as empty.
func fromThisRun(path string, start time.Time) ([]line, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.ModTime().Before(start) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parse(string(data)), nil
}

// parse skips what is not a line of a checksum file.
func parse(text string) []line {
	var out []line
	for _, l := range strings.Split(text, "\n") {
		if sum, name, ok := strings.Cut(l, "\t"); ok {
			out = append(out, line{sum, name})
		}
	}
	return out
}

func without(old, replaced []line) []line {
	var out []line
	for _, o := range old {
		keep := true
		for _, n := range replaced {
			keep = keep && !(n.name == o.name && len(n.sum) == len(o.sum))
		}
		if keep {
			out = append(out, o)
		}
	}
	return out
}
