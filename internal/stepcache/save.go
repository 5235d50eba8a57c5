package stepcache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ingot/internal/component"
)

// Draft is a checkpoint that is being saved.
type Draft struct {
	store *Store
	lease component.Lease
	path  string
}

// Begin makes the folder for a checkpoint, with a token that is unique. The
// journal knows of it until it is published, so that what a killed process leaves
// of one is removed.
func (s *Store) Begin(ctx context.Context, journal component.Recorder, token string) (*Draft, error) {
	root, err := filepath.Abs(s.root())
	if err != nil {
		return nil, fmt.Errorf("step cache: %w", err)
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fmt.Errorf("step cache: %w", err)
	}
	d := &Draft{store: s, path: filepath.Join(root, newPrefix+token)}
	want := component.Resource{Kind: component.DirKind, Token: token, Attrs: map[string]string{"path": d.path}}
	d.lease, err = journal.Acquire(ctx, want, func(context.Context, component.Resource) (string, error) {
		return d.path, os.MkdirAll(d.Dir(), 0o700)
	})
	if err != nil {
		return nil, fmt.Errorf("step cache: %w", err)
	}
	return d, nil
}

// Dir is the folder for the files of the checkpoint.
func (d *Draft) Dir() string { return filepath.Join(d.path, dataFolder) }

// Discard removes the draft.
func (d *Draft) Discard(ctx context.Context) error { return d.lease.Release(ctx) }

// Publish puts the checkpoint into the store and keeps its leases. It reports
// false when the store has the checkpoint already; the draft and the leases are
// then still held.
func (d *Draft) Publish(ctx context.Context, e Entry, leases []component.Lease) (bool, error) {
	s := d.store
	e.Format, e.Created = Format, s.Clock.Now().UTC()
	for _, l := range leases {
		e.Resources = append(e.Resources, l.Resource())
	}
	if err := e.measure(d.Dir()); err != nil {
		return false, fmt.Errorf("step cache: %w", err)
	}
	if err := d.write(e); err != nil {
		return false, fmt.Errorf("step cache: %w", err)
	}
	taken, err := s.rename(ctx, d.path, e.Chain.Key())
	if err != nil || taken {
		return false, err
	}
	// The leases are kept only now: when the process is killed before, their
	// removal leaves an entry without them, which is not used.
	errs := []error{}
	for _, l := range append([]component.Lease{d.lease}, leases...) {
		errs = append(errs, l.Keep(ctx))
	}
	return true, errors.Join(errs...)
}

func (e *Entry) measure(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if e.Files == nil {
			e.Files = map[string]int64{}
		}
		e.Files[filepath.ToSlash(name)] = info.Size()
		e.Size += info.Size()
		return nil
	})
}

// write writes the lock and, last, what is known of the checkpoint.
func (d *Draft) write(e Entry) error {
	if err := os.WriteFile(filepath.Join(d.path, lockFile), nil, 0o600); err != nil {
		return err
	}
	data, err := json.MarshalIndent(e, "", " ")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(d.path, metaFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	return errors.Join(err, f.Sync(), f.Close())
}

// rename gives a draft its name. Taken says that there is an entry of that name,
// which can be used; one that cannot is removed.
func (s *Store) rename(ctx context.Context, draft, key string) (taken bool, err error) {
	for range 3 {
		if err = os.Rename(draft, s.path(key)); err == nil {
			return false, nil
		}
		e, readErr := s.read(key)
		if readErr == nil && e.check() == "" {
			return true, nil
		}
		if _, statErr := os.Stat(e.Path); statErr != nil {
			break // that was not what stood in the way
		}
		if dropErr := s.Drop(ctx, e); dropErr != nil {
			return true, nil // somebody is at it; ours is not needed
		}
	}
	return false, fmt.Errorf("step cache: %w", err)
}
