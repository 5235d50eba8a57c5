package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	"ingot/internal/component"
	"ingot/internal/failpoint"
	"ingot/internal/journal/disk"
)

const (
	logName  = "journal.jsonl"
	lockName = "lock"
)

// FileStore keeps each run's journal in a folder of its own below Dir:
// DIR/RUN/journal.jsonl, and DIR/RUN/lock which the owner holds locked. The
// system frees the lock when the process ends, however it ends.
type FileStore struct {
	Dir string
	// Disk is how the journals are written; nil is the disk of the system.
	Disk disk.Disk
}

// disk is the disk that the store writes to.
func (s FileStore) disk() disk.Disk {
	if s.Disk != nil {
		return s.Disk
	}
	return systemDisk()
}

var (
	_ Store   = FileStore{}
	_ Sweeper = FileStore{}
)

// Create implements Store.
func (s FileStore) Create(_ context.Context, info RunInfo) (Log, error) {
	on := s.disk()
	if err := makeDirs(on, s.Dir); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	dir := filepath.Join(s.Dir, info.ID)
	l, err := makeLog(on, dir, info.ID)
	if err != nil {
		return nil, err
	}
	info.Format = Format
	if err := l.Append(Record{Type: Started, Time: info.Started, Run: &info}); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	for _, d := range []string{dir, s.Dir} {
		if err := on.SyncDir(d); err != nil {
			return nil, errors.Join(fmt.Errorf("journal: sync %s: %w", d, err), l.Close())
		}
	}
	return l, nil
}

// makeDirs makes a folder and those above it, and makes their names survive a
// power cut: else a first run could lose its journal with the folder above it.
func makeDirs(on disk.Disk, dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	above := filepath.Dir(dir)
	if above != dir {
		if err := makeDirs(on, above); err != nil {
			return err
		}
	}
	if err := on.Mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return on.SyncDir(above)
}

// makeLog makes the folder of a run and opens its log. A Sweep at the same
// moment may take the folder for abandoned until it is locked; then it is made
// again.
func makeLog(on disk.Disk, dir, id string) (*fileLog, error) {
	const attempts = 100
	for n := 1; ; n++ {
		if err := on.Mkdir(dir); err != nil && (n == 1 || !errors.Is(err, fs.ErrExist)) {
			return nil, fmt.Errorf("journal: %w", err)
		}
		if err := failpoint.Reached(failpoint.JournalCreate); err != nil {
			return nil, fmt.Errorf("journal: %w", err)
		}
		l, err := openLog(on, dir, id)
		swept := errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrAlive)
		if !swept || n == attempts {
			return l, err
		}
	}
}

// List implements Store.
func (s FileStore) List(context.Context) ([]State, error) {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	var out []State
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		st, err := readState(filepath.Join(s.Dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // being created or removed at this moment
		}
		if err != nil {
			st.Damage = err.Error()
		}
		st.Run.ID = e.Name()
		out = append(out, st)
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Run.Started.Before(out[j].Run.Started) })
	return out, nil
}

// Alive reports whether a process holds the run. A run that is not there is not
// alive.
func (s FileStore) Alive(id string) bool {
	if id == "" || id != filepath.Base(id) || strings.HasPrefix(id, ".") {
		return false
	}
	alive, err := isLocked(filepath.Join(s.Dir, id, lockName))
	return alive && err == nil
}

// Adopt implements Store.
func (s FileStore) Adopt(ctx context.Context, id string) (Log, error) {
	if id == "" || id != filepath.Base(id) || strings.HasPrefix(id, ".") {
		return nil, fmt.Errorf("journal: run %q: %w", id, ErrNotFound)
	}
	dir := filepath.Join(s.Dir, id)
	if _, err := os.Stat(filepath.Join(dir, logName)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("journal: run %s: %w", id, ErrNotFound)
		}
		return nil, fmt.Errorf("journal: %w", err)
	}
	// Somebody who lists runs holds each lock for a moment to see whether it
	// is free. Only a lock that stays taken means a run that is alive.
	var clock component.SystemClock
	for try := 0; ; try++ {
		l, err := openLog(s.disk(), dir, id)
		if err == nil {
			return l, nil
		}
		if !errors.Is(err, ErrAlive) || try == adoptTries {
			return nil, err
		}
		if err := clock.Sleep(ctx, 2*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// adoptTries is how often Adopt looks again at a lock that is taken.
const adoptTries = 20

// Remove implements Store.
func (s FileStore) Remove(_ context.Context, log Log) error {
	on := s.disk()
	dir := filepath.Join(s.Dir, log.RunID())
	// Windows removes no file that is open.
	open, isFile := log.(*fileLog)
	if isFile {
		if err := open.closeFile(); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	// The journal goes first, under the lock: a folder without one is no
	// longer a run to anybody who looks at this moment.
	if err := on.Remove(filepath.Join(dir, logName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("journal: %w", err)
	}
	if err := failpoint.Reached(failpoint.JournalRemove); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if isFile {
		if err := open.Close(); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	if err := on.RemoveAll(dir); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// Sweep implements Sweeper: it removes folders without a journal.
func (s FileStore) Sweep(context.Context) error {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			errs = append(errs, sweepDir(s.disk(), filepath.Join(s.Dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}

func sweepDir(on disk.Disk, dir string) error {
	if _, err := os.Stat(filepath.Join(dir, logName)); !errors.Is(err, fs.ErrNotExist) {
		return nil // there is a journal, or something that is not ours to judge
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return removeEmpty(on, dir)
	}
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	defer lock.Close()
	// Whoever makes or removes a journal holds the lock while there is none.
	if err := tryLock(lock); err != nil {
		if errors.Is(err, errLocked) {
			return nil
		}
		return fmt.Errorf("journal: lock %s: %w", dir, err)
	}
	if _, err := os.Stat(filepath.Join(dir, logName)); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := on.Remove(lock.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("journal: %w", err)
	}
	return removeEmpty(on, dir)
}

// removeEmpty removes a folder unless something is in it: that is not ours, or
// a run that begins.
func removeEmpty(on disk.Disk, dir string) error {
	err := on.Remove(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

func readState(dir string) (State, error) {
	f, err := os.Open(filepath.Join(dir, logName))
	if err != nil {
		return State{}, err
	}
	defer f.Close()
	st := replay(f)
	st.Alive, err = isLocked(filepath.Join(dir, lockName))
	return st, err
}

type fileLog struct {
	id, dir string
	lock    *os.File
	file    disk.File

	mu      sync.Mutex // guards what follows; held for a write
	written int64
	broken  error
	// shut: no more records; closed: the lock is given up as well.
	shut, closed bool

	syncMu sync.Mutex // held for an fsync; guards synced
	synced int64
}

func openLog(on disk.Disk, dir, id string) (*fileLog, error) {
	lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if err := tryLock(lock); err != nil {
		lock.Close()
		if errors.Is(err, errLocked) {
			return nil, fmt.Errorf("journal: run %s: %w", id, ErrAlive)
		}
		return nil, fmt.Errorf("journal: lock run %s: %w", id, err)
	}
	file, err := on.Open(filepath.Join(dir, logName))
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("journal: %w", err)
	}
	l := &fileLog{id: id, dir: dir, lock: lock, file: file}
	if err := l.cutTornLine(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// cutTornLine removes a record that a crash cut short: its Append never
// returned, so nothing relies on it, and what is appended now must start a
// line of its own.
func (l *fileLog) cutTornLine() error {
	data, err := io.ReadAll(l.file)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	l.written = int64(bytes.LastIndexByte(data, '\n') + 1)
	if l.written == int64(len(data)) {
		return nil
	}
	if err := l.file.Truncate(l.written); err != nil {
		return fmt.Errorf("journal: cut torn record of %s: %w", l.file.Name(), err)
	}
	return nil
}

func (l *fileLog) RunID() string { return l.id }

func (l *fileLog) Append(r Record) error {
	line, err := encode(r)
	if err != nil {
		return err
	}
	if err := failpoint.Reached(failpoint.JournalBefore); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	l.mu.Lock()
	if l.broken != nil {
		defer l.mu.Unlock()
		return l.broken
	}
	n, err := l.file.Write(line)
	l.written += int64(n)
	end := l.written
	if err != nil {
		l.broken = fmt.Errorf("journal: write %s: %w", l.file.Name(), err)
		defer l.mu.Unlock()
		return l.broken
	}
	l.mu.Unlock()
	if err := l.syncTo(end); err != nil {
		return err
	}
	return failpoint.Reached(failpoint.JournalAfter)
}

// syncTo returns when the first end bytes are on disk. Callers that wait for
// one fsync share the next.
func (l *fileLog) syncTo(end int64) error {
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	if l.synced >= end {
		return nil
	}
	l.mu.Lock()
	upTo, broken := l.written, l.broken
	l.mu.Unlock()
	if broken != nil {
		return broken
	}
	err := failpoint.Reached(failpoint.JournalSync)
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		l.mu.Lock()
		l.broken = fmt.Errorf("journal: sync %s: %w", l.file.Name(), err)
		err = l.broken
		l.mu.Unlock()
		return err
	}
	l.synced = upTo
	return nil
}

func (l *fileLog) State() (State, error) {
	f, err := os.Open(l.file.Name())
	if err != nil {
		return State{}, fmt.Errorf("journal: %w", err)
	}
	defer f.Close()
	st := replay(f)
	if st.Run.ID == "" {
		st.Run.ID = l.id
	}
	return st, nil
}

func (l *fileLog) Close() error {
	err := l.closeFile()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return err
	}
	l.closed = true
	return errors.Join(err, l.lock.Close())
}

// closeFile ends the writing but keeps the lock.
func (l *fileLog) closeFile() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shut {
		return nil
	}
	l.shut = true
	l.broken = fmt.Errorf("journal: run %s: %w", l.id, fs.ErrClosed)
	return l.file.Close()
}
