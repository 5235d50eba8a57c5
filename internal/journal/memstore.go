package journal

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"sort"
	"sync"
)

// MemStore keeps journals in memory: for tests and for commands that make
// nothing. The zero value is ready.
type MemStore struct {
	mu   sync.Mutex
	runs map[string]*memRun // guarded by mu
}

type memRun struct {
	buf    bytes.Buffer
	locked bool
}

var _ Store = (*MemStore)(nil)

// Create implements Store.
func (s *MemStore) Create(_ context.Context, info RunInfo) (Log, error) {
	s.mu.Lock()
	if s.runs == nil {
		s.runs = map[string]*memRun{}
	}
	if s.runs[info.ID] != nil {
		s.mu.Unlock()
		return nil, fmt.Errorf("journal: run %s: %w", info.ID, fs.ErrExist)
	}
	s.runs[info.ID] = &memRun{locked: true}
	s.mu.Unlock()
	l := &memLog{store: s, id: info.ID}
	info.Format = Format
	return l, l.Append(Record{Type: Started, Time: info.Started, Run: &info})
}

// List implements Store.
func (s *MemStore) List(context.Context) ([]State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []State
	for id, r := range s.runs {
		st := replay(bytes.NewReader(r.buf.Bytes()))
		st.Alive, st.Run.ID = r.locked, id
		out = append(out, st)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Run.Started.Before(out[j].Run.Started) })
	return out, nil
}

// Adopt implements Store.
func (s *MemStore) Adopt(_ context.Context, id string) (Log, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.runs[id]
	switch {
	case r == nil:
		return nil, fmt.Errorf("journal: run %s: %w", id, ErrNotFound)
	case r.locked:
		return nil, fmt.Errorf("journal: run %s: %w", id, ErrAlive)
	}
	r.locked = true
	return &memLog{store: s, id: id}, nil
}

// Remove implements Store.
func (s *MemStore) Remove(_ context.Context, log Log) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.runs, log.RunID())
	return nil
}

type memLog struct {
	store  *MemStore
	id     string
	closed bool // guarded by store.mu
}

func (l *memLog) RunID() string { return l.id }

func (l *memLog) Append(r Record) error {
	line, err := encode(r)
	if err != nil {
		return err
	}
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	run := l.store.runs[l.id]
	if l.closed || run == nil {
		return fmt.Errorf("journal: run %s: %w", l.id, fs.ErrClosed)
	}
	run.buf.Write(line)
	return nil
}

func (l *memLog) State() (State, error) {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	run := l.store.runs[l.id]
	if run == nil {
		return State{}, fmt.Errorf("journal: run %s: %w", l.id, ErrNotFound)
	}
	return replay(bytes.NewReader(run.buf.Bytes())), nil
}

func (l *memLog) Close() error {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	if run := l.store.runs[l.id]; run != nil && !l.closed {
		run.locked = false
	}
	l.closed = true
	return nil
}
