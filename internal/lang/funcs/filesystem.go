package funcs

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

func filesystemFuncs(env Env) map[string]function.Function {
	return map[string]function.Function{
		"abspath": stringFunc("Makes a path absolute, relative to the current directory, with forward slashes.",
			func(args ...string) (string, error) { return env.absPath(args[0]) },
			text("path", "The path; it need not exist.")),
		"basename": stringFunc("Returns the last element of a path.",
			func(args ...string) (string, error) { return filepath.Base(args[0]), nil },
			text("path", "The path.")),
		"dirname": stringFunc("Returns all but the last element of a path.",
			func(args ...string) (string, error) { return filepath.Dir(args[0]), nil },
			text("path", "The path.")),
		"file": stringFunc("Reads a file, which must be UTF-8 text.",
			func(args ...string) (string, error) { return env.readText(args[0]) },
			text("path", `The path, relative to the directory of the template; a leading "~" is the home directory.`)),
		"filebase64": stringFunc("Reads a file of any content as Base64.",
			func(args ...string) (string, error) { return env.readBase64(args[0]) },
			text("path", `The path, relative to the directory of the template, or to the current directory if there is no such file; a leading "~" is the home directory.`)),
		"fileexists": newFunc("Tells whether a file exists; a directory at that path is an error.", cty.Bool,
			func(args []cty.Value) (cty.Value, error) { return env.fileExists(args[0].AsString()) },
			text("path", `The path, relative to the directory of the template; a leading "~" is the home directory.`)),
		"fileset": newFunc("Returns the set of regular files under a directory whose paths match a pattern, relative to that directory and with forward slashes.",
			cty.Set(cty.String),
			func(args []cty.Value) (cty.Value, error) {
				return env.fileSet(args[0].AsString(), args[1].AsString())
			},
			text("path", "The directory, relative to the directory of the template; one that does not exist holds no files."),
			text("pattern", "The pattern, with *, **, ?, {a,b} and [class].")),
		"pathexpand": stringFunc(`Replaces a leading "~" by the home directory of the user.`,
			func(args ...string) (string, error) { return env.expandHome(args[0]) },
			text("path", "The path.")),
	}
}

// expandHome replaces a leading "~". The home of somebody else cannot be found on every system, so it is an error.
func (e Env) expandHome(p string) (string, error) {
	if !strings.HasPrefix(p, "~") {
		return p, nil
	}
	if len(p) > 1 && p[1] != '/' && !os.IsPathSeparator(p[1]) {
		return "", function.NewArgErrorf(0, `cannot expand %q: "~" stands for one's own home directory only`, p)
	}
	home, err := e.Home()
	if err != nil {
		return "", function.NewArgErrorf(0, "cannot expand %q: %w", p, err)
	}
	return filepath.Join(home, p[1:]), nil
}

// fromTemplate is the path as seen from the directory of the template, "~" expanded.
func (e Env) fromTemplate(p string) (string, error) {
	expanded, err := e.expandHome(p)
	if err != nil {
		return "", err
	}
	return under(e.TemplateDir, expanded), nil
}

// under is a path as seen from dir.
func under(dir, p string) string {
	if filepath.IsAbs(p) {
		return filepath.Clean(p)
	}
	return filepath.Join(dir, p)
}

func (e Env) absPath(p string) (string, error) {
	abs, err := filepath.Abs(under(e.WorkDir, p))
	if err != nil {
		return "", function.NewArgErrorf(0, "cannot make %q absolute: %w", p, err)
	}
	return filepath.ToSlash(abs), nil
}

func (e Env) readText(p string) (string, error) {
	full, err := e.fromTemplate(p)
	if err != nil {
		return "", err
	}
	content, err := os.ReadFile(full)
	if err != nil {
		return "", function.NewArgErrorf(0, "cannot read %q: %w", p, err)
	}
	if !utf8.Valid(content) {
		return "", function.NewArgErrorf(0, "cannot use %q: %w; filebase64 reads any content", p, errNotUTF8)
	}
	return string(content), nil
}

// readBase64 looks where readText does. Templates were written for a filebase64 that looked from the working directory
// and took "~" literally: where the file is only there, it is read from there, and where it is in both places and not the
// same, the template has to say which one it means.
func (e Env) readBase64(p string) (string, error) {
	full, err := e.fromTemplate(p)
	if err != nil {
		return "", err
	}
	content, err := os.ReadFile(full)
	if other := under(e.WorkDir, p); !filepath.IsAbs(p) && other != full {
		there, otherErr := os.ReadFile(other)
		switch {
		case otherErr != nil:
		case err != nil:
			content, err = there, nil
		case !bytes.Equal(content, there):
			return "", function.NewArgErrorf(0, "%q is another file in the directory of the template than in the current directory; "+
				`write abspath(%q) for the one in the current directory, and "${abspath(path.root)}/%s" for the other`, p, p, filepath.ToSlash(p))
		}
	}
	if err != nil {
		return "", function.NewArgErrorf(0, "cannot read %q: %w", p, err)
	}
	return base64.StdEncoding.EncodeToString(content), nil
}

func (e Env) fileExists(p string) (cty.Value, error) {
	full, err := e.fromTemplate(p)
	if err != nil {
		return cty.NilVal, err
	}
	info, err := os.Stat(full)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return cty.False, nil
	case err != nil:
		return cty.NilVal, function.NewArgErrorf(0, "cannot look at %q: %w", p, err)
	case info.Mode().IsRegular():
		return cty.True, nil
	default:
		return cty.NilVal, function.NewArgErrorf(0, "%q is not a regular file but %s", p, kindOf(info.Mode()))
	}
}

func kindOf(mode fs.FileMode) string {
	if mode.IsDir() {
		return "a directory"
	}
	return fmt.Sprintf("a special one (mode %s)", mode)
}

func (e Env) fileSet(dir, pattern string) (cty.Value, error) {
	full, err := e.fromTemplate(dir)
	if err != nil {
		return cty.NilVal, err
	}
	if !doublestar.ValidatePattern(pattern) {
		return cty.NilVal, function.NewArgErrorf(1, "%q is not a valid pattern", pattern)
	}
	names, err := globFiles(full, path.Clean(strings.TrimLeft(filepath.ToSlash(pattern), "/")))
	if err != nil {
		return cty.NilVal, fmt.Errorf("cannot list the files of %q that match %q: %w", dir, pattern, err)
	}
	if len(names) == 0 {
		return cty.SetValEmpty(cty.String), nil
	}
	set := make([]cty.Value, len(names))
	for i, name := range names {
		set[i] = cty.StringVal(name)
	}
	return cty.SetVal(set), nil
}

// globFiles lists the regular files below dir that match a clean pattern. A pattern may begin with "../", which a file
// system rooted at dir cannot follow: the root moves up instead.
func globFiles(dir, pattern string) ([]string, error) {
	up := ""
	for strings.HasPrefix(pattern, "../") {
		dir += string(filepath.Separator) + ".."
		up += "../"
		pattern = pattern[len("../"):]
	}
	root := os.DirFS(dir)
	matches, err := doublestar.Glob(root, pattern, doublestar.WithFailOnIOErrors())
	if err != nil {
		return nil, err
	}
	var names []string
	for _, match := range matches {
		info, err := fs.Stat(root, match)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a dangling link, or a file removed just now
		}
		if err != nil {
			return nil, err
		}
		if info.Mode().IsRegular() {
			names = append(names, up+match)
		}
	}
	return names, nil
}
