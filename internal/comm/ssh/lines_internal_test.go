//go:build unix

package ssh

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/component"
)

// shells are the POSIX shells of this machine as commands.
func shells(t *testing.T) map[string][]string {
	out := map[string][]string{}
	for name, c := range map[string][]string{
		"dash": {"dash"}, "bash": {"bash"}, "busybox": {"busybox", "sh"}, "zsh": {"zsh"}, "ksh": {"ksh"}, "sh": {"sh"},
	} {
		if _, err := exec.LookPath(c[0]); err == nil {
			out[name] = c
		}
	}
	if len(out) < 2 {
		t.Skip("only one shell here")
	}
	return out
}

// TestLinesInEveryShell runs our own command lines in all shells there are.
func TestLinesInEveryShell(t *testing.T) {
	for name, sh := range shells(t) {
		t.Run(name, func(t *testing.T) {
			run := func(line string, stdin string) (string, error) {
				t.Helper()
				cmd := exec.Command(sh[0], append(sh[1:], "-c", mark(line, newToken()))...)
				var out bytes.Buffer
				complaint := &tail{}
				cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, complaint
				err := cmd.Run()
				var exit *exec.ExitError
				if errors.As(err, &exit) {
					return out.String(), transferError(component.Exit{Code: exit.ExitCode()}, complaint.String())
				}
				return out.String(), err
			}
			dir := t.TempDir()
			odd := filepath.Join(dir, " -odd 'na\"me\n$HOME`id`\\ ")
			when := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
			if _, err := run(putLine(odd, component.FileMeta{Mode: 0o640, ModTime: when}), "contents"); err != nil {
				t.Fatalf("put: %v", err)
			}
			info, err := os.Stat(odd)
			if err != nil || info.Mode() != 0o640 || !info.ModTime().Equal(when) {
				t.Errorf("put: %v, %v", info, err)
			}
			if got, err := run(getLine(odd), ""); err != nil || got != "contents" {
				t.Errorf("get: %q, %v", got, err)
			}
			if _, err := run(putLine(odd, component.FileMeta{Mode: fs.ModeSetuid | 0o755}), ""); err != nil {
				t.Errorf("put again: %v", err)
			}
			if info, _ := os.Stat(odd); info.Mode() != fs.ModeSetuid|0o755 || info.Size() != 0 {
				t.Errorf("put again: %v", info)
			}
			for what, c := range map[string]struct {
				line string
				want error
			}{
				"put into a missing folder": {putLine(dir+"/missing/f", component.FileMeta{Mode: 0o644}), fs.ErrNotExist},
				"get a missing file":        {getLine(dir + "/missing"), fs.ErrNotExist},
				"put onto a folder":         {putLine(dir, component.FileMeta{Mode: 0o644}), nil},
				"put below a file":          {putLine(odd+"/f", component.FileMeta{Mode: 0o644}), nil},
				"get a folder":              {getLine(dir), nil},
				"put a tree onto a file":    {putTreeLine(odd), nil},
			} {
				if _, err := run(c.line, "x"); err == nil || c.want != nil && !errors.Is(err, c.want) {
					t.Errorf("%s: %v", what, err)
				}
			}
			pack := exec.Command("tar", "-cf", "-", "-C", dir, ".")
			stream, err := pack.Output()
			if err != nil {
				t.Fatal(err)
			}
			to := filepath.Join(dir, "new", "-tree")
			if _, err := run(putTreeLine(to), string(stream)); err != nil {
				t.Errorf("put tree: %v", err)
			}
			if list, err := os.ReadDir(to); err != nil || len(list) != 1 || list[0].Name() != filepath.Base(odd) {
				t.Errorf("put tree: %v, %v", list, err)
			}
		})
	}
}

// TestKillScriptInEveryShell: it ends a command's processes and no others,
// with /proc and without. It runs where no other process can be reached.
func TestKillScriptInEveryShell(t *testing.T) {
	apart := []string{"--fork", "--pid", "--mount-proc", "--kill-child"}
	if os.Getuid() != 0 {
		apart = append(apart, "--user", "--map-root-user")
	}
	if out, err := exec.Command("unshare", append(apart, "sh", "-c", "[ $$ = 1 ]")...).CombinedOutput(); err != nil {
		t.Skipf("no process namespaces here: %v: %s", err, out)
	}
	for name, sh := range shells(t) {
		for _, proc := range []bool{true, false} {
			title, script, want := name, killScript, "bystander"
			if !proc && name == "busybox" {
				continue // BusyBox runs on Linux only, and its ps is another one
			}
			if !proc {
				title += " without proc"
				script = strings.Replace(script, "[ -r /proc/self/environ ] && proc=1", "", 1)
				if script == killScript {
					t.Fatal("the script looks for /proc in another way")
				}
				// What has lost its parents can then not be told from others.
				want = "bystander orphan"
			}
			t.Run(title, func(t *testing.T) {
				t.Parallel()
				cmd := exec.Command("unshare", append(apart, append([]string{"sh", "-c", killDriver, "sh"}, sh...)...)...)
				cmd.Env = append(os.Environ(), "SCRIPT="+script)
				out, err := cmd.CombinedOutput()
				if got := strings.Join(strings.Fields(string(out)), " "); err != nil || got != want {
					t.Errorf("left are %q, want %q (%v)", got, want, err)
				}
			})
		}
	}
}

// killDriver plays the SSH server: it starts commands as it does, runs the
// script for one of them, and prints what is left. Every process has a name in
// its last argument. The server is process 2, since 1 is special to the script.
const killDriver = `
sh -c '
	mark="export INGOT_COMMAND=0123456789abcdef; "
	setsid sh -c "$mark trap \"\" TERM; sleep 600.1 & sh -c \"trap \\\"\\\" TERM; while :; do sleep 1; done; true\" name=stubborn & (sleep 600; true) & wait" name=shell &
	setsid sh -c "$mark setsid sh -c \"sleep 600; true\" name=escaped; true" name=shell &
	setsid sh -c "$mark sh -c \"sleep 600; true\" name=orphan & true" name=shell &
	setsid sh -c "export INGOT_COMMAND=fedcba9876543210; sleep 600; true" name=bystander &
	setsid sh -c "sleep 600; true" name=bystander &
	sh -c "sleep 600; true" name=bystander &
	names() { ps -A -o stat= -o args= | grep -v "^Z" | grep -o "name=[a-z]* *$" | tr -d " " | grep -v "name=shell" | sort -u | sed "s/name=//"; }
	n=0
	until [ "$(names | tr "\n" " ")" = "bystander escaped orphan stubborn " ] || [ $n -gt 200 ]; do sleep 0.05; n=$((n+1)); done
	setsid "$@" -c "$SCRIPT" sh INGOT_COMMAND 0123456789abcdef >/tmp/null.$$ 2>&1 &
	wait $!
	rm -f /tmp/null.$$
	names
' server "$@" 2>/dev/null
true
`

func TestCheckPath(t *testing.T) {
	for _, bad := range []string{"", "a\x00b"} {
		if checkPath(bad) == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

// TestPace: handshakes that take too long get more time, refused logins wait
// longer each time.
func TestPace(t *testing.T) {
	p := &pace{clock: component.SystemClock{}, begin: time.Now(), budget: budget{time: time.Hour, attempts: 3}}
	if got := p.handshakeLimit(); got != 10*time.Second {
		t.Errorf("the first handshake may take %s", got)
	}
	for range 20 {
		_ = p.count(errSlow("x", time.Second))
	}
	if got := p.handshakeLimit(); got != time.Minute {
		t.Errorf("after 20 slow ones it may take %s", got)
	}
	_ = p.count(errors.New("refused"))
	if p.refused || p.slow != 20 {
		t.Errorf("a refused connection counts as something else: %+v", p)
	}
	for i := range 3 {
		err := p.count(&AuthError{})
		if (err != nil) != (i == 2) {
			t.Errorf("refusal %d: %v", i+1, err)
		}
	}
	p.budget.time = time.Second
	if got := p.handshakeLimit(); got > time.Second {
		t.Errorf("with a second left it may take %s", got)
	}
}

func TestBudget(t *testing.T) {
	for name, c := range map[string]struct {
		connection component.Connection
		want       budget
	}{
		"defaults":  {component.Connection{}, budget{5 * time.Minute, 10}},
		"timeout":   {component.Connection{SSHTimeout: time.Hour}, budget{time.Hour, 0}},
		"old name":  {component.Connection{SSHWaitTimeout: time.Hour}, budget{time.Hour, 0}},
		"attempts":  {component.Connection{SSHHandshakeAttempts: 3}, budget{5 * time.Minute, 3}},
		"both":      {component.Connection{SSHHandshakeAttempts: 3, SSHTimeout: time.Hour}, budget{time.Hour, 3}},
		"old first": {component.Connection{SSHTimeout: time.Minute, SSHWaitTimeout: time.Hour}, budget{time.Hour, 0}},
	} {
		if got := budgetOf(&c.connection); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

func TestOnlyChanges(t *testing.T) {
	for in, want := range map[string]bool{
		"":                                       false,
		"tar: ./log: file changed as we read it": true,
		"tar: ./s: socket ignored; tar: ./log: file changed as we read it":                               true,
		"tar: ./log: file changed as we read it; tar: ./x: Cannot open: Permission denied; tar: Exiting": false,
	} {
		if got := onlyChanges(in); got != want {
			t.Errorf("%q: got %v", in, got)
		}
	}
}
