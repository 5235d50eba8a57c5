package stepcache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"ingot/internal/component"
)

// The store, below the cache folder:
//
//	steps/KEY/meta.json   what is known of a checkpoint: Entry
//	steps/KEY/lock        shared by those who use it, held alone by who removes
//	                      it; its time says when it was used last
//	steps/KEY/data/       the checkpoint's files
//	steps/.new-TOKEN/     one that is being saved
//	steps/.old-KEY-TIME/  one that is being removed
//	steps/.want-KEY       the next build is to save it
//
// An entry gets its name by renaming, when all of it is there. Without its
// meta.json a folder is no entry; it goes first when one is removed.
const (
	folder     = "steps"
	metaFile   = "meta.json"
	lockFile   = "lock"
	dataFolder = "data"
	newPrefix  = ".new-"
	oldPrefix  = ".old-"
	wantPrefix = ".want-"
)

// ErrInUse means that a checkpoint stays because a build uses it.
var ErrInUse = errors.New("a build is using it")

// Remover removes what a checkpoint consists of outside the store. It is what the
// journal's reapers are.
type Remover func(ctx context.Context, r component.Resource) error

// Store keeps checkpoints. Several processes may use one at the same time.
type Store struct {
	// Dir is the cache folder.
	Dir string
	// From are cache folders of others, in which nothing is changed: what is not in
	// Dir is looked for there.
	From []string
	// Limit is how large it may grow, in bytes; 0 is no limit.
	Limit int64
	// Remove removes the resources of checkpoints.
	Remove Remover
	Clock  component.Clock
}

// Entry is what is known of a checkpoint.
type Entry struct {
	Format int `json:"format"`
	// Build is the name of the build that has saved it, and Builder its type.
	Build   string    `json:"build"`
	Builder string    `json:"builder"`
	Created time.Time `json:"created"`
	// Size is what it takes up, in bytes.
	Size int64 `json:"size"`
	// Took is how long it took to save it.
	Took  time.Duration `json:"took,omitempty"`
	Chain Chain         `json:"chain"`
	// Times are when the links of the chain were made, in order.
	Times []time.Time `json:"times"`
	// Base is the key of the entry that it stands on; empty when there is none.
	Base      string               `json:"base,omitempty"`
	Data      map[string]string    `json:"data,omitempty"`
	Resources []component.Resource `json:"resources,omitempty"`
	// Files are the sizes of the files by their path below the data folder.
	Files map[string]int64 `json:"files,omitempty"`

	// Used is when it was used last, and Path its folder; Damage says what is
	// wrong with it, "" when nothing is. They are not in the file.
	Used   time.Time `json:"-"`
	Path   string    `json:"-"`
	Damage string    `json:"-"`
}

// Key is the key of the checkpoint.
func (e Entry) Key() string { return filepath.Base(e.Path) }

// Step is what users call the step after which it was saved: "shell (3)".
func (e Entry) Step() string {
	if len(e.Chain) < 2 {
		return ""
	}
	return fmt.Sprintf("%s (%d)", e.Chain[len(e.Chain)-1].What, len(e.Chain)-1)
}

func (s *Store) root() string           { return filepath.Join(s.Dir, folder) }
func (s *Store) path(key string) string { return filepath.Join(s.root(), key) }

// read reads an entry; fs.ErrNotExist when there is none.
func (s *Store) read(key string) (Entry, error) { return readEntry(s.path(key)) }

// readEntry reads the entry in a folder.
func readEntry(path string) (Entry, error) {
	key := filepath.Base(path)
	data, err := os.ReadFile(filepath.Join(path, metaFile))
	if err != nil {
		return Entry{Path: path}, err
	}
	e := Entry{}
	err = json.Unmarshal(data, &e)
	e.Path = path
	switch {
	case err != nil:
		return e, fmt.Errorf("step cache: %s cannot be read: %w", filepath.Join(path, metaFile), err)
	case e.Format != Format:
		return e, fmt.Errorf("step cache: %s is of another version of Ingot (format %d)", path, e.Format)
	case len(e.Chain) == 0 || e.Chain.Key() != key || len(e.Times) != len(e.Chain), e.Base != "" && e.Base != filepath.Base(e.Base):
		return e, fmt.Errorf("step cache: %s is not the entry that its name says", path)
	}
	if info, err := os.Stat(filepath.Join(path, lockFile)); err == nil {
		e.Used = info.ModTime()
	}
	return e, nil
}

// List returns what is in the store, what was used last first. An entry that
// cannot be read is listed with its damage.
func (s *Store) List() ([]Entry, error) {
	names, err := os.ReadDir(s.root())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("step cache: %w", err)
	}
	var out []Entry
	for _, n := range names {
		if !n.IsDir() || strings.HasPrefix(n.Name(), ".") {
			continue
		}
		e, err := s.read(n.Name())
		if errors.Is(err, fs.ErrNotExist) {
			if _, statErr := os.Stat(e.Path); statErr != nil {
				continue // it was removed just now
			}
			err = errors.New("its removal was not finished")
		}
		if err != nil {
			e.Damage = err.Error()
			if info, err := n.Info(); err == nil {
				e.Used = info.ModTime()
			}
			e.Size, _ = treeSize(e.Path)
		}
		out = append(out, e)
	}
	slices.SortStableFunc(out, func(a, b Entry) int {
		if c := b.Used.Compare(a.Used); c != 0 {
			return c
		}
		return len(b.Chain) - len(a.Chain) // what stands on another goes first
	})
	return out, nil
}

// ListAll is List with what is in the folders of others, as far as it can be read.
func (s *Store) ListAll() ([]Entry, error) {
	out, err := s.List()
	for _, dir := range s.From {
		if others, err := (&Store{Dir: dir, Clock: s.Clock}).List(); err == nil {
			out = append(out, others...)
		}
	}
	return out, err
}

// Held is a checkpoint that is in use: nobody removes it before Close.
type Held struct {
	Entry
	Checkpoint component.Checkpoint
	locks      []*flock.Flock
}

// Close gives the checkpoint up.
func (h *Held) Close() error {
	var errs []error
	for _, l := range h.locks {
		errs = append(errs, l.Close())
	}
	h.locks = nil
	return errors.Join(errs...)
}

// Open takes a checkpoint into use, with those that it stands on. It returns nil
// when there is none that can be used.
func (s *Store) Open(key string) (*Held, error) {
	h := &Held{}
	c, e, err := s.open(h, key, 0)
	if c == nil {
		return nil, errors.Join(err, h.Close())
	}
	h.Entry, h.Checkpoint = e, *c
	return h, nil
}

// deepest bounds how many checkpoints may stand on one another.
const deepest = 1000

func (s *Store) open(h *Held, key string, depth int) (*component.Checkpoint, Entry, error) {
	none := Entry{}
	if depth > deepest {
		return nil, none, nil
	}
	for i, dir := range append([]string{s.Dir}, s.From...) {
		c, e, err := s.openIn(h, filepath.Join(dir, folder), i == 0, key, depth)
		if c != nil || err != nil {
			return c, e, err
		}
	}
	return nil, none, nil
}

// Owns reports whether an entry is in this store, not in another folder.
func (s *Store) Owns(e Entry) bool { return filepath.Dir(e.Path) == s.root() }

// openIn opens an entry below a root. That of another store is only read.
func (s *Store) openIn(h *Held, root string, own bool, key string, depth int) (*component.Checkpoint, Entry, error) {
	none := Entry{}
	path, mode := filepath.Join(root, key), os.O_RDWR
	if !own {
		mode = os.O_RDONLY
	}
	l := flock.New(filepath.Join(path, lockFile), flock.SetFlag(mode))
	ok, err := l.TryRLock()
	if errors.Is(err, fs.ErrNotExist) || err == nil && !ok {
		return nil, none, l.Close() // there is none, or it is being removed
	}
	if err != nil && !own {
		return nil, none, l.Close() // it may not be for us
	}
	if err != nil {
		return nil, none, errors.Join(fmt.Errorf("step cache: lock %s: %w", path, err), l.Close())
	}
	h.locks = append(h.locks, l)
	e, err := readEntry(path)
	if err != nil || e.check() != "" {
		return nil, none, nil // damaged: `ingot cache verify` says how
	}
	c := &component.Checkpoint{Key: key, Dir: filepath.Join(path, dataFolder), Data: maps.Clone(e.Data), Resources: e.Resources}
	if e.Base != "" {
		if c.Base, _, err = s.open(h, e.Base, depth+1); c.Base == nil {
			return nil, none, err
		}
	}
	if !own {
		return c, e, nil
	}
	now := s.Clock.Now()
	_ = os.Chtimes(l.Path(), now, now) // a cache that cannot be written to can be used
	return c, e, nil
}

// check compares the files with what was saved.
func (e Entry) check() string {
	for name, size := range e.Files {
		info, err := os.Lstat(filepath.Join(e.Path, dataFolder, filepath.FromSlash(name)))
		switch {
		case err != nil:
			return err.Error()
		case !info.Mode().IsRegular() || info.Size() != size:
			return fmt.Sprintf("the file %s is not as it was saved", name)
		}
	}
	return ""
}

// Verify says what is wrong with an entry of the list, "" when nothing is.
func (s *Store) Verify(e Entry) string {
	if e.Damage != "" {
		return e.Damage
	}
	if wrong := e.check(); wrong != "" {
		return wrong
	}
	if e.Base != "" {
		if _, err := s.read(e.Base); err != nil {
			return "what it stands on is gone: " + short(e.Base)
		}
	}
	return ""
}

// Checkpoint is what builders know of an entry.
func (e Entry) Checkpoint() component.Checkpoint {
	return component.Checkpoint{Key: e.Key(), Dir: filepath.Join(e.Path, dataFolder), Data: maps.Clone(e.Data), Resources: e.Resources}
}

func short(key string) string { return key[:min(12, len(key))] }

// Drop removes an entry. It fails with ErrInUse when a build uses it; gone is
// success.
func (s *Store) Drop(ctx context.Context, e Entry) error {
	if !s.Owns(e) {
		return fmt.Errorf("step cache: %s is not in this store", e.Path)
	}
	// A folder that a removal has begun with may have no lock any more.
	l := flock.New(filepath.Join(e.Path, lockFile))
	ok, err := l.TryLock()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return errors.Join(fmt.Errorf("step cache: lock %s: %w", e.Path, err), l.Close())
	}
	if !ok {
		return errors.Join(fmt.Errorf("%s: %w", short(e.Key()), ErrInUse), l.Close())
	}
	now, err := s.read(e.Key())
	if err == nil {
		e = now
	}
	for _, r := range e.Resources {
		if err := s.Remove(ctx, r); err != nil {
			return errors.Join(err, l.Close())
		}
	}
	err = os.Remove(filepath.Join(e.Path, metaFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, l.Close())
	}
	// Under its name there can soon be a new entry.
	old := filepath.Join(s.root(), oldPrefix+filepath.Base(e.Path)+"-"+strconv.FormatInt(s.Clock.Now().UnixNano(), 36))
	if os.Rename(e.Path, old) != nil {
		old = e.Path // a file in it that is open can be in the way
	}
	return errors.Join(l.Close(), os.RemoveAll(old))
}

// Shrink removes what was used least recently until the store is within its
// limit. What is in use stays. An error about one entry does not keep others.
func (s *Store) Shrink(ctx context.Context) error {
	s.sweep()
	if s.Limit <= 0 {
		return nil
	}
	entries, err := s.List()
	if err != nil {
		return err
	}
	var total int64
	needed := map[string]int{}
	for _, e := range entries {
		total += e.Size
		needed[e.Base]++
	}
	var errs []error
	for total > s.Limit {
		i := len(entries) - 1
		for i >= 0 && needed[entries[i].Key()] > 0 {
			i-- // what stands on it goes first
		}
		if i < 0 {
			break
		}
		e := entries[i]
		entries = slices.Delete(entries, i, i+1)
		switch err := s.Drop(ctx, e); {
		case err == nil:
			total -= e.Size
			needed[e.Base]--
		case !errors.Is(err, ErrInUse):
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// abandoned is how old a draft is that no build is at work on any more, and how
// long one is wanted that none has made.
const abandoned = 24 * time.Hour

// Want notes that a checkpoint would have been of use.
func (s *Store) Want(key string) error {
	if err := os.MkdirAll(s.root(), 0o700); err != nil {
		return fmt.Errorf("step cache: %w", err)
	}
	if err := os.WriteFile(filepath.Join(s.root(), wantPrefix+key), nil, 0o600); err != nil {
		return fmt.Errorf("step cache: %w", err)
	}
	return nil
}

// Wanted reports whether a checkpoint would have been of use lately.
func (s *Store) Wanted(key string) bool {
	_, err := os.Stat(filepath.Join(s.root(), wantPrefix+key))
	return err == nil
}

// sweep removes what processes that were killed have left, as far as no journal
// knows of it.
func (s *Store) sweep() {
	s.sweepChains()
	names, err := os.ReadDir(s.root())
	if err != nil {
		return // there is no store yet, or the next one who uses it says what is wrong
	}
	for _, n := range names {
		info, err := n.Info()
		if err != nil {
			continue
		}
		old := strings.HasPrefix(n.Name(), oldPrefix)
		if key, ok := strings.CutPrefix(n.Name(), wantPrefix); ok {
			_, err := os.Lstat(s.path(key))
			old = err == nil // somebody has made it
		}
		temporary := strings.HasPrefix(n.Name(), newPrefix) || strings.HasPrefix(n.Name(), wantPrefix)
		if old || temporary && s.Clock.Now().Sub(info.ModTime()) > abandoned {
			_ = os.RemoveAll(filepath.Join(s.root(), n.Name())) // else the next one does
		}
	}
}

// treeSize is the size of all files below a folder.
func treeSize(dir string) (int64, error) {
	var total int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	return total, err
}
