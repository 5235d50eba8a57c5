package cli

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/diag"
	"ingot/internal/legacy/jsondoc"
)

// legacyFile is a legacy JSON template that a command converts.
type legacyFile struct {
	// name is the path, or "<stdin>".
	name    string
	doc     *jsondoc.Node
	sources map[string][]byte
}

// readLegacy reads the legacy template at a path, or on standard input for
// "-". What is not JSON is among the findings, and there is no doc then.
func (a *app) readLegacy(command, configType, path string) (legacyFile, diag.List, error) {
	f := legacyFile{name: path, sources: map[string][]byte{}}
	switch configType {
	case "", "json":
	case "hcl2":
		return f, nil, fmt.Errorf("%s reads legacy JSON templates, not those of -config-type=hcl2", command)
	default:
		return f, nil, errors.New("-config-type is json or hcl2")
	}
	if isFolder(path) {
		return f, nil, fmt.Errorf("%s reads one legacy JSON template, and %s is a folder: give the file", command, path)
	}
	if strings.HasSuffix(path, ".pkr.hcl") || strings.HasSuffix(path, ".pkr.json") {
		return f, nil, fmt.Errorf("%s reads legacy JSON templates, and %s is an HCL2 template", command, path)
	}
	src, err := a.readFileOrStdin(&f, path)
	if err != nil {
		return f, nil, fmt.Errorf("read the template: %w", err)
	}
	f.sources[f.name] = src
	doc, diags := jsondoc.Parse(src, f.name)
	if doc == nil && !bytes.HasPrefix(bytes.TrimSpace(src), []byte("{")) {
		diags[0].Detail += fmt.Sprintf(" %s reads legacy JSON templates. Is this file HCL?", command)
	}
	f.doc = doc
	return f, diags, nil
}

func (a *app) readFileOrStdin(f *legacyFile, path string) ([]byte, error) {
	if path != "-" {
		return os.ReadFile(path)
	}
	f.name = "<stdin>"
	if a.streams.In == nil {
		return nil, errors.New("there is no standard input")
	}
	return io.ReadAll(a.streams.In)
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// registerForScripts adds the flags of commands that use a template, for a
// command that only rewrites one. All but -config-type are hidden.
func (f *templateFlags) registerForScripts(c *cobra.Command) {
	f.register(c)
	for _, name := range []string{"var", "var-file", "only", "except", "prefer-plugin", "ignore-prerelease-plugins"} {
		c.Flags().Lookup(name).Hidden = true
	}
	c.Flags().Lookup("config-type").Usage = "`kind` of template: only json can be read"
}

// withoutEffectOnText is withoutEffect for a command that only rewrites the
// template.
func (f *templateFlags) withoutEffectOnText() diag.List {
	out := f.withoutEffect()
	for _, x := range []struct {
		name   string
		values []string
	}{{"var", f.vars}, {"var-file", f.varFiles}, {"only", f.only}, {"except", f.except}} {
		if len(x.values) > 0 {
			out = append(out, diag.Warnf("-"+x.name+" has no effect", "The whole template is rewritten, whatever values its variables will have.")...)
		}
	}
	return append(out, f.pluginFlags.withoutEffect("No component is looked at.")...)
}

// replaceFile writes a file so that it has the old content or the new one,
// whatever happens. Missing folders are made, a symbolic link stays one, and
// a file that is there keeps its mode and, where that is allowed, its owner.
func replaceFile(path string, data []byte) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	target := path
	if real, err := filepath.EvalSymlinks(path); err == nil {
		target = real
	}
	old, err := os.Stat(target)
	switch {
	case err == nil && !old.Mode().IsRegular():
		return errors.New("it exists and is not a regular file")
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	part, err := os.OpenFile(filepath.Join(filepath.Dir(target), ".ingot-part-"+rand.Text()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = part.Write(data)
	if old != nil {
		keepOwner(part.Name(), old)
		err = errors.Join(err, part.Chmod(old.Mode().Perm()))
	}
	if err = errors.Join(err, part.Sync(), part.Close()); err == nil {
		err = os.Rename(part.Name(), target)
	}
	if err != nil {
		return errors.Join(err, os.Remove(part.Name()))
	}
	return nil
}
