package template

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/json"

	"ingot/internal/diag"
)

// Options say how a template is loaded.
type Options struct {
	// CoreVersion is the version of Packer that the template may require.
	CoreVersion string
	// ConfigType is -config-type, "hcl2" or "json" (also when empty): what
	// standard input and a file with another extension hold.
	ConfigType string
	// Stdin is read for the path "-".
	Stdin io.Reader
	// WorkDir is what relative paths start from; empty is the process's
	// working directory.
	WorkDir string
}

// maxNesting bounds the depth of brackets in a file. The parser recurses, and
// no template comes near it.
const maxNesting = 5000

// Load reads the template at path: a folder, one .pkr.hcl or .pkr.json file, a
// legacy JSON template with any other name, or "-" for standard input. The Template is never nil and holds what could be
// read, with the source text for showing the findings.
func Load(path string, o Options) (*Template, diag.List) {
	t := &Template{Sources: map[string][]byte{}, workDir: o.WorkDir}
	files, diags := t.find(path, o)
	if diags.HasErrors() {
		return t, diags
	}
	if files[0].legacy {
		return t, append(diags, t.loadLegacy(files[0], o.CoreVersion)...).Sort()
	}
	var bodies []hcl.Body
	for _, f := range files {
		body, more := t.parse(f, "Cannot read the template")
		diags = append(diags, more...)
		if body != nil {
			bodies = append(bodies, body)
		}
	}
	if more := checkRequiredVersion(bodies, o.CoreVersion); more.HasErrors() {
		return t, append(diags, more...).Sort()
	}
	d := decoder{t: t, declared: map[string]hcl.Range{}}
	for _, b := range bodies {
		diags = append(diags, d.file(b)...)
	}
	return t, diags.Sort()
}

// file is one file to read. The name is what findings show.
type file struct {
	name string
	read func() ([]byte, error)
	// legacy says that it is taken for a legacy JSON template.
	legacy bool
}

// stdinName is what findings show for standard input.
const stdinName = "<stdin>"

func (t *Template) onDisk(name string) file {
	return file{name: name, read: func() ([]byte, error) { return os.ReadFile(t.Resolve(name)) }}
}

// Resolve turns a path that the user gave into one that can be opened.
func (t *Template) Resolve(path string) string {
	if t.workDir == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(t.workDir, path)
}

// find lists the template's files and sets Dir and AutoVarFiles.
func (t *Template) find(path string, o Options) ([]file, diag.List) {
	if path == "-" {
		t.Dir = "."
		return []file{{stdinName, func() ([]byte, error) {
			if o.Stdin == nil {
				return nil, errors.New("there is no standard input")
			}
			return io.ReadAll(o.Stdin)
		}, o.ConfigType != "hcl2"}}, nil
	}
	info, err := os.Stat(t.Resolve(path))
	if err != nil {
		return nil, unreadable("Cannot read the template", path, err)
	}
	if !info.IsDir() {
		t.Dir = filepath.Dir(path)
		f := t.onDisk(path)
		f.legacy = !hasSuffix(path, ".pkr.hcl", ".pkr.json") && o.ConfigType != "hcl2"
		return []file{f}, nil
	}
	t.Dir = path
	return t.findInFolder(path)
}

func (t *Template) findInFolder(path string) ([]file, diag.List) {
	entries, err := os.ReadDir(t.Resolve(path))
	if err != nil {
		return nil, unreadable("Cannot read the template", path, err)
	}
	var files []file
	var autoHCL, autoJSON []string
	for _, e := range entries {
		name := filepath.Join(path, e.Name())
		switch {
		case e.IsDir() || strings.HasPrefix(e.Name(), "."):
		case hasSuffix(e.Name(), ".pkr.hcl", ".pkr.json"):
			files = append(files, t.onDisk(name))
		case hasSuffix(e.Name(), ".auto.pkrvars.hcl"):
			autoHCL = append(autoHCL, name)
		case hasSuffix(e.Name(), ".auto.pkrvars.json"):
			autoJSON = append(autoJSON, name)
		}
	}
	sort.Strings(autoHCL)
	sort.Strings(autoJSON)
	t.AutoVarFiles = append(autoHCL, autoJSON...)
	if len(files) == 0 {
		return nil, diag.Errorf("No template in the folder",
			"The folder %s holds no file whose name ends with .pkr.hcl or .pkr.json. Give the folder or the file of the template.", path)
	}
	return files, nil
}

// parse reads one file into a body, nil when nothing of it can be used.
// Summary heads the finding when the file cannot be read.
func (t *Template) parse(f file, summary string) (hcl.Body, diag.List) {
	name := f.name
	src, err := f.read()
	if err != nil {
		return nil, unreadable(summary, name, err)
	}
	t.Sources[name] = src
	if d := CheckText(name, src); d != nil {
		return nil, d
	}
	var parsed *hcl.File
	var hclDiags hcl.Diagnostics
	if strings.HasSuffix(name, ".json") {
		parsed, hclDiags = json.Parse(src, name)
	} else {
		parsed, hclDiags = hclsyntax.ParseConfig(src, name, hcl.InitialPos)
	}
	diags := diag.FromHCL(hclDiags)
	if diags.HasErrors() && hasSuffix(name, ".pkr.hcl") && bytes.HasPrefix(bytes.TrimSpace(src), []byte("{")) {
		diags[0].Detail += " This looks like JSON. Give the file a name that ends with .pkr.json, or with .json when it is a legacy template with \"builders\"."
	}
	if parsed == nil {
		return nil, diags
	}
	return parsed.Body, diags
}

// CheckText refuses a text that is not UTF-8, and one whose nesting could exhaust
// the stack: of brackets, or of unary operators. HCL's scanner takes some bytes that
// are no character for a part of a name, which then swallows what follows them.
func CheckText(name string, src []byte) diag.List {
	if i := invalidUTF8(src); i >= 0 {
		rng := lineAt(name, src, i)
		rng.Start.Column += utf8.RuneCount(src[rng.Start.Byte:i])
		rng.Start.Byte = i
		rng.End = rng.Start
		return diag.In(rng, "Not UTF-8",
			"The byte 0x%02x here is no character of UTF-8, the encoding of templates. Save the file as UTF-8.", src[i])
	}
	return checkNesting(name, src)
}

// invalidUTF8 returns the offset of the first byte that is no part of a character,
// or -1.
func invalidUTF8(src []byte) int {
	if utf8.Valid(src) {
		return -1
	}
	i := 0
	for i < len(src) {
		r, size := utf8.DecodeRune(src[i:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		i += size
	}
	return i
}

// lineAt is the start of the line that an offset is on.
func lineAt(name string, src []byte, offset int) hcl.Range {
	pos := hcl.Pos{Line: 1 + bytes.Count(src[:offset], []byte("\n")), Column: 1, Byte: bytes.LastIndexByte(src[:offset], '\n') + 1}
	return hcl.Range{Filename: name, Start: pos, End: pos}
}

func checkNesting(name string, src []byte) diag.List {
	depth, run := 0, 0
	for i, c := range src {
		switch c {
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth--
		}
		switch c {
		case '!':
			run++
		case ' ', '\t':
		default:
			run = 0
		}
		if depth <= maxNesting && run <= maxNesting {
			continue
		}
		return diag.In(lineAt(name, src, i), "Nested too deeply",
			"The brackets of this file are nested more than %d deep. Is it a template?", maxNesting)
	}
	return nil
}

func unreadable(summary, path string, err error) diag.List {
	var why *fs.PathError
	if errors.As(err, &why) {
		err = why.Err
	}
	return diag.Errorf(summary, "%s: %s. Check the path and its permissions.", path, err)
}

func hasSuffix(name string, suffixes ...string) bool {
	for _, s := range suffixes {
		if strings.HasSuffix(name, s) {
			return true
		}
	}
	return false
}
