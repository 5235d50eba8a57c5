// Package fetch gets files from where a template says they are: installer images
// above all. What was downloaded stays in a cache that all builds share, under the
// checksum of its content; local files are used where they are.
//
// Nothing is trusted that was not read in full: a file gets its name in the cache
// when it is complete and its checksum is right. A download that broke off goes on
// only from a server that proves that the file is still the same.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"ingot/internal/component"
	"ingot/internal/retry"
)

// fetcher is one call of Fetch.
type fetcher struct {
	spec  Spec
	run   component.Run
	store store
	http  *http.Client
	idle  time.Duration
	env   func(string) string
}

// newFetcher checks the spec, and returns the checksum that it asks for.
func newFetcher(r component.Run, spec Spec) (*fetcher, checksum, error) {
	idle, err := readTimeout()
	if err != nil {
		return nil, checksum{}, err
	}
	want, err := parseChecksum(spec.Checksum)
	if err != nil {
		return nil, checksum{}, fmt.Errorf("checksum of the %s: %w", spec.label(), err)
	}
	if len(spec.URLs) == 0 {
		return nil, checksum{}, fmt.Errorf("there is no URL of the %s", spec.label())
	}
	return &fetcher{spec: spec, run: r, store: newStore(r.CacheDir), http: newClient(os.Getenv), idle: idle, env: os.Getenv}, want, nil
}

// Fetch gets the file and returns its path, which may be used, and only be read,
// until the build is done with its machine. Places are tried in order; for each,
// what may pass is tried again. The path of a local file is the one that was given.
// With SkipCache it is the first URL.
func Fetch(ctx context.Context, r component.Run, spec Spec) (string, error) {
	f, want, err := newFetcher(r, spec)
	if err != nil {
		return "", err
	}
	if spec.SkipCache {
		return spec.URLs[0], nil
	}
	defer f.http.CloseIdleConnections()
	r.Say("Retrieving " + spec.label())
	var errs []error
	for i, text := range spec.URLs {
		path, err := f.from(ctx, text, want)
		if err == nil {
			return path, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
		if i+1 < len(spec.URLs) {
			r.Emit(component.Problem{Text: err.Error()})
		}
	}
	return "", fmt.Errorf("retrieve %s: %w", spec.label(), errors.Join(errs...))
}

// from gets the file from one place.
func (f *fetcher) from(ctx context.Context, text string, want checksum) (string, error) {
	src, err := parseSource(text)
	if err != nil {
		return "", err
	}
	f.run.Say("Trying " + src.String())
	if want, err = f.wanted(ctx, src, want); err != nil {
		return "", fmt.Errorf("%s: %w", src, err)
	}
	if src.kind == localFile {
		err = f.checkLocal(ctx, src.path, want)
		return src.path, err
	}
	path, err := f.cached(ctx, src, want)
	if err != nil {
		return "", fmt.Errorf("%s: %w", src, err)
	}
	f.run.Say(src.String() + " => " + path)
	return path, nil
}

// Identify says which file Fetch would get, without getting it: its checksum when
// the spec has one, and else what the first place says of it, such as its ETag. Of
// a local file without a checksum it is the size and the time.
func Identify(ctx context.Context, r component.Run, spec Spec) (string, error) {
	f, want, err := newFetcher(r, spec)
	if err != nil {
		return "", err
	}
	defer f.http.CloseIdleConnections()
	src, err := parseSource(spec.URLs[0])
	if err != nil {
		return "", err
	}
	if want, err = f.wanted(ctx, src, want); err != nil {
		return "", fmt.Errorf("%s: %w", src, err)
	}
	if want.algorithm != "" {
		return want.String(), nil
	}
	return f.identity(ctx, src)
}

// identity is what a place says of a file without a checksum.
func (f *fetcher) identity(ctx context.Context, src source) (string, error) {
	switch src.kind {
	case localFile:
		info, err := os.Stat(src.path)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%d bytes of %s", info.Size(), info.ModTime().UTC().Format(time.RFC3339Nano)), nil
	case gitFile, hgFile:
		return "", fmt.Errorf("%s has no checksum, and a repository does not say which version a file has: set one", src)
	}
	validator, err := f.validator(ctx, src)
	if err != nil {
		return "", fmt.Errorf("%s: %w", src, err)
	}
	if validator == "" {
		return "", fmt.Errorf("%s: the server does not say which version of the file it has: set a checksum", src)
	}
	return validator, nil
}

func (f *fetcher) checkLocal(ctx context.Context, path string, want checksum) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular() && (want.algorithm != "" || info.IsDir()):
		return fmt.Errorf("%s is not a file", path)
	case want.algorithm == "":
		return nil
	}
	if err := verifyFile(ctx, path, want); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// wanted is the checksum that a place has to have: the one of its own URL counts
// before the spec's, and one that is in a list is looked up.
func (f *fetcher) wanted(ctx context.Context, src source, want checksum) (checksum, error) {
	if src.checksum != "" {
		var err error
		if want, err = parseChecksum(src.checksum); err != nil {
			return checksum{}, fmt.Errorf("parameter checksum: %w", err)
		}
	}
	if want.list != "" {
		return f.lookUp(ctx, want.list, src)
	}
	return want, nil
}

// lookUp finds the checksum of src in a list.
func (f *fetcher) lookUp(ctx context.Context, list string, src source) (checksum, error) {
	from, err := parseSource(list)
	if err != nil {
		return checksum{}, err
	}
	var text []byte
	if from.kind == localFile {
		text, err = readList(from.path)
	} else {
		err = f.repeat(ctx, from, func() int64 { return 0 }, func(ctx context.Context) error {
			text, err = f.download(ctx, from)
			return err
		})
	}
	if err != nil {
		return checksum{}, err
	}
	c, err := findInList(text, src.fileName())
	if err != nil {
		return checksum{}, fmt.Errorf("%s: %w", from, err)
	}
	return c, nil
}

// download reads a small file into memory.
func (f *fetcher) download(ctx context.Context, from source) ([]byte, error) {
	if from.kind == gitFile || from.kind == hgFile {
		path := filepath.Join(f.run.WorkDir, "checksums-"+hashKey(from.String())[:16])
		if err := f.checkout(ctx, from, path); err != nil {
			return nil, err
		}
		defer os.Remove(path)
		return readList(path)
	}
	res, stop, err := f.get(ctx, from, nil)
	if err != nil {
		return nil, err
	}
	defer stop()
	return limitedList(res.Body, from.String())
}

// cached returns the path of the file in the cache or at the target path; it is
// fetched when it is not there.
func (f *fetcher) cached(ctx context.Context, src source, want checksum) (_ string, err error) {
	known := ""
	if want.algorithm == "" && src.kind != gitFile && src.kind != hgFile {
		err := f.repeat(ctx, src, func() int64 { return 0 }, func(ctx context.Context) (err error) {
			known, err = f.validator(ctx, src)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	place, err := f.place(src, want, known)
	if err != nil {
		return "", err
	}
	making, err := place.lock(ctx, f.run, src.fileName())
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, making.Close()) }()
	// Without a checksum and a validator nothing says that the file that is
	// there is the one that the server has now.
	reusable := want.algorithm != "" || known != ""
	switch {
	case reusable && place.trusted(want, known), place.adopt(ctx, f.run, want, src.String()):
		place.used(f.run.Clock.Now())
	default:
		if err := f.make(ctx, place, src, want, known); err != nil {
			return "", err
		}
	}
	return place.path, f.holdUntilEnd(place)
}

// holdUntilEnd keeps the file from being pruned while the build runs.
func (f *fetcher) holdUntilEnd(s slot) error {
	use := s.useLock()
	// Who prunes holds it for a moment, and never without the other lock, which
	// is ours now.
	ok, err := use.TryRLock()
	if err != nil || !ok {
		return fmt.Errorf("download cache: lock %s: %w", s.indexName(), errors.Join(err, use.Close()))
	}
	f.run.AtEnd(func() { _ = use.Close() })
	return nil
}

// place decides where the file goes.
func (f *fetcher) place(src source, want checksum, validator string) (slot, error) {
	if f.spec.TargetPath != "" {
		path, err := f.spec.target(src.fileName())
		if err != nil {
			return slot{}, err
		}
		return slot{f.store, "target-" + hashKey(path), path}, nil
	}
	switch {
	case want.algorithm != "":
		return f.store.slot(want.algorithm+"-"+want.sum, f.spec.extension(src)), nil
	case validator != "":
		return f.store.slot("url-"+hashKey(src.identity(), validator), f.spec.extension(src)), nil
	}
	// Nobody could use it again, so it goes with the build.
	dir, err := os.MkdirTemp(f.run.WorkDir, "download-")
	return store{dir}.slot("file", f.spec.extension(src)), err
}

// identity is the source with all that tells it apart from others.
func (s source) identity() string {
	if s.kind == gitFile || s.kind == hgFile {
		return s.repository + "//" + s.path + "?" + s.url.Fragment
	}
	return s.url.String()
}

// make fetches the file; the slot is locked.
func (f *fetcher) make(ctx context.Context, to slot, src source, want checksum, validator string) (err error) {
	if err := os.MkdirAll(filepath.Dir(to.path), 0o755); err != nil {
		return err
	}
	rec := record{URL: src.String(), Validator: validator}
	if want.algorithm != "" {
		rec.Checksum = want.String()
	}
	if src.kind == gitFile || src.kind == hgFile {
		err = f.fromRepository(ctx, to, src, want)
	} else {
		err = f.fromWeb(ctx, to, src, want, validator)
	}
	if err != nil {
		return err
	}
	return to.finish(rec, f.run.Clock.Now())
}

// stalledAttempts is how often a download may break off without having come any
// further.
const stalledAttempts = 5

// repeat tries again what may pass, with growing delays. As long as a download
// comes further, it may break off as often as it likes.
func (f *fetcher) repeat(ctx context.Context, src source, progress func() int64, fn func(context.Context) error) error {
	stalled, best := 0, progress()
	return retry.Do(ctx, f.run.Clock, retry.Policy{
		First: 500 * time.Millisecond, Max: 20 * time.Second,
		Retryable: func(err error) bool {
			if c := retry.ClassOf(err); ctx.Err() != nil || c != retry.Transient && c != retry.Throttled {
				return false
			}
			if n := progress(); n > best {
				best, stalled = n, 0
			}
			stalled++
			return stalled < stalledAttempts
		},
		Notify: func(err error, attempt int, delay time.Duration) {
			f.run.Emit(component.Retrying{What: "download of " + src.fileName(), Class: retry.ClassOf(err).String(), Attempt: attempt, Delay: delay, Err: err})
		},
	}, fn)
}
