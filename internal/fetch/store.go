package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"ingot/internal/component"
)

// The cache, below the cache folder:
//
//	downloads/KEY.EXT        a complete file
//	downloads/KEY.EXT.part   what has arrived of one
//	downloads/index/KEY.EXT.json  what is known of it: record
//	downloads/locks/KEY      held while the file is looked for and made
//	downloads/locks/KEY.use  shared by the builds that use the file; who
//	                         removes the file holds both alone
//
// KEY is ALGORITHM-SUM, or url-HASH of a URL and the validator that the server
// gave. A file gets its name by renaming when it is complete, on disk and
// verified; its record holds the size and time that it had then.

const cacheFolder = "downloads"

// record is what is known of a complete or unfinished file.
type record struct {
	URL      string `json:"url"`
	Checksum string `json:"checksum,omitempty"`
	// Validator is the version that the server named, when there is no checksum.
	Validator string    `json:"validator,omitempty"`
	File      string    `json:"file"`
	Size      int64     `json:"size"`
	Modified  time.Time `json:"modified"`
	Fetched   time.Time `json:"fetched"`
	Used      time.Time `json:"used"`
}

// partial is what is known of an unfinished file.
type partial struct {
	URL       string `json:"url"`
	Validator string `json:"validator"`
}

type store struct{ root string }

func newStore(cacheDir string) store { return store{filepath.Join(cacheDir, cacheFolder)} }

// slot is the place of one file.
type slot struct {
	store
	key string
	// path is where the complete file is or will be.
	path string
}

func (s store) slot(key, ext string) slot { return slot{s, key, filepath.Join(s.root, key+ext)} }

func (s slot) part() string  { return s.path + ".part" }
func (s slot) notes() string { return s.path + ".part.json" }
func (s slot) record() string {
	return filepath.Join(s.root, "index", s.indexName()+".json")
}

// indexName tells apart the same content under several extensions. In the cache it
// is the name of the file, which may have several dots.
func (s slot) indexName() string {
	if name := filepath.Base(s.path); strings.HasPrefix(name, s.key) {
		return name
	}
	return s.key + filepath.Ext(s.path)
}

func hashKey(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// lockFile is the lock of the slot, and useLock that of its users.
func (s slot) lockFile() *flock.Flock {
	return flock.New(filepath.Join(s.root, "locks", s.indexName()))
}

func (s slot) useLock() *flock.Flock {
	return flock.New(filepath.Join(s.root, "locks", s.indexName()+".use"))
}

// lock waits until nobody else is at the slot.
func (s slot) lock(ctx context.Context, r component.Run, what string) (*flock.Flock, error) {
	if err := os.MkdirAll(filepath.Join(s.root, "locks"), 0o755); err != nil {
		return nil, fmt.Errorf("download cache: %w", err)
	}
	l := s.lockFile()
	begin, told := r.Clock.Now(), time.Duration(0)
	for delay := 5 * time.Millisecond; ; delay = min(2*delay, 250*time.Millisecond) {
		ok, err := l.TryLock()
		if err != nil {
			return nil, fmt.Errorf("download cache: lock %s: %w", s.indexName(), err)
		}
		if ok {
			return l, nil
		}
		if waited := r.Clock.Now().Sub(begin); waited-told >= 2*time.Second {
			told = waited
			r.Emit(component.Waiting{For: "download of " + what, Detail: "another build is fetching it", Elapsed: waited})
		}
		if err := r.Clock.Sleep(ctx, delay); err != nil {
			return nil, errors.Join(fmt.Errorf("wait for the download of %s by another build: %w", what, err), l.Close())
		}
	}
}

// trusted reports whether the complete file is there as it was when it was
// verified.
func (s slot) trusted(want checksum, validator string) bool {
	var rec record
	if !readJSON(s.record(), &rec) || rec.File != s.path || want.algorithm != "" && rec.Checksum != want.String() {
		return false
	}
	if want.algorithm == "" && rec.Validator != validator {
		return false
	}
	info, err := os.Stat(s.path)
	return err == nil && info.Mode().IsRegular() && info.Size() == rec.Size && info.ModTime().Equal(rec.Modified)
}

// adopt verifies a file that is there although the record does not vouch for it:
// it was touched, or the user has put it there.
func (s slot) adopt(ctx context.Context, r component.Run, want checksum, url string) bool {
	if want.algorithm == "" {
		return false
	}
	if err := verifyFile(ctx, s.path, want); err != nil {
		return false
	}
	return s.note(record{URL: url, Checksum: want.String()}, r.Clock.Now()) == nil
}

// note writes the record of a file that is complete.
func (s slot) note(rec record, now time.Time) error {
	info, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	rec.File, rec.Size, rec.Modified, rec.Fetched, rec.Used = s.path, info.Size(), info.ModTime(), now, now
	return writeJSON(s.record(), rec)
}

// used remembers that the file was used. That is for pruning alone, so that a
// cache which cannot be written to is no reason to fail.
func (s slot) used(now time.Time) {
	var rec record
	if readJSON(s.record(), &rec) {
		rec.Used = now
		_ = writeJSON(s.record(), rec)
	}
}

// forget removes what has arrived.
func (s slot) forget() error { return errors.Join(remove(s.part()), remove(s.notes())) }

// finish puts the complete file in its place.
func (s slot) finish(rec record, now time.Time) error {
	if err := os.Rename(s.part(), s.path); err != nil {
		return err
	}
	return errors.Join(remove(s.notes()), s.note(rec, now))
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// verifyFile reads the whole file.
func verifyFile(ctx context.Context, path string, want checksum) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := want.hash()
	if _, err := io.Copy(h, stoppable{ctx, f}); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return want.verify(h)
}

// stoppable is a reader that fails once ctx has ended.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s stoppable) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	return s.r.Read(p)
}

// readJSON reports whether the file is there and could be read.
func readJSON(path string, into any) bool {
	data, err := os.ReadFile(path)
	return err == nil && json.Unmarshal(data, into) == nil
}

// writeJSON replaces the file as a whole.
func writeJSON(path string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, remove(f.Name()))
	}
	return nil
}
