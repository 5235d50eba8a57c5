// Package install brings plugins onto this machine: from the release site, from
// GitHub, a mirror, an OCI registry, a folder or an archive.
//
// Nothing is unpacked before its digest is the one that was published or locked, and
// no program is run before its own digest is the one that is locked, when one is.
package install

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-version"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/fetch"
	"ingot/internal/outfile"
	"ingot/internal/plugin/store"
	"ingot/internal/retry"
)

// Installer installs plugins into a plugin folder.
type Installer struct {
	Store   *store.Store
	Sources Sources
	// Run has the clock, the cache and a folder for temporary files, and hears of
	// what is tried again.
	Run component.Run
	// Keys are what signatures are checked with; nil checks none.
	Keys *Keys
	// RequireSignature refuses what is not signed with one of Keys.
	RequireSignature bool
}

// Request says what to install.
type Request struct {
	Plugin      addr.Plugin
	Constraints version.Constraints
	// Version is the only one that will do; nil for any that Constraints allow.
	// Pre-releases are not installed otherwise.
	Version *version.Version
	// Platform is what the plugin is for; the zero one is this machine's.
	Platform store.Platform
	// Zips and Programs are the digests that are locked, by platform; what is not
	// in them is not locked.
	Zips, Programs map[store.Platform]string
	// Force installs also what is there already.
	Force bool
}

// Installed is a plugin that is there now.
type Installed struct {
	Path    string
	Name    store.FileName
	Program string
	// Origin is where it came from, Zips the digests of the release's archives for
	// all platforms; empty when it came without an archive.
	Origin string
	Zips   map[store.Platform]string
	// Already says that nothing had to be done.
	Already   bool
	Signature Signature
	// Notes are what went otherwise than it should, such as places that did not
	// answer.
	Notes []string
}

// mismatchError says that a file is not the one that was published.
type mismatchError struct{ name, want, got string }

func (m *mismatchError) Error() string {
	return fmt.Sprintf("%s has the checksum %s, where %s was expected", m.name, m.got, m.want)
}

// final is an error that no other place can make good: something is not what it
// should be.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// unreachable is an error of getting something from a place; another place may do.
type unreachable struct{ error }

func (u unreachable) Unwrap() error { return u.error }

// Install finds the best version that is allowed and runs here, and installs it. All
// places are tried in turn; the first one that has such a version, and gives it, is
// the one that counts. What is not as it was published or locked ends it at once.
func (in *Installer) Install(ctx context.Context, req Request) (*Installed, error) {
	var out *Installed
	err := in.try(ctx, &req, func(c *choice, notes []string) error {
		var err error
		if out, err = in.put(ctx, req, c); err == nil {
			out.Notes = notes
		}
		return err
	})
	return out, err
}

// Look finds what Install would, and installs nothing: the digests of the archives
// for all platforms, and where they are from.
func (in *Installer) Look(ctx context.Context, req Request) (zips map[store.Platform]string, origin string, err error) {
	err = in.try(ctx, &req, func(c *choice, _ []string) error {
		zips, origin = c.release.zips(), c.origin
		return nil
	})
	return zips, origin, err
}

// choice is a file of a release.
type choice struct {
	file    file
	release *release
	origin  string
}

// try gives what it finds at each place to use, until that has no error, or one that
// another place cannot make good. Notes say what other places said before.
func (in *Installer) try(ctx context.Context, req *Request, use func(c *choice, notes []string) error) error {
	if req.Platform == (store.Platform{}) {
		req.Platform = store.Here()
	}
	places, err := in.origins()
	if err != nil {
		return err
	}
	var notes, told []string
	for _, o := range places {
		c, why, err := in.look(ctx, *req, o)
		if err == nil && c == nil {
			err = errors.New(strings.Join(why, "; "))
		}
		if err == nil {
			if err = use(c, append(notes[:len(notes):len(notes)], why...)); err == nil {
				return nil
			}
			if u := (unreachable{}); !errors.As(err, &u) || Mismatch(err) {
				err = final{err}
			}
			err = fmt.Errorf("version %s: %w", c.file.Version, err)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if f := (final{}); errors.As(err, &f) {
			return fmt.Errorf("%s from %s: %w", req.Plugin, o, err)
		}
		told = append(told, fmt.Sprintf("%s: %s", o, err))
		if no := notServed(""); !errors.As(err, &no) {
			notes = append(notes, told[len(told)-1])
		}
	}
	return fmt.Errorf("no version of %s could be had for %s%s. %s", req.Plugin, req.Platform, req.wanted(), strings.Join(told, ". "))
}

// zips are the digests of the archives by platform.
func (r *release) zips() map[store.Platform]string {
	out := map[store.Platform]string{}
	for _, f := range r.files {
		if f.zip != "" {
			out[f.Platform] = f.zip
		}
	}
	return out
}

func (r Request) wanted() string {
	switch {
	case r.Version != nil:
		return ", version " + r.Version.String()
	case r.Constraints != nil:
		return ", version " + r.Constraints.String()
	}
	return ""
}

// allows reports whether a version may be installed.
func (r Request) allows(v *version.Version) bool {
	if r.Version != nil {
		return v.Equal(r.Version)
	}
	return v.Prerelease() == "" && (r.Constraints == nil || r.Constraints.Check(v))
}

// look finds the newest version at one place that is allowed and can be used. It is
// nil when there is none, for the reasons given.
func (in *Installer) look(ctx context.Context, req Request, o origin) (*choice, []string, error) {
	all, err := o.versions(ctx, req.Plugin)
	if err != nil {
		return nil, nil, err
	}
	var why []string
	slices.SortFunc(all, func(a, b *version.Version) int { return b.Compare(a) })
	for _, v := range all {
		if !req.allows(v) {
			continue
		}
		r, err := o.release(ctx, req.Plugin, v)
		if err != nil {
			return nil, nil, fmt.Errorf("version %s: %w", v, err)
		}
		f, refusal := r.fit(req.Platform)
		if refusal != "" {
			why = append(why, fmt.Sprintf("version %s %s", v, refusal))
			continue
		}
		if err := in.agrees(req, r, f); err != nil {
			return nil, nil, final{fmt.Errorf("version %s: %w", v, err)}
		}
		return &choice{*f, r, o.String()}, why, nil
	}
	if len(why) == 0 {
		why = []string{fmt.Sprintf("of %d versions none is allowed", len(all))}
	}
	return nil, why, nil
}

// fit finds the file for a platform that speaks a protocol that is served; a program
// itself comes before an archive of it.
func (r *release) fit(p store.Platform) (*file, string) {
	refusal := "has nothing for " + p.String()
	var best *file
	for i, f := range r.files {
		switch {
		case f.Platform != p:
		case !f.API.Served():
			refusal = fmt.Sprintf("speaks the plugin protocol %s, not %s", f.API, store.HostAPI())
		case best == nil || f.API.Minor > best.API.Minor || f.API == best.API && f.zip == "":
			best = &r.files[i]
		}
	}
	if best != nil {
		refusal = ""
	}
	return best, refusal
}

// agrees compares the digests that were published with those that are locked.
func (in *Installer) agrees(req Request, r *release, f *file) error {
	for _, one := range r.files {
		if want := req.Zips[one.Platform]; want != "" && one.zip != "" && one.zip != want {
			return fmt.Errorf("the archive for %s was changed since it was locked: its checksum is sha256:%s, the lock file has sha256:%s", one.Platform, one.zip, want)
		}
	}
	if len(req.Zips) > 0 && req.Zips[f.Platform] == "" && f.zip != "" {
		return fmt.Errorf("the lock file has no checksum of the archive for %s, though it has some for other platforms", f.Platform)
	}
	return nil
}

// signed says what is known of the signature of a release.
func (in *Installer) signed(ctx context.Context, r *release) (Signature, error) {
	var out Signature
	if in.Keys != nil && r.sums == nil {
		out.State = NotSigned
	}
	if in.Keys != nil && r.sums != nil {
		text, err := r.signature(ctx)
		if err != nil {
			return out, unreachable{fmt.Errorf("read the signature of the checksums: %w", err)}
		}
		out.State = NotSigned
		if text != nil {
			if out, err = in.Keys.check(r.sums, text, in.Run.Clock.Now()); err != nil {
				return out, err
			}
		}
	}
	if in.RequireSignature && out.State != Signed {
		return out, fmt.Errorf("a signature is required: %s", out)
	}
	return out, nil
}

// put installs a file that was found, unless it is there already.
func (in *Installer) put(ctx context.Context, req Request, c *choice) (*Installed, error) {
	out := &Installed{Path: in.Store.Path(req.Plugin, c.file.FileName), Name: c.file.FileName, Origin: c.origin, Zips: c.release.zips()}
	var err error
	if out.Signature, err = in.signed(ctx, c.release); err != nil {
		return nil, err
	}
	want := req.Programs[c.file.Platform]
	if there, err := store.Verify(ctx, store.Binary{Path: out.Path}); err == nil && !req.Force && want != "" && there.SHA256 == want {
		out.Program, out.Already = there.SHA256, true
		return out, nil
	}
	draft, remove, err := in.draft(filepath.Dir(out.Path), c.file.Platform)
	if err != nil {
		return nil, err
	}
	defer remove()
	if err := c.file.unpackTo(ctx, draft); err != nil {
		return nil, err
	}
	if out.Program, err = store.Digest(ctx, draft); err != nil {
		return nil, err
	}
	if want != "" && out.Program != want {
		return nil, fmt.Errorf("the program has the checksum sha256:%s, the lock file has sha256:%s", out.Program, want)
	}
	if there, err := store.Verify(ctx, store.Binary{Path: out.Path}); err == nil && !req.Force && there.SHA256 == out.Program {
		out.Already = true
		return out, nil
	}
	if err := in.ask(ctx, draft, c.file.FileName); err != nil {
		return nil, err
	}
	return out, in.place(ctx, draft, out.Path, out.Program)
}

// unpackTo makes the program of a file: what is in the archive, or a copy.
func (f file) unpackTo(ctx context.Context, to string) error {
	from, err := f.fetch(ctx)
	if err != nil {
		return unreachable{err}
	}
	if f.zip != "" {
		return unpack(ctx, from, f.FileName.String(), to)
	}
	if _, err := store.Verify(ctx, store.Binary{Path: from}); err != nil {
		return fmt.Errorf("%s cannot be used: %w", from, err)
	}
	return copyProgram(ctx, from, to)
}

func copyProgram(ctx context.Context, from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	return writeProgram(ctx, in, to, maxProgram)
}

// ask compares what a program says of itself with its name. Only those for this
// machine can be asked.
func (in *Installer) ask(ctx context.Context, path string, n store.FileName) error {
	if n.Platform != store.Here() {
		return nil
	}
	d, err := in.Store.Ask(ctx, path)
	if err == nil {
		err = store.Agree(store.Binary{Version: n.Version, API: n.API}, d)
	}
	if err != nil {
		return fmt.Errorf("the program cannot be used: %w", err)
	}
	return nil
}

// draftPrefix is not that of a plugin, so that nothing takes a draft for one.
const draftPrefix = ".draft-"

// draft is the name of a file that does not exist yet, beside what it will become.
func (in *Installer) draft(dir string, p store.Platform) (string, func(), error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", nil, err
	}
	own, err := os.MkdirTemp(dir, draftPrefix)
	if err != nil {
		return "", nil, err
	}
	return filepath.Join(own, "plugin"+p.Ext()), func() { _ = os.RemoveAll(own) }, nil
}

// place gives a program its name, with the checksum file beside it.
func (in *Installer) place(ctx context.Context, draft, path, digest string) error {
	unlock, err := outfile.Lock(ctx, in.Run, filepath.Join(filepath.Dir(path), ".install"))
	if err != nil {
		return err
	}
	defer func() { _ = unlock() }()
	sum := draft + store.SumSuffix
	if err := os.WriteFile(sum, []byte(digest), 0o644); err != nil {
		return err
	}
	// In between, the old checksum does not fit, and the plugin is not used.
	if err := os.Rename(draft, path); err != nil {
		return err
	}
	return os.Rename(sum, path+store.SumSuffix)
}

// InstallFile installs a program, or the one in the archive of a release, that is on
// this machine. Its version is what it says itself.
func (in *Installer) InstallFile(ctx context.Context, p addr.Plugin, from string) (*Installed, error) {
	info, err := os.Stat(from)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, fmt.Errorf("%s is a folder; give the plugin's program, or the zip archive of a release", from)
	}
	// The name is not known before the program was asked.
	draft, remove, err := in.draft(filepath.Join(in.Store.Dir, filepath.FromSlash(p.String())), store.Here())
	if err != nil {
		return nil, err
	}
	defer remove()
	if strings.HasSuffix(strings.ToLower(from), ".zip") {
		err = in.unpackRelease(ctx, p, from, draft)
	} else {
		err = copyProgram(ctx, from, draft)
	}
	if err != nil {
		return nil, err
	}
	digest, err := store.Digest(ctx, draft)
	if err != nil {
		return nil, err
	}
	d, err := in.Store.Ask(ctx, draft)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be used: %w", from, err)
	}
	n, err := nameOf(p, d)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be used: %w", from, err)
	}
	out := &Installed{Path: in.Store.Path(p, n), Name: n, Program: digest, Origin: from}
	return out, in.place(ctx, draft, out.Path, digest)
}

// nameOf is the name of a program by what it says of itself.
func nameOf(p addr.Plugin, d store.Description) (store.FileName, error) {
	v, err := version.NewSemver(d.Version)
	if err != nil {
		return store.FileName{}, fmt.Errorf("invalid version: it says that its version is %q", d.Version)
	}
	text := v.Core().String()
	if v.Prerelease() != "" {
		text += "-" + v.Prerelease()
	}
	if v, err = version.NewSemver(text); err != nil {
		return store.FileName{}, err
	}
	api, err := store.ParseAPI(d.APIVersion)
	switch {
	case err != nil:
		return store.FileName{}, err
	case !api.Served():
		return store.FileName{}, fmt.Errorf("it speaks the plugin protocol %s; this program speaks %s", api, store.HostAPI())
	case api.String() != d.APIVersion:
		return store.FileName{}, fmt.Errorf("it writes the version of the plugin protocol as %q, not as %s", d.APIVersion, api)
	}
	n := store.FileName{Name: p.Name(), Version: v, API: api, Platform: store.Here()}
	_, err = store.ParseFileName(n.String())
	return n, err
}

// unpackRelease takes the program out of the archive of a release, whose name says
// which one that is.
func (in *Installer) unpackRelease(ctx context.Context, p addr.Plugin, from, draft string) error {
	z, err := parseZipName(filepath.Base(from))
	switch {
	case err != nil || !z.hasAPI:
		return fmt.Errorf("%s does not have the name of a release's archive, %sNAME_vVERSION_xMAJOR.MINOR_OS_ARCH.zip", from, store.Prefix)
	case z.Name != p.Name():
		return fmt.Errorf("%s is the archive of the plugin %s, not of %s", from, z.Name, p.Name())
	case z.Platform != store.Here():
		return fmt.Errorf("%s is for %s; this machine is %s", from, z.Platform, store.Here())
	}
	return unpack(ctx, from, z.FileName.String(), draft)
}

// repeat tries again what may pass.
func (in *Installer) repeat(ctx context.Context, what string, fn func(context.Context) error) error {
	return retry.Do(ctx, in.Run.Clock, retry.Policy{
		Attempts: 5, First: 500 * time.Millisecond, Max: 20 * time.Second,
		Notify: func(err error, attempt int, delay time.Duration) {
			in.Run.Emit(component.Retrying{What: "download of " + what, Class: retry.ClassOf(err).String(), Attempt: attempt, Delay: delay, Err: err})
		},
	}, fn)
}

// hash is a name for what the parts say.
func hash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// Mismatch reports whether an error says that a file is not the one that was
// published.
func Mismatch(err error) bool {
	var m *mismatchError
	return errors.As(err, &m) || errors.Is(err, fetch.ErrMismatch)
}

// SortedPlatforms are the keys of a table of digests, sorted.
func SortedPlatforms(table map[store.Platform]string) []store.Platform {
	out := make([]store.Platform, 0, len(table))
	for p := range table {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b store.Platform) int { return cmp.Or(cmp.Compare(a.OS, b.OS), cmp.Compare(a.Arch, b.Arch)) })
	return out
}
