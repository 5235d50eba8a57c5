//go:build unix

package hostproc_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"ingot/internal/component/componenttest"
	"ingot/internal/hostproc"
	"ingot/internal/procid"
)

func TestRun(t *testing.T) {
	r, j, _ := componenttest.NewRun(t)
	var out strings.Builder
	cmd := exec.Command("/bin/sh", "-c", "echo $"+procid.TokenVariable)
	cmd.Stdout = &out
	if err := hostproc.Run(context.Background(), r, cmd); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out.String(), "ingot-") {
		t.Errorf("the process has the token %q", out.String())
	}
	if open := j.Open(); len(open) > 0 {
		t.Errorf("still held: %v", open)
	}
	var exit *exec.ExitError
	if err := hostproc.Run(context.Background(), r, exec.Command("/bin/sh", "-c", "exit 3")); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("exit code 3 is %v", err)
	}
	if err := hostproc.Run(context.Background(), r, exec.Command("/nowhere/program")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that is not there is %v", err)
	}
	if open := j.Open(); len(open) > 0 {
		t.Errorf("still held: %v", open)
	}
}

// Ensure that what a process has started ends with it.
func TestRunIsCancelledWithDescendants(t *testing.T) {
	r, j, _ := componenttest.NewRun(t)
	stop := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	cmd := exec.Command("/bin/sh", "-c", "sleep 1000 & echo started; wait")
	cmd.Stdout = write
	result := make(chan error, 1)
	go func() { result <- hostproc.Run(ctx, r, cmd) }()
	if _, err := read.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	cancel(stop)
	if err := <-result; !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	write.Close()
	// The pipe ends when the last process that holds it has ended.
	if n, err := read.Read(make([]byte, 16)); n != 0 || err == nil {
		t.Errorf("the descendant wrote %d bytes, %v", n, err)
	}
	if open := j.Open(); len(open) > 0 {
		t.Errorf("still held: %v", open)
	}
}

func TestProcess(t *testing.T) {
	r, j, _ := componenttest.NewRun(t)
	p, err := hostproc.Start(context.Background(), r, exec.Command("sleep", "1000"))
	if err != nil {
		t.Fatal(err)
	}
	if p.PID() <= 1 || p.Err() != nil || len(j.Open()) != 1 {
		t.Errorf("process %d: %v, held %v", p.PID(), p.Err(), j.Open())
	}
	for range 2 {
		if err := p.End(context.Background()); err != nil {
			t.Error(err)
		}
	}
	<-p.Done()
	if p.Err() == nil || len(j.Open()) != 0 {
		t.Errorf("ended with %v, held %v", p.Err(), j.Open())
	}
}
