// Package none is the communicator "none": there is no connection to the
// machine, and whatever would need one fails at once and says so.
package none

import (
	"context"
	"fmt"
	"io"

	"ingot/internal/component"
)

// NewDialer returns the dialer of the transport "none". Dial succeeds at once.
func NewDialer() component.Dialer { return dialer{} }

type dialer struct{}

func (dialer) Dial(context.Context, component.Run, func(context.Context) (component.Endpoint, error)) (component.Communicator, error) {
	return New(), nil
}

// New returns the communicator.
func New() component.Communicator { return communicator{} }

type communicator struct{}

var _ component.Communicator = communicator{}

func refuse(what string) error {
	return fmt.Errorf("%s: %w: communicator is \"none\", so there is no connection to a machine; set communicator = \"ssh\", or use components that work on this side, such as shell-local", what, component.ErrUnsupported)
}

func (communicator) Run(context.Context, component.Command) (component.Exit, error) {
	return component.Exit{}, refuse("run a command")
}

func (communicator) Put(_ context.Context, dst string, _ io.Reader, _ component.FileMeta) error {
	return refuse("upload to " + dst)
}

func (communicator) Get(_ context.Context, src string, _ io.Writer) error {
	return refuse("download " + src)
}

func (communicator) PutTree(_ context.Context, dst string, _ io.Reader) error {
	return refuse("upload to " + dst)
}

func (communicator) GetTree(_ context.Context, src string, _ io.Writer) error {
	return refuse("download " + src)
}

func (communicator) Caps() component.Caps { return component.Caps{Transport: "none"} }

func (communicator) Close() error { return nil }
