package host

import (
	"context"
	"errors"
	"io"

	"ingot/internal/component"
)

// noMachine is the communicator of a build whose builder has offered none. Steps that
// need no machine can run.
type noMachine struct{ why error }

func (n noMachine) Run(context.Context, component.Command) (component.Exit, error) {
	return component.Exit{}, n.why
}

func (n noMachine) Put(context.Context, string, io.Reader, component.FileMeta) error { return n.why }
func (n noMachine) Get(context.Context, string, io.Writer) error                     { return n.why }
func (n noMachine) PutTree(context.Context, string, io.Reader) error                 { return n.why }
func (n noMachine) GetTree(context.Context, string, io.Writer) error                 { return n.why }

// Caps: nothing works.
func (noMachine) Caps() component.Caps { return component.Caps{Transport: "none"} }

// Close has nothing to close.
func (noMachine) Close() error { return nil }

// watched is a communicator whose errors say so when the plugin has taken the machine
// away.
type watched struct {
	component.Communicator
	of *running
}

func (x *running) watched(c component.Communicator) component.Communicator { return watched{c, x} }

// explain adds why a connection was lost.
func (w watched) explain(err error) error {
	if err == nil || !errors.Is(err, component.ErrDisconnected) {
		return err
	}
	select {
	case <-w.of.ended:
		if w.of.err != nil {
			return errors.Join(err, w.of.err)
		}
		return err
	case <-w.of.lost.Done():
	default:
	}
	return w.of.proc.Explain(err)
}

func (w watched) Run(ctx context.Context, c component.Command) (component.Exit, error) {
	exit, err := w.Communicator.Run(ctx, c)
	return exit, w.explain(err)
}

func (w watched) Put(ctx context.Context, dst string, src io.Reader, meta component.FileMeta) error {
	return w.explain(w.Communicator.Put(ctx, dst, src, meta))
}

func (w watched) Get(ctx context.Context, src string, dst io.Writer) error {
	return w.explain(w.Communicator.Get(ctx, src, dst))
}

func (w watched) PutTree(ctx context.Context, dst string, archive io.Reader) error {
	return w.explain(w.Communicator.PutTree(ctx, dst, archive))
}

func (w watched) GetTree(ctx context.Context, src string, archive io.Writer) error {
	return w.explain(w.Communicator.GetTree(ctx, src, archive))
}
