package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/lang"
	"ingot/internal/plan"
	"ingot/internal/stepcache"
)

// Inputs are digests of what the result of a build depends on, as far as it is known
// before it runs: the arguments of its source, provisioners and post-processors, and
// the files that they say they read. Of large files the size and the time count, so
// that it does not take long. What depends on the machine or on other builds does not
// count. Digests of what is sensitive are made with the secret.
func Inputs(ctx context.Context, b *plan.Build, secret stepcache.Secret) ([]stepcache.Part, error) {
	in := inputs{ctx: ctx, secret: secret}
	in.add("the source", b.Source.Type, b.Config, b.Job)
	for _, s := range b.Provisioners {
		in.add(nth(s), s.Addr.Type, s.Config, s.Planned)
	}
	for i, chain := range b.Chains {
		for j, s := range chain {
			in.add(fmt.Sprintf("%s %d.%d (%s)", s.Addr.Kind, i+1, j+1, s.Addr.Type), s.Addr.Type, s.Config, s.Planned)
		}
	}
	return in.parts, in.err
}

type inputs struct {
	ctx    context.Context
	secret stepcache.Secret
	parts  []stepcache.Part
	err    error
}

// add adds a component. of is what users call it.
func (in *inputs) add(of, typ string, cfg *lang.Config, what any) {
	if in.err != nil {
		return
	}
	in.parts = append(in.parts, stepcache.Text("the type of "+of, typ))
	if cfg != nil && cfg.Value != cty.NilVal && !cfg.Value.IsNull() {
		args, err := stepcache.Arguments(withoutUnknown(cfg.Value), cfg.Secrets, in.secret, nil)
		if err != nil {
			in.err = err
			return
		}
		in.of(of, args)
	}
	reader, ok := what.(component.InputReader)
	if !ok {
		return
	}
	var files []stepcache.Part
	for _, path := range reader.Inputs().Files {
		p, err := in.file(path)
		if err != nil {
			in.err = err
			return
		}
		files = append(files, p)
	}
	in.of(of, files)
}

func (in *inputs) of(what string, parts []stepcache.Part) {
	for _, p := range parts {
		p.Name += " of " + what
		in.parts = append(in.parts, p)
	}
}

// withoutUnknown puts null in the place of what is not known yet.
func withoutUnknown(v cty.Value) cty.Value {
	known, err := cty.Transform(v, func(_ cty.Path, v cty.Value) (cty.Value, error) {
		if !v.IsKnown() {
			return cty.NullVal(v.Type()), nil
		}
		return v, nil
	})
	if err != nil {
		return v // the callback does not fail
	}
	return known
}

// readWhole is up to which size the contents of a file count.
const readWhole = 64 << 10

// file is the part for a file, or a folder with all it holds.
func (in *inputs) file(path string) (stepcache.Part, error) {
	info, err := os.Stat(path)
	if err != nil {
		return stepcache.Part{}, err
	}
	name := "file "
	if info.IsDir() {
		name = "folder "
	}
	h := sha256.New()
	err = in.digest(h, path, info, nil)
	return stepcache.Part{Name: name + filepath.ToSlash(path), Digest: "sha256:" + hex.EncodeToString(h.Sum(nil))}, err
}

// digest writes a line for what is at path, and for a folder one for each thing below
// it. Links are followed, but not to a folder that they are in; above are these.
func (in *inputs) digest(h io.Writer, path string, info fs.FileInfo, above []fs.FileInfo) error {
	if err := context.Cause(in.ctx); err != nil {
		return err
	}
	fmt.Fprintf(h, "%q %s", path, info.Mode())
	switch {
	case info.IsDir():
		fmt.Fprintln(h)
		return in.folder(h, path, append(above[:len(above):len(above)], info))
	case !info.Mode().IsRegular():
		fmt.Fprintln(h)
		return nil
	case info.Size() > readWhole:
		fmt.Fprintf(h, " %d %d\n", info.Size(), info.ModTime().UnixNano())
		return nil
	}
	data, err := os.ReadFile(path)
	fmt.Fprintf(h, " %x\n", sha256.Sum256(data))
	return err
}

func (in *inputs) folder(h io.Writer, path string, above []fs.FileInfo) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		at := filepath.Join(path, e.Name())
		info, err := os.Stat(at)
		leadsBack := err == nil && slices.ContainsFunc(above, func(a fs.FileInfo) bool { return os.SameFile(a, info) })
		if err != nil || leadsBack {
			info, err = e.Info() // of the link itself
		}
		if err == nil {
			err = in.digest(h, at, info, above)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
