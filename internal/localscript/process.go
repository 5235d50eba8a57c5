package localscript

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"

	"ingot/internal/component"
	"ingot/internal/hostproc"
)

// lingering is how long output may stay open after a script's end before we
// say that we wait for it.
const lingering = 2 * time.Second

// releaseTimeout bounds the removal of what a failed script has left running.
const releaseTimeout = 30 * time.Second

// execute runs a command in a process group of its own until it has ended and
// nobody holds its output any more. When ctx ends, the whole group is ended
// and the error is the cause. What a successful script leaves running in the
// background, on purpose, goes on.
func (s *Scripts) execute(ctx context.Context, r component.Run, cmd *exec.Cmd) (component.Exit, error) {
	out, err := newOutput(r.Events)
	if err != nil {
		return component.Exit{}, err
	}
	defer out.close()
	cmd.Stdout, cmd.Stderr = out.ends[0], out.ends[1]
	lease, err := hostproc.Acquire(ctx, r, cmd)
	out.closeOurEnds()
	if err != nil {
		return component.Exit{}, err
	}
	out.start()
	exit, err := s.wait(ctx, r, cmd, out)
	if err == nil && slices.Contains(s.ValidExitCodes, exit.Code) {
		return exit, lease.Keep(context.WithoutCancel(ctx))
	}
	detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	if relErr := lease.Release(detached); relErr != nil {
		err = errors.Join(err, fmt.Errorf("end the script's processes: %w", relErr))
	}
	return exit, err
}

func (s *Scripts) wait(ctx context.Context, r component.Run, cmd *exec.Cmd, out *output) (component.Exit, error) {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		exit, err := exitOf(cmd, err)
		if err != nil {
			return exit, err
		}
		if err := out.drain(ctx, r); err != nil {
			hostproc.EndGroup(cmd, true)
			return exit, err
		}
		return exit, nil
	case <-ctx.Done():
	}
	hostproc.EndGroup(cmd, false)
	grace := time.NewTimer(s.grace)
	defer grace.Stop()
	select {
	case <-ended:
		// Grandchildren may be slower than the script itself, or ignore
		// the signal.
		hostproc.EndGroup(cmd, true)
	case <-grace.C:
		hostproc.EndGroup(cmd, true)
		<-ended
	}
	return component.Exit{}, context.Cause(ctx)
}

// exitOf turns what Wait returned into an exit code.
func exitOf(cmd *exec.Cmd, err error) (component.Exit, error) {
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		return component.Exit{}, err
	}
	return exitStatus(cmd.ProcessState), nil
}

// output carries what the process prints to the events.
type output struct {
	ours, ends [2]*os.File // reading and writing ends of stdout and stderr
	lines      [2]*component.LineWriter
	copying    sync.WaitGroup
	done       chan struct{}
}

func newOutput(sink component.Sink) (*output, error) {
	o := &output{done: make(chan struct{})}
	for i, stream := range []component.Stream{component.Stdout, component.Stderr} {
		r, w, err := os.Pipe()
		if err != nil {
			o.closeOurEnds()
			o.closeReading()
			return nil, fmt.Errorf("pipe for the script's output: %w", err)
		}
		o.ours[i], o.ends[i], o.lines[i] = r, w, component.NewLineWriter(sink, stream)
	}
	return o, nil
}

// closeOurEnds leaves the process as the only one that can write.
func (o *output) closeOurEnds() {
	for i, f := range o.ends {
		if f != nil {
			f.Close()
			o.ends[i] = nil
		}
	}
}

func (o *output) closeReading() {
	for _, f := range o.ours {
		if f != nil {
			f.Close()
		}
	}
}

func (o *output) start() {
	for i := range o.ours {
		o.copying.Go(func() {
			// It ends with the last writer, or when close is called.
			_, _ = io.Copy(o.lines[i], o.ours[i])
			o.lines[i].Flush()
		})
	}
	go func() {
		o.copying.Wait()
		close(o.done)
	}()
}

// drain waits until nobody holds the output open any more.
func (o *output) drain(ctx context.Context, r component.Run) error {
	note := time.NewTimer(lingering)
	defer note.Stop()
	for {
		select {
		case <-o.done:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-note.C:
			r.Emit(component.Waiting{
				For:     "background processes of the script",
				Detail:  "the script has ended, but something that it started still holds its output",
				Elapsed: lingering,
			})
		}
	}
}

// close gives what has been printed so far a moment to arrive, then stops
// reading, and waits for the goroutines.
func (o *output) close() {
	o.closeOurEnds()
	for _, f := range o.ours {
		_ = f.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	}
	o.copying.Wait()
	o.closeReading()
}
