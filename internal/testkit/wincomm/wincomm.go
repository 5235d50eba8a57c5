// Package wincomm is a Windows machine for tests, as far as a provisioner sees
// one: it remembers what is uploaded and run, and answers as the test says. It
// runs nothing.
package wincomm

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"unicode/utf16"

	"ingot/internal/component"
)

// Call is a command that was run.
type Call struct {
	// Line is the command line as it came, Script the PowerShell script of
	// its -EncodedCommand, if it has one.
	Line, Script string
	// Stdin is all of its standard input.
	Stdin string
	// N counts the commands from 1 on.
	N              int
	Stdout, Stderr io.Writer
}

// Machine is the double. Its zero value takes everything and answers every
// command with exit code 0.
type Machine struct {
	// On answers commands.
	On func(ctx context.Context, c Call) (component.Exit, error)
	// OnPut is asked before the n-th upload, counted from 1.
	OnPut func(n int, path string) error
	// AlwaysPTY is what Caps says.
	AlwaysPTY bool

	mu    sync.Mutex
	files map[string]string // guarded by mu
	puts  []string          // guarded by mu
	calls []Call            // guarded by mu
}

var _ component.Communicator = (*Machine)(nil)

// Run implements component.Communicator.
func (m *Machine) Run(ctx context.Context, c component.Command) (component.Exit, error) {
	if err := context.Cause(ctx); err != nil {
		return component.Exit{}, err
	}
	call := Call{Line: c.Line, Script: Script(c.Line), Stdout: c.Stdout, Stderr: c.Stderr}
	if c.Stdin != nil {
		in, err := io.ReadAll(c.Stdin)
		if err != nil {
			return component.Exit{}, err
		}
		call.Stdin = string(in)
	}
	m.mu.Lock()
	call.N = len(m.calls) + 1
	m.calls = append(m.calls, call)
	m.mu.Unlock()
	if m.On == nil {
		return component.Exit{}, nil
	}
	return m.On(ctx, call)
}

// Put implements component.Communicator.
func (m *Machine) Put(ctx context.Context, dst string, src io.Reader, meta component.FileMeta) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	m.puts = append(m.puts, dst)
	n := len(m.puts)
	m.mu.Unlock()
	body, err := io.ReadAll(src)
	if err != nil {
		return err
	}
	if int64(len(body)) != meta.Size {
		return fmt.Errorf("the size is %d, announced were %d", len(body), meta.Size)
	}
	if m.OnPut != nil {
		if err := m.OnPut(n, dst); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files == nil {
		m.files = map[string]string{}
	}
	m.files[dst] = string(body)
	return nil
}

// Get implements component.Communicator.
func (m *Machine) Get(context.Context, string, io.Writer) error { return component.ErrUnsupported }

// PutTree implements component.Communicator.
func (m *Machine) PutTree(context.Context, string, io.Reader) error { return component.ErrUnsupported }

// GetTree implements component.Communicator.
func (m *Machine) GetTree(context.Context, string, io.Writer) error { return component.ErrUnsupported }

// Caps implements component.Communicator.
func (m *Machine) Caps() component.Caps {
	return component.Caps{Run: true, Put: true, AlwaysPTY: m.AlwaysPTY, Shell: component.Cmd, Transport: "winrm"}
}

// Close implements component.Communicator.
func (m *Machine) Close() error { return nil }

// Calls are the commands so far.
func (m *Machine) Calls() []Call {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Call(nil), m.calls...)
}

// Files are what was uploaded last to each path.
func (m *Machine) Files() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.files)
}

// Puts are the paths of all uploads that were tried.
func (m *Machine) Puts() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.puts...)
}

// Script decodes the -EncodedCommand of a command line; it is empty when there
// is none.
func Script(line string) string {
	_, encoded, found := strings.Cut(line, "-EncodedCommand ")
	if !found {
		return ""
	}
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(raw)%2 != 0 {
		return "not decodable: " + encoded
	}
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(raw[2*i:])
	}
	return string(utf16.Decode(units))
}

// Unpack decodes the texts that travel on the standard input of an elevated
// command: the script and its arguments.
func Unpack(stdin string) ([]string, error) {
	var out []string
	for _, part := range strings.Split(strings.NewReplacer("\r", "", "\n", "").Replace(stdin), ".") {
		text, err := base64.StdEncoding.DecodeString(part)
		if err != nil {
			return nil, fmt.Errorf("unpack: %w", err)
		}
		out = append(out, string(text))
	}
	return out, nil
}
