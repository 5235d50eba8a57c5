//go:build unix

package winrm_test

import (
	"context"
	"testing"
	"time"

	"ingot/internal/comm/winrm"
	"ingot/internal/component"
	"ingot/internal/component/componenttest"
	"ingot/internal/testkit/winrmd"
)

const user, password = "packer", "s3cret <&> ü"

// start starts a server with the account that the tests use.
func start(t testing.TB, cfg winrmd.Config) *winrmd.Server {
	cfg.User, cfg.Password = user, password
	return winrmd.Start(t, cfg)
}

// connection is what a template would say.
func connection() component.Connection {
	return component.Connection{Communicator: "winrm", WinRMUser: user, WinRMPassword: password}
}

// run is what the tests give the dialer of a run.
func run() component.Run {
	return component.Run{Clock: component.SystemClock{}, Events: component.SinkFunc(func(component.Event) {})}
}

// at makes an endpoint function that always answers the same.
func at(s *winrmd.Server, c component.Connection) func(context.Context) (component.Endpoint, error) {
	return func(context.Context) (component.Endpoint, error) {
		return component.Endpoint{Transport: "winrm", Host: s.Host(), Port: s.Port(), Connection: &c}, nil
	}
}

// dial connects or fails the test.
func dial(t testing.TB, s *winrmd.Server, c component.Connection) component.Communicator {
	t.Helper()
	comm, err := winrm.NewDialer(winrm.Deps{}).Dial(t.Context(), run(), at(s, c))
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	t.Cleanup(func() { _ = comm.Close() })
	return comm
}

func TestContract(t *testing.T) {
	s := start(t, winrmd.Config{})
	componenttest.Communicator(t, componenttest.CommunicatorConfig{
		New:          func(t testing.TB) component.Communicator { return dial(t, s, connection()) },
		Dir:          t.TempDir(),
		WindowsFiles: true,
	})
	noShells(t, s)
}

// noShells checks that no shell is left. What was cancelled may need a moment.
func noShells(t testing.TB, s *winrmd.Server) {
	t.Helper()
	for range 100 {
		if s.Shells() == 0 {
			return
		}
		_ = component.SystemClock{}.Sleep(t.Context(), 100*time.Millisecond)
	}
	t.Errorf("%d shells are left", s.Shells())
}
