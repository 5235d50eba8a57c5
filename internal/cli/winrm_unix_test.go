//go:build unix

package cli

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"ingot/internal/testkit/live"
	"ingot/internal/testkit/sshd"
	"ingot/internal/testkit/winrmd"
)

// winrmKey is where a script's WinRM server is among its values.
const winrmKey = "winrm"

type winrmHolder struct{ server *winrmd.Server }

// winrmServer starts a WinRM server for the rest of the script: winrm-server
// [-tls] [-ntlm] [-away DURATION] [-key REGISTRY-KEY] [-drop ACTION:N] [-lose
// ACTION:N]. With -drop, the connection is cut at the N-th request for an action,
// with -lose after it was done. Its user is tester with
// the password s3cret, and WINRM_HOST, WINRM_PORT and MACHINE, the folder with
// its drives, are set.
func winrmServer(ts *testscript.TestScript, neg bool, args []string) {
	flags := flag.NewFlagSet("winrm-server", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	ssl, ntlm := flags.Bool("tls", false, ""), flags.Bool("ntlm", false, "")
	away, key := flags.Duration("away", 0, ""), flags.String("key", "", "")
	drop, lose := flags.String("drop", "", ""), flags.String("lose", "", "")
	if err := flags.Parse(args); err != nil || neg || flags.NArg() > 0 {
		ts.Fatalf("usage: winrm-server [-tls] [-ntlm] [-away DURATION] [-key KEY] [-drop ACTION:N] [-lose ACTION:N]: %v", err)
	}
	root := ts.MkAbs("machine")
	ts.Check(os.MkdirAll(filepath.Join(root, "C", "Windows", "Temp"), 0o700))
	cfg := winrmd.Config{
		User: "tester", Password: "s3cret", TLS: *ssl, Away: *away,
		Accounts: map[string]string{"Administrator": "Ever's \"elevated"}, Script: (&windowsUpdate{}).script,
	}
	cfg.Fault = func(r winrmd.Request) winrmd.Fault {
		this := r.Action + ":" + strconv.Itoa(r.N)
		return winrmd.Fault{Drop: this == *drop, Lose: this == *lose}
	}
	if *ntlm {
		cfg.Offers = []string{"Negotiate"}
	}
	if *key != "" {
		cfg.RegistryKeys = []string{*key}
	}
	s := winrmd.New(root, cfg)
	ts.Defer(s.Close)
	holder, _ := ts.Value(winrmKey).(*winrmHolder)
	if holder.server != nil {
		holder.server.Close()
	}
	holder.server = s
	ts.Setenv("WINRM_HOST", s.Host())
	ts.Setenv("WINRM_PORT", strconv.Itoa(s.Port()))
	ts.Setenv("MACHINE", root)
}

// sshOnWindows starts an SSH server on the machine of winrm-server:
// windows-sshd [-powershell]. SSH_PORT is set, the user is tester with the
// password s3cret. With -powershell, that is the shell of the server.
func sshOnWindows(t testing.TB) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		holder, _ := ts.Value(winrmKey).(*winrmHolder)
		powershell := slices.Equal(args, []string{"-powershell"})
		if neg || len(args) > 0 && !powershell || holder.server == nil {
			ts.Fatalf("usage: windows-sshd [-powershell], after winrm-server")
		}
		machine := holder.server
		s := sshd.Start(t, sshd.Options{
			User: "tester", Password: "s3cret", Version: "SSH-2.0-OpenSSH_for_Windows_9.5",
			Files: func(path string) string { return machine.Path(strings.TrimPrefix(path, "/")) },
			Exec: func(c *sshd.Call) sshd.Status {
				if machine.Away() {
					return sshd.Status{Drop: true}
				}
				return sshd.Status{Code: machine.Command(c.Context, powershell, c.Line, c.Stdin, c.Stdout, c.Stderr)}
			},
		})
		ts.Setenv("SSH_PORT", strconv.Itoa(s.Port()))
	}
}

// winrmState checks what is left on the server: winrm-state RESTARTS. There must
// be no shells, no scheduled tasks and no files in the folder for temporary
// ones.
func winrmState(ts *testscript.TestScript, neg bool, args []string) {
	holder, _ := ts.Value(winrmKey).(*winrmHolder)
	if neg || len(args) != 1 || holder.server == nil {
		ts.Fatalf("usage: winrm-state RESTARTS, after winrm-server")
	}
	s := holder.server
	if got := strconv.Itoa(s.Restarts()); got != args[0] {
		ts.Fatalf("%s restarts, want %s", got, args[0])
	}
	for deadline := time.Now().Add(waitLimit); s.Shells() > 0 && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
	files, err := os.ReadDir(s.Path(`C:\Windows\Temp`))
	ts.Check(err)
	if len(files)+s.Shells()+s.Tasks() > 0 {
		ts.Fatalf("left: %d shells, %d tasks, files %v", s.Shells(), s.Tasks(), files)
	}
}

// powershellSyntax parses all scripts that the machine of winrm-server has run:
// powershell-syntax NUMBER, which is how many there must be at least.
func powershellSyntax(ts *testscript.TestScript, neg bool, args []string) {
	holder, _ := ts.Value(winrmKey).(*winrmHolder)
	if neg || len(args) != 1 || holder.server == nil {
		ts.Fatalf("usage: powershell-syntax NUMBER, after winrm-server")
	}
	modules, there := live.PowerShellGrammar()
	if !there {
		ts.Logf("there is no grammar of PowerShell: the scripts are not parsed")
		return
	}
	least, err := strconv.Atoi(args[0])
	ts.Check(err)
	dir := ts.MkAbs("scripts")
	ts.Check(os.RemoveAll(dir))
	ts.Check(os.Mkdir(dir, 0o700))
	// To make the parser fast takes node longer than to parse with a slow one.
	command := []string{"--liftoff-only", filepath.Join(ts.Getenv("ROOT"), "internal", "cli", "testdata", "parse-powershell.cjs"), modules}
	for i, text := range holder.server.Scripts() {
		command = append(command, filepath.Join(dir, strconv.Itoa(i)+".ps1"))
		ts.Check(os.WriteFile(command[len(command)-1], []byte(text), 0o600))
	}
	if n := len(command) - 3; n < least {
		ts.Fatalf("only %d scripts were run", n)
	}
	// One that is wrong shows that the others are looked at.
	broken := filepath.Join(dir, "broken.ps1")
	ts.Check(os.WriteFile(broken, []byte("if ($a { 1 }\n"), 0o600))
	if err := ts.Exec("node", append(command, broken)...); err == nil {
		ts.Fatalf("a broken script is taken for a good one")
	}
	if err := ts.Exec("node", command...); err != nil {
		ts.Fatalf("%v", err)
	}
}

// windowsUpdate has one update, which needs a restart.
type windowsUpdate struct {
	mu   sync.Mutex
	done bool // guarded by mu
}

func (u *windowsUpdate) script(_ context.Context, text string, out io.Writer) (int, bool) {
	_, encoded, found := strings.Cut(text, "$encoded = '")
	encoded, script, _ := strings.Cut(encoded, "'\n")
	if !found || !strings.Contains(script, "Microsoft.Update.Session") {
		return 0, false
	}
	var request struct {
		Marker   string `json:"marker"`
		Criteria string `json:"criteria"`
	}
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err == nil {
		err = json.Unmarshal(raw, &request)
	}
	if err != nil || request.Criteria != "IsInstalled=0" {
		fmt.Fprintf(out, "got %s, %v\r\n", raw, err)
		return 5, true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	events := []string{`{"event":"searching"}`}
	if !u.done {
		events = append(events, `{"event":"found","id":"1","title":"Kumulatives Update für Windows (KB5031364)","kb":["5031364"],"size":400000000,"left":""}`)
	}
	events = append(events, `{"event":"chosen"}`)
	if !u.done {
		events = append(events, `{"event":"downloading","index":0}`, `{"event":"downloaded","index":0,"code":2}`,
			`{"event":"installing","index":0}`, `{"event":"installed","index":0,"code":2,"reboot":true}`)
	}
	for _, e := range append(events, fmt.Sprintf(`{"event":"end","reboot":%t}`, !u.done)) {
		fmt.Fprintf(out, "%s %s\r\n", request.Marker, base64.StdEncoding.EncodeToString([]byte(e)))
	}
	u.done = true
	return 0, true
}
