// Package none is the communicator of machines that nobody connects to
// (communicator = "none").
package none

import (
	"context"
	"errors"
	"fmt"
	"io"

	"ingot/internal/component"
)

// New makes a communicator that can do nothing. Every operation fails at once
// with component.ErrUnsupported, so that a provisioner that needs the machine
// does not seem to work and does not wait for it either.
func New() component.Communicator { return communicator{} }

// NewDialer makes the dialer for the transport "none". It does not wait and
// does not ask for the endpoint.
func NewDialer() component.Dialer { return dialer{} }

type dialer struct{}

// Dial returns New.
func (dialer) Dial(context.Context, component.Run, func(context.Context) (component.Endpoint, error)) (component.Communicator, error) {
	return New(), nil
}

var errNone = fmt.Errorf(`%w: the build has communicator = "none", so nothing can be done on the machine; `+
	`set communicator to "ssh", or remove the provisioners that need the machine`, component.ErrUnsupported)

type communicator struct{}

func refuse(ctx context.Context, what string) error {
	if ctx.Err() != nil {
		return errors.Join(fmt.Errorf("none: %s: %w", what, errNone), context.Cause(ctx))
	}
	return fmt.Errorf("none: %s: %w", what, errNone)
}

// Run fails.
func (communicator) Run(ctx context.Context, _ component.Command) (component.Exit, error) {
	return component.Exit{}, refuse(ctx, "run a command")
}

// Put fails.
func (communicator) Put(ctx context.Context, dst string, _ io.Reader, _ component.FileMeta) error {
	return refuse(ctx, "put "+dst)
}

// Get fails.
func (communicator) Get(ctx context.Context, src string, _ io.Writer) error {
	return refuse(ctx, "get "+src)
}

// PutTree fails.
func (communicator) PutTree(ctx context.Context, dst string, _ io.Reader) error {
	return refuse(ctx, "put tree "+dst)
}

// GetTree fails.
func (communicator) GetTree(ctx context.Context, src string, _ io.Writer) error {
	return refuse(ctx, "get tree "+src)
}

// Caps declares nothing.
func (communicator) Caps() component.Caps { return component.Caps{Transport: "none"} }

// Close does nothing.
func (communicator) Close() error { return nil }
