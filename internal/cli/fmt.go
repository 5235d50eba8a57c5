package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"unicode"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"ingot/internal/diag"
	"ingot/internal/hclformat"
	"ingot/internal/ui"
)

// exitUnformatted is what fmt -check ends with when a file would change.
const exitUnformatted = 3

const stdinName = "<stdin>"

type fmtFlags struct {
	templateFlags
	check, diff, recursive, write bool
}

func (a *app) fmtCommand() *cobra.Command {
	var f fmtFlags
	c := &cobra.Command{
		Use:   "fmt [flags] PATH...",
		Short: "Lay out HCL files in the usual style",
		Long: `Lays out *.pkr.hcl and *.pkrvars.hcl files: indentation, spaces, and the
alignment of neighbouring lines. Nothing but spaces changes. PATH is a file, a
folder, or - for standard input, whose layout is printed.

Prints the names of the files that change. JSON is not laid out.`,
		Example: `  ingot fmt .
  ingot fmt -recursive -check .      exits with 3 when a file is not laid out
  ingot fmt -diff -write=false image.pkr.hcl
  ingot fmt - < image.pkr.hcl`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("the path is missing: give a file, a folder, or - for standard input"), cmd}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.fmt(cmd.Context(), f, args) },
	}
	fl := c.Flags()
	fl.BoolVar(&f.check, "check", false, "write nothing, and exit with 3 when a file would change")
	fl.BoolVar(&f.diff, "diff", false, "print what changes as a unified diff")
	fl.BoolVar(&f.recursive, "recursive", false, "also the folders below")
	fl.BoolVar(&f.write, "write", true, "write the changes to the files")
	f.registerForScripts(c)
	fl.Lookup("config-type").Hidden = true
	return c
}

// layout is a file and what it becomes.
type layout struct {
	// path is how the file is named to the user.
	path string
	// before and after are the texts; after is nil when the text has errors.
	before, after []byte
	diags         diag.List
	err           error
}

func (l *layout) changes() bool { return l.after != nil && !bytes.Equal(l.before, l.after) }

func (a *app) fmt(ctx context.Context, f fmtFlags, paths []string) error {
	// The process is short and makes much garbage; collecting it as eagerly
	// as usual doubles the time that a large tree takes.
	debug.SetGCPercent(800)
	debug.SetMemoryLimit(1 << 30)
	screen, err := a.openScreen(buildFlags{})
	if err != nil {
		return err
	}
	defer screen.close()
	diags := f.withoutEffectOnText()
	if f.configType != "" {
		diags = append(diags, diag.Warnf("-config-type has no effect", "Only HCL is laid out.")...)
	}
	screen.diagnostics(diags, nil)

	if !slices.Contains(paths, "-") {
		// Ctrl-C ends the work between two files, so that no half-written
		// one is left beside its place. A read from the terminal ends as ever.
		var stop context.CancelFunc
		ctx, stop = signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
		defer stop()
	}
	files, failures := filesToFormat(paths, f.recursive)
	out := formatReport{
		app: a, screen: screen, flags: f,
		color: ui.UseColor(ui.ColorAuto, isTerminal(a.streams.Out), a.getenv),
	}
	for _, err := range failures {
		out.fail(err)
	}
	return out.all(ctx, a.layouts(ctx, files))
}

// layouts formats files, several at a time. Each is sent in the order of the
// files.
func (a *app) layouts(ctx context.Context, files []string) <-chan *layout {
	order := make(chan chan *layout, 4*runtime.GOMAXPROCS(0))
	go func() {
		defer close(order)
		var g errgroup.Group
		g.SetLimit(runtime.GOMAXPROCS(0))
		for _, path := range files {
			one := make(chan *layout, 1)
			order <- one
			g.Go(func() error {
				one <- a.layout(ctx, path)
				return nil
			})
		}
		_ = g.Wait() // every error is in a layout
	}()
	out := make(chan *layout)
	go func() {
		defer close(out)
		for one := range order {
			out <- <-one
		}
	}()
	return out
}

func (a *app) layout(ctx context.Context, path string) *layout {
	l := &layout{path: path}
	if l.err = context.Cause(ctx); l.err != nil {
		return l
	}
	if path == "-" {
		l.path = stdinName
		l.before, l.err = io.ReadAll(a.streams.In)
	} else {
		l.before, l.err = os.ReadFile(path)
	}
	if l.err == nil {
		l.after, l.diags = hclformat.Format(l.path, l.before)
	}
	return l
}

// formatReport prints and writes what fmt did.
type formatReport struct {
	app    *app
	screen *screen
	flags  fmtFlags
	color  bool

	failed, changed bool
}

// all reports every layout and returns how the command ends.
func (r *formatReport) all(ctx context.Context, layouts <-chan *layout) error {
	var broken error
	for l := range layouts {
		if broken == nil {
			broken = context.Cause(ctx)
		}
		// When nobody reads the output any more, or after an interrupt, the
		// rest is only taken from the channel.
		if broken == nil {
			broken = r.one(l)
		}
	}
	switch {
	case broken != nil:
		return broken
	case r.failed:
		return exitError{exitFailure}
	case r.changed && r.flags.check:
		return exitError{exitUnformatted}
	}
	return nil
}

func (r *formatReport) fail(err error) {
	r.failed = true
	fmt.Fprintf(r.app.streams.Err, "Error: %v\n", err)
}

// one reports a file. It fails when the output cannot be written.
func (r *formatReport) one(l *layout) error {
	switch {
	case l.err != nil:
		r.fail(fmt.Errorf("fmt %s: %w", l.path, reason(l.err)))
		return nil
	case l.diags.HasErrors():
		r.failed = true
		r.screen.diagnostics(l.diags, map[string][]byte{l.path: l.before})
		return nil
	}
	fromStdin := l.path == stdinName
	if fromStdin && !r.flags.check && !r.flags.diff {
		_, err := r.app.streams.Out.Write(l.after)
		return err
	}
	if !l.changes() {
		return nil
	}
	r.changed = true
	if r.flags.write && !r.flags.check && !fromStdin {
		if err := replaceUnchanged(l.path, l.before, l.after); err != nil {
			r.fail(err)
			return nil
		}
	}
	if _, err := fmt.Fprintln(r.app.streams.Out, l.path); err != nil {
		return err
	}
	if !r.flags.diff {
		return nil
	}
	_, err := r.app.streams.Out.Write(unified(l, r.color))
	return err
}

// replaceUnchanged writes a file that still holds what was read.
func replaceUnchanged(path string, before, after []byte) error {
	now, err := os.ReadFile(path)
	if err == nil && !bytes.Equal(now, before) {
		err = errors.New("something else has changed it meanwhile: run fmt again")
	}
	if err == nil {
		// The right to replace it comes from the folder, but a file that is
		// read-only is meant to stay as it is.
		var old *os.File
		if old, err = os.OpenFile(path, os.O_WRONLY, 0); err == nil {
			err = old.Close()
		}
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, reason(err))
	}
	return replaceFile(path, after)
}

// unified is the difference that a layout makes.
func unified(l *layout, color bool) []byte {
	name := filepath.ToSlash(l.path)
	text := diff.Diff("old/"+name, l.before, "new/"+name, l.after)
	if _, rest, ok := bytes.Cut(text, []byte("\n")); ok {
		text = rest // a line "diff old new" that patch does not need
	}
	if !color {
		return text
	}
	var out bytes.Buffer
	for _, line := range strings.SplitAfter(string(text), "\n") {
		if body, end := strings.TrimSuffix(line, "\n"), "\n"; body != line || line != "" {
			out.WriteString(paintDiff(body) + end)
		}
	}
	return out.Bytes()
}

// paintDiff colours a line of a unified diff for a terminal, and takes out
// what would do more there than be shown.
func paintDiff(line string) string {
	line = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\t' {
			return -1
		}
		return r
	}, line)
	code := ""
	switch {
	case strings.HasPrefix(line, "+++"), strings.HasPrefix(line, "---"):
		code = "1"
	case strings.HasPrefix(line, "@@"):
		code = "36"
	case strings.HasPrefix(line, "+"):
		code = "32"
	case strings.HasPrefix(line, "-"):
		code = "31"
	default:
		return line
	}
	return "\x1b[" + code + "m" + line + "\x1b[0m"
}

// reason is an error about a path without the path, which is named already.
func reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// filesToFormat lists the files that the paths stand for, once each, in order.
// The errors are about paths that stand for none.
func filesToFormat(paths []string, recursive bool) (files []string, failures []error) {
	seen := map[string]bool{}
	add := func(path string) {
		if key := filepath.Clean(path); !seen[key] {
			seen[key] = true
			files = append(files, path)
		}
	}
	for _, path := range paths {
		if path == "-" {
			add(path)
			continue
		}
		info, err := os.Stat(path)
		switch {
		case err != nil:
			failures = append(failures, fmt.Errorf("fmt %s: %w", path, reason(err)))
		case info.IsDir():
			failures = append(failures, folderFiles(path, recursive, add)...)
		case !info.Mode().IsRegular():
			failures = append(failures, fmt.Errorf("fmt %s: it is not a regular file", path))
		case !formattable(path):
			failures = append(failures, fmt.Errorf("fmt %s: %s", path, notFormattable(path)))
		default:
			add(path)
		}
	}
	return files, failures
}

// folderFiles adds the files of a folder. Hidden ones and the backups of
// editors are left out; so are hidden folders.
func folderFiles(folder string, recursive bool, add func(string)) []error {
	var failures []error
	walked := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			failures = append(failures, fmt.Errorf("fmt %s: %w", path, reason(err)))
			if entry != nil && entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.IsDir():
			if path != folder && (!recursive || strings.HasPrefix(entry.Name(), ".")) {
				return fs.SkipDir
			}
			return nil
		case ignored(entry.Name()) || !formattable(path):
			return nil
		}
		// A symbolic link counts as what it leads to.
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			add(path)
		}
		return nil
	})
	if walked != nil {
		failures = append(failures, walked)
	}
	return failures
}

func ignored(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") ||
		strings.HasPrefix(name, "#") && strings.HasSuffix(name, "#")
}

func formattable(path string) bool {
	return strings.HasSuffix(path, ".pkr.hcl") || strings.HasSuffix(path, ".pkrvars.hcl")
}

// notFormattable says why a file that was named is refused.
func notFormattable(path string) string {
	if filepath.Ext(path) == ".json" {
		return "JSON is not formatted, only HCL: files whose names end with .pkr.hcl or .pkrvars.hcl"
	}
	if filepath.Ext(path) == ".hcl" {
		return "only files whose names end with .pkr.hcl or .pkrvars.hcl are formatted; others are formatted as standard input (ingot fmt - < FILE)"
	}
	return "only files whose names end with .pkr.hcl or .pkrvars.hcl are formatted"
}
