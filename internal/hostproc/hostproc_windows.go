package hostproc

import (
	"os/exec"
	"strconv"
)

func ownGroup(*exec.Cmd) {}

// EndGroup ends the process with all that it started. Windows has no polite
// way to ask a console program that does not share our console, so both steps
// are the same.
func EndGroup(cmd *exec.Cmd, _ bool) {
	tree := exec.Command("taskkill", "/T", "/F", "/PID", strconv.Itoa(cmd.Process.Pid))
	if tree.Run() != nil {
		_ = cmd.Process.Kill() // gone already is fine
	}
}
