package serve

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/plan"
	"ingot/internal/plugin/packerwire"
	"ingot/internal/ui"
)

// provisioner serves one of our provisioners.
type provisioner struct{ *served[component.Step] }

// Prepare implements packerwire.ProvisionerServer.
func (p *provisioner) Prepare(ctx context.Context, configs []any) error {
	_, _, err := p.configure(ctx, configs)
	return err
}

// Provision implements packerwire.ProvisionerServer.
func (p *provisioner) Provision(ctx context.Context, data map[string]any, stream uint32) error {
	s, err := p.configured()
	if err != nil {
		return err
	}
	ctx, cancel := p.guarded(ctx)
	defer cancel()
	host, err := p.dial(ctx, stream)
	if err != nil {
		return err
	}
	defer host.Close()
	secrets := ui.NewRedactor()
	facts := factsOf(data)
	machine := &hostMachine{plugin: p.plugin, peer: host, facts: facts}
	work := &outcome{}
	b := &plan.Build{
		Addr: s.address(p.name), Job: noMachine{machine: machine}, Template: p.vars(s, moment{final: true, facts: facts}),
		Provisioners: []*plan.Step{{
			Addr: addr.Step{Kind: addr.Provisioner, Type: p.name},
			Bind: func(ctx context.Context, facts map[string]cty.Value) (component.Step, diag.List) {
				step, diags := p.plan(ctx, s, moment{final: true, facts: facts}, secrets.Add)
				work.note(findings(diags))
				return watchedStep{step, work}, diags
			},
		}},
	}
	res, err := p.execute(ctx, host.UI, s, b, secrets)
	return errors.Join(err, work.of(res.Err))
}

// outcome is the error of the one step of a build, without what the engine says
// around it, which the host says itself.
type outcome struct {
	mu  sync.Mutex
	err error
}

func (o *outcome) note(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err = err
}

// of is the step's error in place of the build's, when that comes from it.
func (o *outcome) of(build error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if build != nil && o.err != nil {
		return o.err
	}
	return build
}

type watchedStep struct {
	component.Step
	work *outcome
}

// Apply implements component.Step.
func (w watchedStep) Apply(ctx context.Context, t component.Target) error {
	err := w.Step.Apply(ctx, t)
	w.work.note(err)
	return err
}

// hostMachine is a machine that the host is connected to.
type hostMachine struct {
	plugin *plugin
	peer   peer
	facts  map[string]cty.Value
}

// Facts implements component.Machine.
func (m *hostMachine) Facts() map[string]cty.Value { return m.facts }

// Endpoint implements component.Machine. It is not asked, since the machine brings
// its communicator.
func (m *hostMachine) Endpoint(context.Context) (component.Endpoint, error) {
	return component.Endpoint{}, errors.New("only the host knows how the machine is reached")
}

// Dial implements component.SelfDialer.
func (m *hostMachine) Dial(ctx context.Context, r component.Run) (component.Communicator, error) {
	o := packerwire.CommunicatorOptions{TempDir: r.WorkDir}
	if v, ok := m.facts["ConnType"]; ok {
		o.Transport, _ = scalarText(v)
	}
	if o.Transport == "winrm" {
		o.Shell = component.Cmd
	} else {
		shell, err := shellOf(ctx, packerwire.NewCommunicator(m.plugin.conn, m.peer.Caller, o))
		if err != nil {
			return nil, err
		}
		o.Shell = shell
	}
	return lent{packerwire.NewCommunicator(m.plugin.conn, m.peer.Caller, o)}, nil
}

// shellOf finds out what command lines the machine understands, which the protocol
// does not tell. Each shell puts in the variables that it knows.
func shellOf(ctx context.Context, m component.Communicator) (component.Shell, error) {
	var out bytes.Buffer
	_, err := m.Run(ctx, component.Command{Line: "echo ingot%ComSpec% $env:ComSpec", Stdout: &out})
	switch text := out.String(); {
	case ctx.Err() != nil || errors.Is(err, component.ErrDisconnected):
		return 0, err
	case err != nil:
		return component.POSIX, nil // steps that run nothing work all the same
	case strings.Contains(text, "$env:ComSpec") && !strings.Contains(text, "%ComSpec%"):
		return component.Cmd, nil
	case strings.Contains(strings.ToLower(text), "cmd.exe") && strings.Contains(text, "%ComSpec%"):
		return component.PowerShell, nil
	}
	return component.POSIX, nil
}

// lent is a communicator whose connection goes on to be used when it is closed: what
// happens at the end is told over the same stream.
type lent struct{ component.Communicator }

// Close implements component.Communicator.
func (lent) Close() error { return nil }
