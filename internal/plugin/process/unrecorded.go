package process

import (
	"context"
	"sync"

	"github.com/google/uuid"

	"ingot/internal/component"
	"ingot/internal/reap"
)

// unrecorded stands for the journal where there is none, as while a template is
// checked: what it acquires is removed by whoever acquired it.
type unrecorded struct{}

func (unrecorded) Acquire(ctx context.Context, want component.Resource, create func(context.Context, component.Resource) (string, error)) (component.Lease, error) {
	want.Token = "ingot-" + uuid.NewString()
	if want.Attrs == nil {
		want.Attrs = map[string]string{}
	}
	id, err := create(ctx, want)
	if err != nil {
		return nil, err
	}
	want.ID = id
	return &unrecordedLease{res: want}, nil
}

type unrecordedLease struct {
	mu  sync.Mutex
	res component.Resource
	end bool // guarded by mu
}

func (l *unrecordedLease) Resource() component.Resource { return l.res }

// Release ends the process with all that carries its token.
func (l *unrecordedLease) Release(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.end {
		return nil
	}
	err := reap.Processes{}.Reap(ctx, l.res)
	l.end = err == nil
	return err
}

func (l *unrecordedLease) Keep(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end = true
	return nil
}
