package localscript

import (
	"os"

	"ingot/internal/component"
)

func exitStatus(state *os.ProcessState) component.Exit {
	return component.Exit{Code: state.ExitCode()}
}

func plainCommand() []string { return []string{"cmd", "/V", "/C", "{{.Vars}}", "call", "{{.Script}}"} }

func defaultCommand(path, _ string) []string { return []string{"cmd", "/V", "/C", "call", path} }
