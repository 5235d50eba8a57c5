//go:build unix

package ssh_test

import (
	"context"
	"testing"

	"ingot/internal/comm/ssh"
	"ingot/internal/component"
	"ingot/internal/component/componenttest"
	"ingot/internal/testkit/live"
)

// run is what the tests give the dialer of a run.
func run(t testing.TB) component.Run {
	return component.Run{Clock: component.SystemClock{}, Events: component.SinkFunc(func(component.Event) {})}
}

// endpoint is what Dial asks where the machine is.
type endpoint = func(context.Context) (component.Endpoint, error)

// at makes an endpoint function that always answers the same.
func at(host string, port int, c component.Connection) endpoint {
	return func(context.Context) (component.Endpoint, error) {
		return component.Endpoint{Transport: "ssh", Host: host, Port: port, Connection: &c}, nil
	}
}

// dial connects or fails the test.
func dial(t testing.TB, where endpoint) component.Communicator {
	t.Helper()
	c, err := ssh.NewDialer(ssh.Deps{Home: t.TempDir()}).Dial(t.Context(), run(t), where)
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// liveHost is the OpenSSH server of the test environment.
func liveHost(t testing.TB) endpoint {
	env := live.Require(t)
	return at(env.SSH.Host, env.SSH.Port, component.Connection{SSHUsername: env.SSH.User, SSHPrivateKeyFile: env.SSH.KeyFile})
}

// remoteDir makes a folder on the machine that goes away with the test.
func remoteDir(t testing.TB, where endpoint) string {
	t.Helper()
	c := dial(t, where)
	var out lockedBuffer
	exit, err := c.Run(t.Context(), component.Command{Line: "mktemp -d", Stdout: &out})
	if err != nil || exit.Code != 0 {
		t.Fatalf("mktemp: %v, %v", exit, err)
	}
	dir := out.line()
	t.Cleanup(func() {
		_, _ = c.Run(context.Background(), component.Command{Line: "chmod -R u+rwx " + dir + "; rm -rf " + dir})
	})
	return dir
}

func TestContractOpenSSH(t *testing.T) {
	host := liveHost(t)
	componenttest.Communicator(t, componenttest.CommunicatorConfig{
		New:        func(t testing.TB) component.Communicator { return dial(t, host) },
		Dir:        remoteDir(t, host),
		Unwritable: "/etc/ingot-test-unwritable",
	})
}
