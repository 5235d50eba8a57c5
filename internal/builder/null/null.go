// Package null is the null builder: it makes nothing and provisions a machine
// that exists already, or none at all.
package null

import (
	"context"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
)

type builder struct{}

// New returns the null builder.
func New() component.Builder { return builder{} }

func (builder) Schema() component.Schema {
	return component.Schema{
		Description: "Makes no image. Provisioners run on a machine that exists already, which the communicator settings name; with `communicator = \"none\"` there is no machine at all, only local steps.",
		Attributes:  component.ConnectionAttributes(),
		Manual: &component.Manual{
			Example: `source "null" "example" {
  communicator = "ssh"
  ssh_host     = "192.0.2.10"
  ssh_username = "root"
  ssh_password = "correct horse"
}
`,
			Facts:    []component.Term{{Name: "ID", Description: "Always `Null`."}},
			Artifact: "None that could be used or removed: the machine stays as the provisioners leave it.",
		},
	}
}

func (builder) Plan(_ context.Context, cfg cty.Value) (component.Job, diag.List) {
	conn := new(component.Connection)
	if err := component.Decode(cfg, conn); err != nil {
		return nil, diag.Errorf("Invalid configuration", "%s.", err)
	}
	if conn.Communicator == "" {
		conn.Communicator = "ssh"
	}
	out := conn.Check(cfg, "ssh", "winrm", "none")
	if component.Known(cfg, "communicator") && conn.Communicator == "ssh" {
		out = append(out, checkSSH(cfg)...)
	}
	if component.Known(cfg, "communicator") && conn.Communicator == "winrm" {
		out = append(out, required(cfg, "winrm_host")...)
		if !given(cfg, "winrm_cert_file") {
			out = append(out, required(cfg, "winrm_username", "winrm_password")...)
		}
	}
	if out.HasErrors() {
		return nil, out
	}
	return job{conn}, out
}

func checkSSH(cfg cty.Value) diag.List {
	out := required(cfg, "ssh_host", "ssh_username")
	var ways []string
	for _, name := range []string{"ssh_password", "ssh_private_key_file"} {
		if given(cfg, name) {
			ways = append(ways, name)
		}
	}
	if agent, _ := cfg.GetAttr("ssh_agent_auth").Unmark(); !agent.IsNull() && (!agent.IsKnown() || agent.True()) {
		ways = append(ways, "ssh_agent_auth")
	}
	switch {
	case len(ways) == 0:
		out = append(out, diag.Errorf("No credentials",
			"Set ssh_password, ssh_private_key_file or ssh_agent_auth: the null builder has no other way into the machine.")...)
	case len(ways) > 1:
		out = append(out, diag.At(ways[1], "More than one way to log in",
			"Set only one of ssh_password, ssh_private_key_file and ssh_agent_auth; this has %s and %s.", ways[0], ways[1])...)
	}
	return out
}

func required(cfg cty.Value, names ...string) diag.List {
	var out diag.List
	for _, name := range names {
		if !given(cfg, name) {
			out = append(out, diag.At(name, "Missing setting",
				"The null builder needs %s to reach the machine. Set communicator to \"none\" when there is no machine.", name)...)
		}
	}
	return out
}

// given reports whether a string is not empty, or may be so once it is known.
func given(cfg cty.Value, name string) bool {
	if !component.IsSet(cfg, name) {
		return false
	}
	v, _ := cfg.GetAttr(name).Unmark()
	return !v.IsKnown() || v.AsString() != ""
}

type job struct{ conn *component.Connection }

func (job) FactNames() []string { return []string{"ID"} }

// ConnectsBy implements component.Connector.
func (j job) ConnectsBy() string { return j.conn.Communicator }

func (job) Prepare(context.Context, component.Run) error { return nil }

func (j job) Boot(context.Context, component.Run) (component.Machine, error) {
	return machine(j), nil
}

func (job) Capture(context.Context, component.Run, component.Machine) (*component.Artifact, error) {
	return &component.Artifact{
		Producer: "fnoeding.null",
		ID:       "Null",
		Summary:  "Did not export anything. This is the null builder",
	}, nil
}

type machine struct{ conn *component.Connection }

func (machine) Facts() map[string]cty.Value {
	return map[string]cty.Value{"ID": cty.StringVal("Null")}
}

func (m machine) Endpoint(context.Context) (component.Endpoint, error) {
	e := component.Endpoint{Transport: m.conn.Communicator, Connection: m.conn}
	switch m.conn.Communicator {
	case "ssh":
		e.Host, e.Port = m.conn.SSHHost, m.conn.SSHPort
		if e.Port == 0 {
			e.Port = 22
		}
	case "winrm":
		e.Host, e.Port = m.conn.WinRMHost, m.conn.WinRMDefaultPort()
	}
	return e, nil
}
