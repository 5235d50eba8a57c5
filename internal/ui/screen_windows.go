package ui

import (
	"os"

	"golang.org/x/sys/windows"
)

// prepareScreen turns on escape sequences, which old consoles do not know.
func prepareScreen(out *os.File, _ func(string) string) bool {
	h := windows.Handle(out.Fd())
	var mode uint32
	if windows.GetConsoleMode(h, &mode) != nil {
		return false
	}
	return windows.SetConsoleMode(h, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) == nil
}
