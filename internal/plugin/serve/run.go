package serve

import (
	"context"
	"errors"
	"fmt"
	"log"
	"path/filepath"

	"github.com/google/uuid"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/engine"
	"ingot/internal/plan"
	"ingot/internal/plugin/packerwire"
	"ingot/internal/ratelimit"
	"ingot/internal/ui"
)

// runVariable is how hosts tell plugins the id of the run.
const runVariable = "PACKER_RUN_UUID"

// errHostGone is why work ends when nobody wants it any more.
var errHostGone = errors.New("the host has ended the connection")

// execute runs one build through the engine. What happens is told to u, also what the
// engine does at the end. When execute returns, everything has been told, and all that
// the build held has been released or belongs to its artifact.
func (p *plugin) execute(ctx context.Context, u packerwire.UI, s settings, b *plan.Build, secrets *ui.Redactor) (res engine.BuildResult, err error) {
	// The end of the calls must not cut what is told of the release.
	tell := narrate(context.WithoutCancel(ctx), u, log.New(p.Err, "", log.LstdFlags))
	defer func() { err = errors.Join(err, tell.Close()) }()
	j, err := p.OpenJournal(ctx)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, j.Close(context.WithoutCancel(ctx))) }()
	onError := engine.Cleanup
	if text := s.text(onErrorKey); text != "" {
		if onError, err = engine.ParseOnError(text); err != nil {
			return res, fmt.Errorf("the mode after a failure: %w", err)
		}
	}
	all, err := engine.Run(ctx, &plan.Plan{Builds: []*plan.Build{b}}, engine.Options{
		RunID: p.runID(j), Handle: secrets.Wrap(tell).Handle, Ledger: j.Ledger, Dialers: p.Dialers,
		Prompt: prompter{u, p.Terminal}, Clock: component.SystemClock{}, Limits: ratelimit.New(component.SystemClock{}),
		OnError: onError, Force: s.flag(forceKey), Debug: s.flag(debugKey),
		TempDir: p.TempDir, CacheDir: p.CacheDir, ReportDir: filepath.Join(p.ReportDir, j.RunID),
		Sensitive: secrets.Add, Release: context.WithoutCancel(ctx),
	})
	if err != nil {
		return res, err
	}
	return all.Builds[0], nil
}

// runID is the id of the host's run, which scripts know, and else that of the journal.
func (p *plugin) runID(j Journal) string {
	if id, err := uuid.Parse(p.Getenv(runVariable)); err == nil {
		return id.String()
	}
	return j.RunID
}

// address is what a build is called: the host knows the type by a name of its own.
func (s settings) address(kind string) addr.Build {
	name := s.text(buildNameKey)
	if name == "" {
		name = kind
	}
	typ := s.text(builderTypeKey)
	if typ == "" {
		typ = kind
	}
	return addr.Build{Source: addr.Source{Type: typ, Name: name}}
}

// peer is the calling side of a stream that the host serves.
type peer struct {
	*packerwire.Caller
	packerwire.UI
}

// dial opens the stream on which the host serves what it has announced.
func (p *plugin) dial(ctx context.Context, stream uint32) (peer, error) {
	conn, err := p.conn.Dial(ctx, stream)
	if err != nil {
		return peer{}, err
	}
	c := packerwire.NewCaller(conn)
	return peer{c, packerwire.UI{Caller: c}}, nil
}

// guarded returns a context that ends with ctx or the connection.
func (p *plugin) guarded(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := make(chan struct{})
	go func() { // ends with the returned function
		select {
		case <-p.conn.Done():
			cancel(errHostGone)
		case <-stop:
		}
	}()
	return ctx, func() { close(stop); cancel(nil) }
}

// noMachine is the job of a build whose machine is the host's: nothing is made.
type noMachine struct {
	machine component.Machine
	// artifact is what a post-processor is given; nil for a provisioner.
	artifact *component.Artifact
}

// Prepare implements component.Job.
func (noMachine) Prepare(context.Context, component.Run) error { return nil }

// Boot implements component.Job.
func (n noMachine) Boot(context.Context, component.Run) (component.Machine, error) {
	return n.machine, nil
}

// Capture implements component.Job.
func (n noMachine) Capture(context.Context, component.Run, component.Machine) (*component.Artifact, error) {
	return n.artifact, nil
}
