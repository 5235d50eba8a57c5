package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// errInterrupted is the cause of contexts that a signal ended.
type errInterrupted struct{ sig os.Signal }

func (e errInterrupted) Error() string {
	name := e.sig.String()
	switch e.sig {
	case os.Interrupt:
		name = "Ctrl-C"
	case syscall.SIGTERM:
		name = "SIGTERM"
	case syscall.SIGHUP:
		name = "SIGHUP"
	}
	return "interrupted by " + name
}

// ladder is what Ctrl-C does: the first signal stops the work and releases
// what it holds, the second gives up the release (the journal remembers what
// is left), the third ends the program at once.
type ladder struct {
	// work ends at the first signal and release at the second.
	work, release context.Context
	stop          func()
}

// climb starts listening for SIGINT, SIGTERM and SIGHUP. say prints a line
// for the user; exit ends the process.
func climb(ctx context.Context, say func(string), exit func(code int)) ladder {
	work, endWork := context.WithCancelCause(ctx)
	release, endRelease := context.WithCancelCause(context.WithoutCancel(ctx))
	signals := make(chan os.Signal, 3)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	done := make(chan struct{})
	finished := make(chan struct{})
	// A reader of our output that goes away, as in `ingot build . | head`, must
	// not end us in the middle of a build. Catching the signal, other than
	// ignoring it, leaves the programs that we start alone.
	brokenPipe := make(chan os.Signal, 1)
	signal.Notify(brokenPipe, syscall.SIGPIPE)
	go func() {
		defer close(finished)
		for n := 1; ; n++ {
			select {
			case <-done:
				return
			case sig := <-signals:
				cause := errInterrupted{sig}
				switch n {
				case 1:
					endWork(cause)
					say(fmt.Sprintf("Cancelling build after receiving %s", sig))
				case 2:
					endRelease(cause)
					say("Interrupted again: no longer waiting for resources to be released. `ingot reap` removes what is left; one more interrupt ends ingot at once.")
				default:
					exit(exitFailure)
				}
			}
		}
	}()
	return ladder{work: work, release: release, stop: func() {
		signal.Stop(signals)
		signal.Stop(brokenPipe)
		close(done)
		<-finished
		endWork(nil)
		endRelease(nil)
	}}
}

// interruptible returns a context that the first SIGINT, SIGTERM or SIGHUP ends,
// for commands that hold nothing that has to be released. A second signal ends
// the program as usual.
func interruptible(ctx context.Context) (_ context.Context, stop func()) {
	work, end := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		select {
		case <-work.Done():
		case sig := <-signals:
			end(errInterrupted{sig})
		}
		signal.Stop(signals)
	}()
	return work, func() {
		end(nil)
		<-finished
	}
}

// interruptibleInput is a reader that gives up when its context ends.
type interruptibleInput struct {
	ctx context.Context
	io.Reader
}

// Read does not wait for a read of a terminal or pipe that the context has cut
// short, since there is no way to end one: it is left behind with its buffer,
// in a program that is about to end.
func (i interruptibleInput) Read(p []byte) (int, error) {
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		data := make([]byte, len(p))
		n, err := i.Reader.Read(data)
		done <- result{data[:n], err}
	}()
	select {
	case r := <-done:
		return copy(p, r.data), r.err
	case <-i.ctx.Done():
		return 0, context.Cause(i.ctx)
	}
}

// Streams are the program's standard streams.
type Streams struct {
	In       io.Reader
	Out, Err *os.File
}

// OSStreams returns the process's own streams.
func OSStreams() Streams { return Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr} }
