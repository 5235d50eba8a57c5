package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"

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
	digest := sha256.New()
	if !info.IsDir() {
		err := describeFile(digest, path, info)
		return sumPart("file "+filepath.ToSlash(path), digest), err
	}
	err = filepath.WalkDir(path, func(at string, d fs.DirEntry, err error) error {
		if err == nil {
			err = context.Cause(in.ctx)
		}
		if err != nil {
			return err
		}
		info, err := os.Stat(at)
		if err != nil {
			info, err = d.Info() // a link to nowhere
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(digest, "%q ", at)
		return describeFile(digest, at, info)
	})
	return sumPart("folder "+filepath.ToSlash(path), digest), err
}

func sumPart(name string, digest hash.Hash) stepcache.Part {
	return stepcache.Part{Name: name, Digest: "sha256:" + hex.EncodeToString(digest.Sum(nil))}
}

// describeFile writes what counts of a file to a digest.
func describeFile(digest hash.Hash, path string, info fs.FileInfo) error {
	switch {
	case !info.Mode().IsRegular():
		fmt.Fprintf(digest, "%s\n", info.Mode())
		return nil
	case info.Size() > readWhole:
		fmt.Fprintf(digest, "%s %d %d\n", info.Mode(), info.Size(), info.ModTime().UnixNano())
		return nil
	}
	data, err := os.ReadFile(path)
	fmt.Fprintf(digest, "%s of %d bytes:", info.Mode(), len(data))
	digest.Write(data)
	return err
}
