//go:build unix

package cli

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"

	"ingot/internal/testkit/live"
)

const askTemplate = `
variable "image" {}
source "docker" "c" {
  image   = var.image
  pull    = false
  discard = true
}
build {
  sources = ["docker.c"]
  provisioner "shell" {
    inline = ["test -e /mended && echo it is mended"]
  }
  provisioner "shell" {
    inline = ["echo second; exit 4"]
  }
  provisioner "shell" {
    inline = ["echo third"]
  }
}
`

// atTerminal is the program with somebody at its terminal.
type atTerminal struct {
	t    *testing.T
	tty  *os.File
	more chan struct{}

	mu   sync.Mutex
	seen bytes.Buffer // guarded by mu
	from int          // guarded by mu: what was looked for before
}

func (a *atTerminal) Write(p []byte) (int, error) {
	a.mu.Lock()
	a.seen.Write(p)
	a.mu.Unlock()
	select {
	case a.more <- struct{}{}:
	default:
	}
	return len(p), nil
}

// sees waits for a text behind what was seen before.
func (a *atTerminal) sees(text string) {
	a.t.Helper()
	limit := time.After(waitLimit)
	for {
		a.mu.Lock()
		i := strings.Index(a.seen.String()[a.from:], text)
		if i >= 0 {
			a.from += i + len(text)
		}
		all := a.seen.String()
		a.mu.Unlock()
		if i >= 0 {
			return
		}
		select {
		case <-a.more:
		case <-limit:
			a.t.Fatalf("%q is not shown, but\n%s", text, all)
		}
	}
}

func (a *atTerminal) types(keys string) {
	a.t.Helper()
	if _, err := io.WriteString(a.tty, keys); err != nil {
		a.t.Fatal(err)
	}
}

// TestAskWithAShell: with -on-error=ask, a shell on the machine is really connected,
// the step runs again on the same machine, and another one is passed over.
func TestAskWithAShell(t *testing.T) {
	env := live.Require(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.pkr.hcl"), []byte(askTemplate), 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Args = []string{"ingot", "build", "-on-error=ask", "-var=image=" + env.TinyImage, "."}
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TERM=xterm", "DOCKER_HOST="+env.DockerHost, "TMPDIR="+dir,
		"INGOT_STATE_DIR="+filepath.Join(dir, "state"), "INGOT_CACHE_DIR="+filepath.Join(dir, "cache"), "INGOT_CONFIG_DIR="+filepath.Join(dir, "config"))
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 31, Cols: 93})
	if err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	defer tty.Close()
	a := &atTerminal{t: t, tty: tty, more: make(chan struct{}, 1)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(a, tty) // ends with an error when the program has ended
	}()

	a.sees("[s] open a shell on the machine")
	a.types("s\n")
	a.sees("Ctrl-D or exit leaves it.")
	a.types("until [ \"$(stty size)\" = '31 93' ]; do sleep 1; done; echo 4$((1+1))size\r")
	a.sees("42size")
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 35, Cols: 97}); err != nil {
		t.Fatal(err)
	}
	a.types("until [ \"$(stty size)\" = '35 97' ]; do sleep 1; done; echo 4$((1+2))size\r")
	a.sees("43size")
	// Ctrl-C is the machine's, not ours.
	a.types("\x03")
	a.types("touch /mended; echo 4$((1+3))done\r")
	a.sees("44done")
	a.types("exit\r")
	a.sees("(default c):")
	a.types("r\n")
	a.sees("it is mended")
	a.sees("(default c):")
	a.types("n\n")
	a.sees("Going on although provisioner 2 (shell) has failed")
	a.sees("third")
	a.sees("Discarded the container")
	<-read
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v", err)
	}
}
