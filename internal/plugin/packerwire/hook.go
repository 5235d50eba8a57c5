package packerwire

import (
	"context"
	"fmt"
	"time"
)

const hookService = "Hook"

// The names of hooks that builders call.
const (
	// ProvisionHook is called when the machine can be provisioned.
	ProvisionHook = "packer_provision"
	// CleanupHook is called when the builder cleans up after a failure.
	CleanupHook = "packer_cleanup_provision"
)

type hookArgs struct {
	Name     string
	Data     Value
	StreamId uint32
}

// Hook calls the hooks of a host.
type Hook struct{ *Caller }

// Run calls a hook and waits for it. The host finds Communicator and Ui on the stream
// of that number; data are the values of the machine.
func (h Hook) Run(ctx context.Context, name string, data map[string]any, stream uint32, grace time.Duration) error {
	args := hookArgs{name, Value{data}, stream}
	return h.CallCancel(ctx, hookService+".Run", hookService+".Cancel", args, nil, grace, nil)
}

// HookServer is what a host does when a builder calls a hook. ctx ends when the builder
// cancels it.
type HookServer interface {
	Run(ctx context.Context, name string, data map[string]any, stream uint32) error
}

// AddHook adds the service Hook.
func (s Services) AddHook(h HookServer) { s[hookService] = &hookServer{h: h} }

type hookServer struct {
	h HookServer
	pending
}

func (s *hookServer) Call(ctx context.Context, method string, arg Argument) (any, error) {
	switch method {
	case "Run":
		var a hookArgs
		if err := arg(&a); err != nil {
			return nil, err
		}
		data, err := asMap(a.Data.Any)
		if err != nil {
			return nil, fmt.Errorf("the data of the hook: %w", err)
		}
		ctx, end := s.begin(ctx)
		defer end()
		return nil, s.h.Run(ctx, a.Name, data, a.StreamId)
	case "Cancel":
		s.cancel()
		return nil, nil
	}
	return nil, ErrNoMethod
}
