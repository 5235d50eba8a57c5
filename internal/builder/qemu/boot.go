package qemu

import (
	"context"

	"ingot/internal/component"
)

func (m *machine) typeCommand(context.Context, component.Run) error { return nil }
