package packerwire

import (
	"context"
	"fmt"
	"strings"
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

// unsupplied ends the texts that stand for values which a builder does not supply.
const unsupplied = "_NOT_IMPLEMENTED_BY_BUILDER"

// MachineData returns what is known of every machine, with what stands for values that a
// builder does not supply: whoever reads data of a machine may look for these names, with
// values of these types.
func MachineData() map[string]any {
	return map[string]any{
		"ID": "ERR_ID" + unsupplied, "PackerRunUUID": "",
		"PackerHTTPIP": "ERR_HTTP_IP" + unsupplied, "PackerHTTPPort": "ERR_HTTP_PORT" + unsupplied, "PackerHTTPAddr": "ERR_HTTP_ADDR" + unsupplied,
		"Host": "", "Port": int64(0), "User": "", "Password": "", "ConnType": "",
		"SSHPublicKey": "", "SSHPrivateKey": "", "SSHPrivateKeyFile": "", "SSHAgentAuth": false, "WinRMPassword": "",
	}
}

// Unsupplied reports whether a value of a machine says only that the builder does not
// supply it.
func Unsupplied(v any) bool {
	text, ok := v.(string)
	return ok && strings.HasPrefix(text, "ERR_") && strings.HasSuffix(text, unsupplied)
}

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
