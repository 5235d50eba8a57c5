// Package lock reads and writes lock files of plugins: which version a template's
// plugins have, where they came from, and the digests of what they consist of.
package lock

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/go-version"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/addr"
	"ingot/internal/diag"
	"ingot/internal/plugin/store"
	"ingot/internal/template"
)

// Name is that of the lock file in the folder of a template.
const Name = "ingot.lock.hcl"

// maxSize is more than any lock file has.
const maxSize = 8 << 20

// File is a lock file.
type File struct {
	// Path is where it is or will be.
	Path string
	// Text is what was read; nil when there is no file.
	Text []byte
	// Plugins are what is locked, sorted by address.
	Plugins []*Plugin
}

// Plugin is what is locked of one plugin.
type Plugin struct {
	Address addr.Plugin
	Version *version.Version
	// Constraints is what the template asked for when it was locked; empty when
	// nothing in particular.
	Constraints string
	// Origin is where it came from.
	Origin string
	// Archives and Programs are the digests of the archives of the release and
	// of the programs in them, in hexadecimal.
	Archives, Programs map[store.Platform]string
	// Range is the block; only after Read.
	Range hcl.Range
}

// Read reads the lock file at a path. One that is not there locks nothing.
func Read(path string) (*File, diag.List) {
	f := &File{Path: path}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err == nil && info.Size() > maxSize {
		err = fmt.Errorf("it is larger than %d bytes", maxSize)
	}
	if err == nil {
		f.Text, err = os.ReadFile(path)
	}
	if err != nil {
		return f, diag.Errorf("Cannot read the lock file", "%s: %s.", path, err)
	}
	diags := f.parse()
	return f, diags
}

var (
	fileSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "plugin", LabelNames: []string{"source address"}}}}
	// Lock files of later versions may have more; they are refused, since what is
	// locked would not be held.
	pluginSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{
		{Name: "version", Required: true}, {Name: "constraints"}, {Name: "origin"}, {Name: "archives"}, {Name: "programs"},
	}}
)

func (f *File) parse() diag.List {
	if wrong := template.CheckText(f.Path, f.Text); wrong != nil {
		return wrong
	}
	file, hclDiags := hclsyntax.ParseConfig(f.Text, f.Path, hcl.InitialPos)
	if hclDiags.HasErrors() {
		return diag.FromHCL(hclDiags)
	}
	content, hclDiags := file.Body.Content(fileSchema)
	diags := diag.FromHCL(hclDiags)
	for _, b := range content.Blocks {
		p, more := parsePlugin(b)
		diags = append(diags, more...)
		switch {
		case p == nil:
		case f.Plugin(p.Address) != nil:
			diags = append(diags, diag.In(b.DefRange, "Plugin is locked twice", "There is another block for %s. Remove one of them.", p.Address)...)
		default:
			f.Plugins = append(f.Plugins, p)
		}
	}
	f.sort()
	return diags
}

func (f *File) sort() {
	slices.SortFunc(f.Plugins, func(a, b *Plugin) int { return strings.Compare(a.Address.String(), b.Address.String()) })
}

func parsePlugin(b *hcl.Block) (*Plugin, diag.List) {
	content, hclDiags := b.Body.Content(pluginSchema)
	diags := diag.FromHCL(hclDiags)
	p := &Plugin{Range: b.DefRange}
	var err error
	if p.Address, err = addr.ParsePlugin(b.Labels[0]); err != nil {
		diags = append(diags, diag.In(b.LabelRanges[0], "Invalid lock file", "%s.", err)...)
	}
	text := func(name string) (out string) {
		if a := content.Attributes[name]; a != nil {
			diags = append(diags, readText(a.Expr, &out)...)
		}
		return out
	}
	digests := func(name string) map[store.Platform]string {
		out := map[store.Platform]string{}
		if a := content.Attributes[name]; a != nil {
			diags = append(diags, readDigests(a, out)...)
		}
		return out
	}
	p.Constraints, p.Origin = text("constraints"), text("origin")
	p.Archives, p.Programs = digests("archives"), digests("programs")
	if a := content.Attributes["version"]; a != nil {
		v := text("version")
		if p.Version, err = version.NewSemver(v); err != nil || p.Version.String() != v || p.Version.Metadata() != "" {
			diags = append(diags, diag.In(a.Expr.Range(), "Invalid lock file", "%q is not a version such as 1.2.3.", v)...)
		}
	}
	if diags.HasErrors() {
		return nil, diags
	}
	return p, diags
}

// readText reads a text without expressions in it.
func readText(e hcl.Expression, to *string) diag.List {
	v, hclDiags := e.Value(nil)
	if hclDiags.HasErrors() || v.IsNull() || !v.IsWhollyKnown() || v.Type() != cty.String {
		return diag.In(e.Range(), "Invalid lock file", "A text in quotes is wanted here.")
	}
	*to = v.AsString()
	return nil
}

func readDigests(a *hcl.Attribute, to map[store.Platform]string) (diags diag.List) {
	pairs, hclDiags := hcl.ExprMap(a.Expr)
	if hclDiags.HasErrors() {
		return diag.In(a.Expr.Range(), "Invalid lock file", "%s is an object with a checksum for each platform.", a.Name)
	}
	for _, kv := range pairs {
		key, text := hcl.ExprAsKeyword(kv.Key), ""
		if key == "" {
			if more := readText(kv.Key, &key); more != nil {
				diags = append(diags, more...)
				continue
			}
		}
		p, err := store.ParsePlatform(key)
		if more := readText(kv.Value, &text); more != nil {
			diags = append(diags, more...)
			continue
		}
		if err != nil || p.String() != key {
			diags = append(diags, diag.In(kv.Key.Range(), "Invalid lock file", "%q is not a platform such as linux_amd64.", key)...)
			continue
		}
		digest, ok := strings.CutPrefix(text, digestPrefix)
		if raw, err := hex.DecodeString(digest); err != nil || !ok || len(raw) != 32 || digest != strings.ToLower(digest) {
			diags = append(diags, diag.In(kv.Value.Range(), "Invalid lock file", "%q is not a checksum: it has to be sha256: and 64 hexadecimal digits.", text)...)
			continue
		}
		if _, twice := to[p]; twice {
			diags = append(diags, diag.In(kv.Key.Range(), "Invalid lock file", "%s is there twice.", key)...)
			continue
		}
		to[p] = digest
	}
	return diags
}

const digestPrefix = "sha256:"

// Plugin returns what is locked of a plugin, nil for nothing.
func (f *File) Plugin(p addr.Plugin) *Plugin {
	for _, one := range f.Plugins {
		if one.Address == p {
			return one
		}
	}
	return nil
}

// Set replaces what is locked of a plugin.
func (f *File) Set(p *Plugin) {
	f.Plugins = slices.DeleteFunc(f.Plugins, func(one *Plugin) bool { return one.Address == p.Address })
	f.Plugins = append(f.Plugins, p)
	f.sort()
}

const header = `# The plugins of the templates in this folder, as "ingot init" found them. Keep this
# file with the templates: other machines then get the same plugins, and builds
# refuse others. "ingot init -upgrade" moves it to newer versions. A plugin without a
# block here is not locked.
`

// Bytes is the file as it is written: the same for the same content.
func (f *File) Bytes() []byte {
	var out bytes.Buffer
	out.WriteString(header)
	for _, p := range f.Plugins {
		fmt.Fprintf(&out, "\nplugin %s {\n  version = %s\n", quote(p.Address.String()), quote(p.Version.String()))
		if p.Constraints != "" {
			fmt.Fprintf(&out, "  constraints = %s\n", quote(p.Constraints))
		}
		if p.Origin != "" {
			fmt.Fprintf(&out, "  origin = %s\n", quote(p.Origin))
		}
		writeDigests(&out, "archives", p.Archives)
		writeDigests(&out, "programs", p.Programs)
		out.WriteString("}\n")
	}
	return hclwrite.Format(out.Bytes())
}

func quote(text string) string {
	return string(hclwrite.TokensForValue(cty.StringVal(text)).Bytes())
}

func writeDigests(out *bytes.Buffer, name string, digests map[store.Platform]string) {
	if len(digests) == 0 {
		return
	}
	var lines []string
	for p, d := range digests {
		lines = append(lines, fmt.Sprintf("    %s = %s\n", p, quote(digestPrefix+d)))
	}
	slices.Sort(lines)
	fmt.Fprintf(out, "  %s = {\n%s  }\n", name, strings.Join(lines, ""))
}

// Write puts the file in its place when it says something else than what was read.
// It reports whether it has.
func (f *File) Write() (changed bool, err error) {
	text := f.Bytes()
	if bytes.Equal(text, f.Text) || f.Text == nil && len(f.Plugins) == 0 {
		return false, nil
	}
	draft, err := os.CreateTemp(filepath.Dir(f.Path), "."+Name+"-")
	if err != nil {
		return false, fmt.Errorf("write the lock file: %w", err)
	}
	_, err = draft.Write(text)
	if err == nil {
		err = draft.Chmod(0o644)
	}
	if err == nil {
		err = draft.Sync()
	}
	if err = errors.Join(err, draft.Close()); err == nil {
		err = os.Rename(draft.Name(), f.Path)
	}
	if err != nil {
		return false, fmt.Errorf("write the lock file: %w", errors.Join(err, os.Remove(draft.Name())))
	}
	f.Text = text
	return true, nil
}
