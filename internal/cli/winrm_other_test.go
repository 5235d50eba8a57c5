//go:build !unix

package cli

import "github.com/rogpeppe/go-internal/testscript"

const winrmKey = "winrm"

type winrmHolder struct{}

func winrmServer(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Fatalf("the WinRM server for tests needs a Unix")
}

func winrmState(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Fatalf("the WinRM server for tests needs a Unix")
}
