package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/moby/moby/client"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/dockerengine"
	"ingot/internal/retry"
)

// machine is a running container that is reached over the network, or not at
// all.
type machine struct {
	engine *dockerengine.Engine
	config *config
	id     string
	source source
}

// execMachine is a running container whose communicator is the engine's API.
type execMachine struct {
	*machine
	// user is who commands run as; "" is root.
	user string
	// memoryMounts are where files cannot be copied through the API.
	memoryMounts []string
}

var (
	_ component.Machine    = (*machine)(nil)
	_ component.SelfDialer = (*execMachine)(nil)
)

// Facts implements component.Machine.
func (m *machine) Facts() map[string]cty.Value {
	return map[string]cty.Value{
		factID:           cty.StringVal(m.id),
		factSourceDigest: cty.StringVal(m.source.digest),
	}
}

// Endpoint implements component.Machine.
func (m *machine) Endpoint(ctx context.Context) (component.Endpoint, error) {
	e := component.Endpoint{Transport: m.config.Communicator, Host: m.config.SSHHost, Port: m.config.SSHPort, Connection: &m.config.Connection}
	if m.config.Communicator != commSSH {
		return component.Endpoint{Transport: commNone, Connection: &m.config.Connection}, nil
	}
	if e.Port == 0 {
		e.Port = 22
	}
	if e.Host != "" {
		return e, nil
	}
	ip, err := m.address(ctx)
	e.Host = ip
	return e, err
}

// address returns the container's IP address.
func (m *machine) address(ctx context.Context) (string, error) {
	in, err := m.engine.ContainerInspect(ctx, m.id, client.ContainerInspectOptions{})
	if err != nil {
		return "", m.engine.Explain(ctx, "inspect container "+short(m.id), err)
	}
	if in.Container.State != nil && !in.Container.State.Running {
		return "", m.notRunning(ctx)
	}
	if in.Container.HostConfig != nil && in.Container.HostConfig.NetworkMode.IsHost() && m.engine.Endpoint.Local() {
		return "127.0.0.1", nil
	}
	if n := in.Container.NetworkSettings; n != nil {
		for _, e := range n.Networks {
			if e != nil && e.IPAddress.IsValid() {
				return e.IPAddress.String(), nil
			}
			if e != nil && e.GlobalIPv6Address.IsValid() {
				return e.GlobalIPv6Address.String(), nil
			}
		}
	}
	return "", retry.As(retry.Transient, fmt.Errorf("docker: container %s has no IP address yet; without a network, set ssh_host", short(m.id)))
}

// notRunning says why the container cannot be used any more, with the last
// lines that it printed.
func (m *machine) notRunning(ctx context.Context) error {
	in, err := m.engine.ContainerInspect(ctx, m.id, client.ContainerInspectOptions{})
	if err != nil {
		return m.engine.Explain(ctx, "inspect container "+short(m.id), err)
	}
	text := fmt.Sprintf("docker: container %s %s", short(m.id), stopped(in.Container.State))
	if out := m.lastOutput(ctx, in.Container.Config != nil && in.Container.Config.Tty); out != "" {
		text += ", and printed last: " + out
	}
	return retry.As(retry.User, errors.New(text+". What run_command starts must go on until the build is complete; the default is a shell with -i and -t"))
}

func (m *machine) lastOutput(ctx context.Context, tty bool) string {
	logs, err := m.engine.ContainerLogs(ctx, m.id, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Tail: "5"})
	if err != nil {
		return ""
	}
	defer logs.Close()
	var text strings.Builder
	if err := demux(logs, &text, &text, tty); err != nil {
		return ""
	}
	return strings.Join(strings.Fields(text.String()), " ")
}

// Dial implements component.SelfDialer.
func (m *execMachine) Dial(ctx context.Context, r component.Run) (component.Communicator, error) {
	c := newComm(ctx, m, r)
	c.warm(ctx)
	if m.config.PauseBeforeConnecting > 0 {
		if err := r.Clock.Sleep(ctx, m.config.PauseBeforeConnecting); err != nil {
			return nil, err
		}
	}
	return c, nil
}
