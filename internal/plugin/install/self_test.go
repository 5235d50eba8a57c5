//go:build unix

package install

import (
	"io"
	"log"
	"os"
	"os/exec"
	"testing"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// runSelf runs one test of this package in a process of its own.
func runSelf(t *testing.T, self, test string, environ ...string) {
	t.Helper()
	cmd := exec.Command(self, "-test.run=^"+test+"$", "-test.v")
	cmd.Env = append(os.Environ(), environ...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
