package null

import (
	"testing"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
)

func with(pairs ...string) map[string]cty.Value {
	out := map[string]cty.Value{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = cty.StringVal(pairs[i+1])
		switch pairs[i+1] {
		case "true":
			out[pairs[i]] = cty.True
		}
	}
	return out
}

func configs() componenttest.Configs {
	return componenttest.Configs{
		"none":     with("communicator", "none"),
		"password": with("ssh_host", "h", "ssh_username", "u", "ssh_password", "p"),
		"key":      with("communicator", "ssh", "ssh_host", "h", "ssh_username", "u", "ssh_private_key_file", "k"),
		"winrm":    with("communicator", "winrm", "winrm_host", "h", "winrm_username", "u", "winrm_password", "p"),
		"winrmtls": with("communicator", "winrm", "winrm_host", "h", "winrm_username", "u", "winrm_password", "p", "winrm_use_ssl", "true"),
		"winrmkey": with("communicator", "winrm", "winrm_host", "h", "winrm_cert_file", "c.pem", "winrm_use_ssl", "true"),
		"agent":    with("ssh_host", "h", "ssh_username", "u", "ssh_agent_auth", "true"),
	}
}

func TestContract(t *testing.T) {
	componenttest.Builder(t, componenttest.BuilderConfig{
		New:   New,
		Valid: func(testing.TB) componenttest.Configs { return configs() },
		Invalid: componenttest.Configs{
			"nothing":      {},
			"no host":      with("ssh_username", "u", "ssh_password", "p"),
			"no user":      with("ssh_host", "h", "ssh_password", "p"),
			"no way in":    with("ssh_host", "h", "ssh_username", "u"),
			"two ways in":  with("ssh_host", "h", "ssh_username", "u", "ssh_password", "p", "ssh_agent_auth", "true"),
			"winrm":        with("communicator", "winrm"),
			"winrm host":   with("communicator", "winrm", "winrm_username", "u", "winrm_password", "p"),
			"winrm login":  with("communicator", "winrm", "winrm_host", "h"),
			"winrm plain":  with("communicator", "winrm", "winrm_host", "h", "winrm_cert_file", "c.pem"),
			"winrm both":   with("communicator", "winrm", "winrm_host", "h", "winrm_cert_file", "c.pem", "winrm_use_ssl", "true", "winrm_password", "p"),
			"winrm ntlm":   with("communicator", "winrm", "winrm_host", "h", "winrm_cert_file", "c.pem", "winrm_use_ssl", "true", "winrm_use_ntlm", "true"),
			"winrm key":    with("communicator", "winrm", "winrm_host", "h", "winrm_username", "u", "winrm_password", "p", "winrm_key_file", "k.pem"),
			"communicator": with("communicator", "carrier-pigeon"),
		},
	})
}

func TestFindsAllAtOnce(t *testing.T) {
	_, diags := New().Plan(t.Context(), New().Schema().Object(nil))
	if n := len(diags.Errors()); n != 3 {
		t.Errorf("%d errors, want host, user and credentials: %v", n, diags.Err())
	}
}

func TestEndpoint(t *testing.T) {
	for name, want := range map[string]component.Endpoint{
		"none":     {Transport: "none"},
		"password": {Transport: "ssh", Host: "h", Port: 22},
		"winrm":    {Transport: "winrm", Host: "h", Port: 5985},
		"winrmtls": {Transport: "winrm", Host: "h", Port: 5986},
	} {
		job, diags := New().Plan(t.Context(), New().Schema().Object(configs()[name]))
		if diags.HasErrors() {
			t.Fatal(diags.Err())
		}
		r, _, _ := componenttest.NewRun(t)
		m, err := job.Boot(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.Endpoint(t.Context())
		if err != nil || got.Transport != want.Transport || got.Host != want.Host || got.Port != want.Port {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

func TestArtifact(t *testing.T) {
	a, err := job{}.Capture(t.Context(), component.Run{}, nil)
	if err != nil || a.ID != "Null" || a.Summary != "Did not export anything. This is the null builder" || a.Producer != "fnoeding.null" {
		t.Errorf("got %+v, %v", a, err)
	}
}
