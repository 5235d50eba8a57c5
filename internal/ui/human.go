package ui

import (
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// ColorMode is what the user said about colours.
type ColorMode uint8

// The modes.
const (
	// ColorAuto colours what goes to a terminal, unless NO_COLOR,
	// PACKER_NO_COLOR or INGOT_NO_COLOR is set to anything.
	ColorAuto ColorMode = iota
	// ColorAlways is -color given explicitly.
	ColorAlways
	// ColorNever is -color=false. It leaves out the header too.
	ColorNever
)

// HumanOptions choose what NewHuman makes.
type HumanOptions struct {
	Color ColorMode
	// Timestamps is -timestamp-ui.
	Timestamps bool
	// NoLive keeps to plain lines on a terminal too, as is needed when
	// something else, such as a log, is printed on it.
	NoLive bool
	// Getenv is os.Getenv if nil.
	Getenv func(string) string
}

// HumanSink is a Sink for people. It gives way to questions.
type HumanSink interface {
	Sink
	Pauser
}

// NewHuman returns a Terminal if out is a terminal that can show it, else a
// Plain.
func NewHuman(out, errOut *os.File, opts HumanOptions) HumanSink {
	getenv := opts.Getenv
	if getenv == nil {
		getenv = os.Getenv
	}
	tty := term.IsTerminal(int(out.Fd()))
	color, header := UseColor(opts.Color, tty, getenv), opts.Color != ColorNever
	if !tty || opts.NoLive || getenv("TERM") == "dumb" || !prepareScreen(out, getenv) {
		return NewPlain(out, errOut, PlainOptions{Color: color, Header: header, Timestamps: opts.Timestamps})
	}
	var errs io.Writer
	if !term.IsTerminal(int(errOut.Fd())) {
		errs = errOut
	}
	return NewTerminal(out, TerminalOptions{
		Color: color, Header: header, Timestamps: opts.Timestamps, ASCII: !wantsUnicode(getenv), Errors: errs,
		Size: func() (int, int) {
			columns, rows, err := term.GetSize(int(out.Fd()))
			if err != nil {
				return 0, 0
			}
			return columns, rows
		},
	})
}

// UseColor decides whether to colour what goes to a terminal (or not to one,
// if tty is false).
func UseColor(mode ColorMode, tty bool, getenv func(string) string) bool {
	if mode == ColorNever {
		return false
	}
	for _, name := range []string{"NO_COLOR", "PACKER_NO_COLOR", "INGOT_NO_COLOR"} {
		if getenv(name) != "" {
			return false
		}
	}
	return mode == ColorAlways || tty && getenv("TERM") != "dumb"
}

// wantsUnicode looks at the locale as the C library does. Without any, as in
// many containers, terminals still understand UTF-8.
func wantsUnicode(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(getenv(name)); v != "" {
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return getenv("TERM") != "linux"
}
