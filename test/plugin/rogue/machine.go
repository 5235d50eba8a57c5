//go:build unix

package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"ingot/internal/component"
)

// machine is this machine, as something to provision.
type machine struct{ r *rogue }

func (m *machine) Run(ctx context.Context, c component.Command) (component.Exit, error) {
	cmd := exec.CommandContext(ctx, "sh", "-c", c.Line)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	err := cmd.Run()
	if ended := new(exec.ExitError); errors.As(err, &ended) {
		err = nil
	}
	if err != nil {
		return component.Exit{}, err
	}
	return component.Exit{Code: cmd.ProcessState.ExitCode()}, nil
}

func (m *machine) Put(ctx context.Context, dst string, src io.Reader, _ component.FileMeta) error {
	if m.r.word == "slowreader" {
		<-ctx.Done() // nothing is ever read
		return ctx.Err()
	}
	f, err := os.Create(dst)
	if err != nil {
		return err
	}
	_, err = io.Copy(struct{ io.Writer }{f}, src)
	return errors.Join(err, f.Close())
}

func (m *machine) Get(_ context.Context, src string, dst io.Writer) error {
	f, err := os.Open(src)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.CopyBuffer(dst, struct{ io.Reader }{f}, make([]byte, 256<<10))
	return err
}

func (m *machine) PutTree(context.Context, string, io.Reader) error { return component.ErrUnsupported }
func (m *machine) GetTree(context.Context, string, io.Writer) error { return component.ErrUnsupported }
func (m *machine) Caps() component.Caps {
	return component.Caps{Run: true, Put: true, Get: true, Shell: component.POSIX, Transport: "rogue"}
}
func (m *machine) Close() error { return nil }
