package localscript

import (
	"os"
	"os/exec"
	"strconv"

	"ingot/internal/component"
)

func ownGroup(*exec.Cmd) {}

// endGroup ends the process with all that it started. Windows has no polite
// way to ask a console program that does not share our console, so both steps
// are the same.
func endGroup(cmd *exec.Cmd, _ bool) {
	tree := exec.Command("taskkill", "/T", "/F", "/PID", strconv.Itoa(cmd.Process.Pid))
	if tree.Run() != nil {
		_ = cmd.Process.Kill() // gone already is fine
	}
}

func exitStatus(state *os.ProcessState) component.Exit {
	return component.Exit{Code: state.ExitCode()}
}

func plainCommand() []string { return []string{"cmd", "/V", "/C", "{{.Vars}}", "call", "{{.Script}}"} }

func defaultCommand(path, _ string) []string { return []string{"cmd", "/V", "/C", "call", path} }
