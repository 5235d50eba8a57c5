package ssh

import (
	"context"
	"io"

	"ingot/internal/component"
)

type bare struct{}

func (c *comm) withoutShell(context.Context) bare { return bare{} }

func (bare) put(context.Context, string, io.Reader, component.FileMeta) error {
	return component.ErrUnsupported
}
func (bare) get(context.Context, string, io.Writer) error     { return component.ErrUnsupported }
func (bare) putTree(context.Context, string, io.Reader) error { return component.ErrUnsupported }
func (bare) getTree(context.Context, string, io.Writer) error { return component.ErrUnsupported }
