package file

import (
	"context"
	"fmt"
	"io"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
)

// machine stands for the machine that is not there.
type machine struct{ lease component.Lease }

var (
	_ component.Machine    = machine{}
	_ component.SelfDialer = machine{}
)

func (machine) Facts() map[string]cty.Value {
	return map[string]cty.Value{"ID": cty.StringVal("File")}
}

func (machine) Endpoint(context.Context) (component.Endpoint, error) {
	return component.Endpoint{Transport: "none", Connection: new(component.Connection)}, nil
}

func (machine) Dial(context.Context, component.Run) (component.Communicator, error) {
	return refusing{}, nil
}

// refusing is a communicator that can do nothing and says so.
type refusing struct{}

var errNoMachine = fmt.Errorf("the file builder has no machine; use shell-local, which runs on this one: %w", component.ErrUnsupported)

func (refusing) Run(context.Context, component.Command) (component.Exit, error) {
	return component.Exit{}, errNoMachine
}

func (refusing) Put(context.Context, string, io.Reader, component.FileMeta) error {
	return errNoMachine
}
func (refusing) Get(context.Context, string, io.Writer) error     { return errNoMachine }
func (refusing) PutTree(context.Context, string, io.Reader) error { return errNoMachine }
func (refusing) GetTree(context.Context, string, io.Writer) error { return errNoMachine }
func (refusing) Caps() component.Caps                             { return component.Caps{Transport: "none"} }
func (refusing) Close() error                                     { return nil }
