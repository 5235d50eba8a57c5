package journal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/oklog/ulid/v2"

	"ingot/internal/component"
	"ingot/internal/failpoint"
)

// Reapers finds the Reaper of a resource kind.
type Reapers map[string]component.Reaper

// NewReapers makes the table of what the reapers say they remove. Two
// reapers of one kind are a programming mistake and panic.
func NewReapers(all ...component.Reaper) Reapers {
	t := Reapers{}
	for _, r := range all {
		for _, kind := range r.Kinds() {
			if t[kind] != nil {
				panic("journal: two reapers for kind " + kind)
			}
			t[kind] = r
		}
	}
	return t
}

// Reap removes a resource.
func (t Reapers) Reap(ctx context.Context, r component.Resource) error {
	reaper := t[r.Kind]
	if reaper == nil {
		return fmt.Errorf("%s %s: this program does not know how to remove a %s", r.Kind, describe(r), r.Kind)
	}
	err := failpoint.Reached(failpoint.ProviderRelease)
	if err == nil {
		err = reaper.Reap(ctx, r)
	}
	if err == nil {
		err = failpoint.Reached(failpoint.ProviderReleased)
	}
	if err != nil {
		return fmt.Errorf("remove %s %s: %w", r.Kind, describe(r), err)
	}
	return nil
}

// Probe tells what a resource is now: a text that changes with it, "" when it is
// gone. known is false when nobody here can tell.
func (t Reapers) Probe(ctx context.Context, r component.Resource) (mark string, known bool, err error) {
	p, ok := t[r.Kind].(component.Prober)
	if !ok {
		return "", false, nil
	}
	mark, err = p.Probe(ctx, r)
	if err != nil {
		return "", true, fmt.Errorf("look for %s %s: %w", r.Kind, describe(r), err)
	}
	return mark, true, nil
}

func describe(r component.Resource) string {
	if r.ID != "" {
		return r.ID
	}
	return r.Token
}

// Ledger is the journal of a running run: it hands out a Recorder per build.
type Ledger struct {
	log     Log
	reapers Reapers
	clock   component.Clock
	next    atomic.Uint64
}

// NewLedger writes to log and removes through reapers.
func NewLedger(log Log, reapers Reapers, clock component.Clock) *Ledger {
	return &Ledger{log: log, reapers: reapers, clock: clock}
}

// Reap removes a resource that no lease stands for, such as a part of an
// artifact that was consumed.
func (l *Ledger) Reap(ctx context.Context, r component.Resource) error {
	return l.reapers.Reap(ctx, r)
}

// Book is the Recorder of one build. It remembers the leases in the order in
// which they were acquired.
type Book struct {
	ledger *Ledger
	build  string
	events component.Sink

	mu     sync.Mutex
	leases []*lease // guarded by mu; oldest first, open ones only
}

var _ component.Recorder = (*Book)(nil)

// Book opens the book of a build; build is "" for the run itself.
func (l *Ledger) Book(build string, events component.Sink) *Book {
	return &Book{ledger: l, build: build, events: events}
}

// NewToken returns a name that is unique and safe as a label, a container
// name and a part of a file name.
func NewToken() string {
	return tokenPrefix + strings.ToLower(ulid.MustNew(ulid.Now(), rand.Reader).String())
}

// Acquire implements component.Recorder.
func (b *Book) Acquire(ctx context.Context, want component.Resource, create func(context.Context, component.Resource) (string, error)) (component.Lease, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if b.ledger.reapers[want.Kind] == nil {
		return nil, fmt.Errorf("journal: nothing can remove a %s", want.Kind)
	}
	if want.Token == "" {
		want.Token = NewToken()
	}
	want.ID, want.Attrs = "", maps.Clone(want.Attrs)
	if want.Attrs == nil {
		want.Attrs = map[string]string{}
	}
	l := &lease{book: b, number: b.ledger.next.Add(1), res: want}
	if err := l.append(Intent); err != nil {
		return nil, err
	}
	b.mu.Lock()
	b.leases = append(b.leases, l)
	b.mu.Unlock()

	id, err := "", failpoint.Reached(failpoint.ProviderCreate)
	if err == nil {
		id, err = create(ctx, want)
	}
	if err == nil {
		err = failpoint.Reached(failpoint.ProviderCreated)
	}
	if id != "" {
		l.mu.Lock()
		l.res.ID = id
		l.mu.Unlock()
	}
	if err == nil {
		err = l.append(Made)
	}
	if err != nil {
		// It may exist although creating it failed: a lost reply.
		return nil, errors.Join(err, l.Release(context.WithoutCancel(ctx)))
	}
	b.events.Emit(component.ResourceHeld{Resource: l.Resource()})
	return l, nil
}

// Open returns what the build still holds, oldest first.
func (b *Book) Open() []component.Resource {
	var out []component.Resource
	for _, l := range b.open() {
		if r, open := l.state(); open {
			out = append(out, r)
		}
	}
	return out
}

// open are the open leases. A lease that is being released is locked for as long, and
// then locks the book: nobody may wait for a lease while he holds the book.
func (b *Book) open() []*lease {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.leases)
}

// ReleaseAll releases what is still open, newest first. It goes on after a
// failure and returns all errors; what could not be removed stays in the
// journal for a later reap. When ctx ends it stops.
func (b *Book) ReleaseAll(ctx context.Context) error {
	var errs []error
	for _, l := range slices.Backward(b.open()) {
		if err := context.Cause(ctx); err != nil {
			return errors.Join(append(errs, err)...)
		}
		if err := l.Release(ctx); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (b *Book) forget(l *lease) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.leases = slices.DeleteFunc(b.leases, func(other *lease) bool { return other == l })
}

type lease struct {
	book   *Book
	number uint64

	mu   sync.Mutex // held while releasing, so that it happens once
	res  component.Resource
	done bool
}

func (l *lease) Resource() component.Resource {
	r, _ := l.state()
	return r
}

// state is the resource, and whether it is still held.
func (l *lease) state() (r component.Resource, open bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.res, !l.done
}

func (l *lease) Release(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done {
		return nil
	}
	err := l.book.ledger.reapers.Reap(ctx, l.res)
	if err == nil {
		err = l.write(Released)
	}
	l.book.events.Emit(component.ResourceReleased{Resource: l.res, Err: err})
	if err != nil {
		return err
	}
	l.done = true
	l.book.forget(l)
	return nil
}

func (l *lease) Keep(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done {
		return nil
	}
	if err := l.write(Kept); err != nil {
		return err
	}
	l.done = true
	l.book.forget(l)
	l.book.events.Emit(component.ResourceKept{Resource: l.res})
	return nil
}

// append writes a record about the lease; write is for callers with l.mu held.
func (l *lease) append(t Type) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.write(t)
}

func (l *lease) write(t Type) error {
	r := Record{Type: t, Time: l.book.ledger.clock.Now(), Lease: l.number, Build: l.book.build}
	switch t {
	case Intent:
		res := l.res
		r.Resource = &res
	case Made:
		r.ID, r.Attrs = l.res.ID, l.res.Attrs
	}
	return l.book.ledger.log.Append(r)
}
