package winguest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/gotmpl"
)

// Scripts is what a user may say about what to run. It can be embedded in a
// configuration whose schema has ScriptAttributes.
type Scripts struct {
	Inline []string `cty:"inline"`
	Script string   `cty:"script"`
	Paths  []string `cty:"scripts"`
}

// ScriptAttributes describes Scripts for a schema.
func ScriptAttributes() []component.Attribute {
	script := component.String("script", "Path of a script to upload and run.")
	script.Format = component.Path
	scripts := component.Strings("scripts", "Paths of scripts to upload and run, one after the other.")
	scripts.Format = component.Path
	return []component.Attribute{
		component.Strings("inline", "Lines of a script to run on the machine."),
		script,
		scripts,
	}
}

// Check finds mistakes in s. Unknown values in cfg, from which s was decoded,
// are passed over.
func (s Scripts) Check(cfg cty.Value) diag.List {
	var set []string
	none := true
	for _, name := range []string{"inline", "script", "scripts"} {
		if component.HasValue(cfg, name) {
			set = append(set, name)
		}
		none = none && !given(cfg, name)
	}
	var out diag.List
	switch {
	case none && cfg.IsKnown():
		out = diag.Errorf("No script", "Set inline, script or scripts to what is to be run.")
	case len(set) > 1:
		out = diag.At(set[1], "More than one script source", "Only one of inline, script and scripts can be set; this has %s and %s.", set[0], set[1])
	}
	out = append(out, checkFile("script", s.Script)...)
	for _, p := range s.Paths {
		out = append(out, checkFile("scripts", p)...)
	}
	return out
}

func checkFile(attribute, path string) diag.List {
	if path == "" || gotmpl.HasAction(path) {
		return nil
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return diag.At(attribute, "Script not found", "There is no file %q.", path)
	case err != nil:
		return diag.At(attribute, "Script not readable", "%s.", err)
	case info.IsDir():
		return diag.At(attribute, "Script is a folder", "%q is a folder, not a script.", path)
	}
	return nil
}

// given reports whether an attribute holds anything, or may once it is known.
func given(cfg cty.Value, name string) bool {
	if !component.IsSet(cfg, name) {
		return false
	}
	v, _ := cfg.GetAttr(name).Unmark()
	return !v.IsKnown() || component.HasValue(cfg, name)
}

// Files are the paths of the scripts, empty for inline lines.
func (s Scripts) Files() []string {
	if s.Script != "" {
		return []string{s.Script}
	}
	return s.Paths
}

// Source is the content of a file for the machine. It can be read as often as
// needed, each time from its beginning.
type Source struct {
	local, text string
}

// FromFile is a local file, byte for byte.
func FromFile(path string) Source { return Source{local: path} }

// FromText is a text in UTF-8.
func FromText(text string) Source { return Source{text: text} }

// byteOrderMark tells PowerShell 5 that a file is UTF-8; it would read the
// code page of the machine otherwise.
const byteOrderMark = "\ufeff"

// FromPowerShell is a PowerShell script that Windows PowerShell and PowerShell
// 7 read alike.
func FromPowerShell(text string) Source {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return Source{text: byteOrderMark + text}
		}
	}
	return Source{text: text}
}

// open returns a reader and the number of bytes that it yields.
func (s Source) open() (io.ReadCloser, int64, error) {
	if s.local == "" {
		return io.NopCloser(strings.NewReader(s.text)), int64(len(s.text)), nil
	}
	f, err := os.Open(s.local)
	if err != nil {
		return nil, 0, fmt.Errorf("script: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close() // the error that counts is the one above
		return nil, 0, fmt.Errorf("script: %w", err)
	}
	return f, info.Size(), nil
}

// File is a file to put on the machine.
type File struct {
	Path   string
	Source Source
}
