//go:build !unix

package cli

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

const winrmKey = "winrm"

type winrmHolder struct{}

func winrmServer(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Fatalf("the WinRM server for tests needs a Unix")
}

func powershellSyntax(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Fatalf("the WinRM server for tests needs a Unix")
}

func winrmState(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Fatalf("the WinRM server for tests needs a Unix")
}

func sshOnWindows(testing.TB) func(*testscript.TestScript, bool, []string) { return winrmServer }
