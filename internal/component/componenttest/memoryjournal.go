package componenttest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"sync"

	"ingot/internal/component"
)

// MemoryJournal is a Recorder without a disk. It removes files and folders
// when their lease is released; for other kinds set Reap.
type MemoryJournal struct {
	// Reap removes resources that are neither files nor folders; nil does
	// nothing.
	Reap func(context.Context, component.Resource) error

	mu     sync.Mutex
	leases []*memoryLease // guarded by mu
}

var _ component.Recorder = (*MemoryJournal)(nil)

type memoryLease struct {
	journal *MemoryJournal
	res     component.Resource
	// ended is "", "released" or "kept"; guarded by journal.mu.
	ended string
}

// Acquire implements component.Recorder.
func (j *MemoryJournal) Acquire(ctx context.Context, want component.Resource, create func(context.Context, component.Resource) (string, error)) (component.Lease, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if want.Token == "" {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails
		want.Token = "ingot-" + hex.EncodeToString(b[:])
	}
	attrs := map[string]string{}
	for k, v := range want.Attrs {
		attrs[k] = v
	}
	want.Attrs, want.ID = attrs, ""
	id, err := create(ctx, want)
	want.ID = id
	l := &memoryLease{journal: j, res: want}
	if err != nil {
		return nil, errors.Join(err, j.remove(context.WithoutCancel(ctx), want))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.leases = append(j.leases, l)
	return l, nil
}

func (j *MemoryJournal) remove(ctx context.Context, r component.Resource) error {
	path := r.ID
	if path == "" {
		path = r.Attrs["path"]
	}
	switch {
	case r.Kind == component.FileKind && path != "":
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			return err
		}
		return nil
	case r.Kind == component.DirKind && path != "":
		return os.RemoveAll(path)
	case j.Reap != nil:
		return j.Reap(ctx, r)
	}
	return nil
}

func (j *MemoryJournal) ended(state string) []component.Resource {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []component.Resource
	for _, l := range j.leases {
		if l.ended == state {
			out = append(out, l.res)
		}
	}
	return out
}

// Open are the resources that are neither released nor kept, oldest first.
func (j *MemoryJournal) Open() []component.Resource { return j.ended("") }

// Kept are the resources that were kept.
func (j *MemoryJournal) Kept() []component.Resource { return j.ended("kept") }

// Released are the resources that were released.
func (j *MemoryJournal) Released() []component.Resource { return j.ended("released") }

// ReleaseAll releases what is open, newest first, as the engine does at the
// end of a build.
func (j *MemoryJournal) ReleaseAll(ctx context.Context) error {
	j.mu.Lock()
	leases := append([]*memoryLease(nil), j.leases...)
	j.mu.Unlock()
	var errs []error
	for i := len(leases) - 1; i >= 0; i-- {
		errs = append(errs, leases[i].Release(ctx))
	}
	return errors.Join(errs...)
}

func (l *memoryLease) Resource() component.Resource { return l.res }

func (l *memoryLease) end(state string) bool {
	l.journal.mu.Lock()
	defer l.journal.mu.Unlock()
	if l.ended != "" {
		return false
	}
	l.ended = state
	return true
}

func (l *memoryLease) Release(ctx context.Context) error {
	if !l.end("released") {
		return nil
	}
	return l.journal.remove(ctx, l.res)
}

func (l *memoryLease) Keep(context.Context) error {
	l.end("kept")
	return nil
}
