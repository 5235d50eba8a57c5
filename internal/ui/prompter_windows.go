package ui

import (
	"errors"
	"os"

	"golang.org/x/term"
)

// openConsole opens the console when standard input is one.
func openConsole() (*console, error) {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return nil, ErrNoTerminal
	}
	in, err := os.OpenFile("CONIN$", os.O_RDWR, 0)
	if err != nil {
		return nil, ErrNoTerminal
	}
	out, err := os.OpenFile("CONOUT$", os.O_RDWR, 0)
	if err != nil {
		return nil, errors.Join(ErrNoTerminal, in.Close())
	}
	return &console{in: in, out: out, close: func() error { return errors.Join(in.Close(), out.Close()) }}, nil
}
