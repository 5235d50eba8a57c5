package componenttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ingot/internal/component"
)

var runChecks = []communicatorCheck{
	{"run/exit codes", needsRun, func(s *communicatorCase) {
		for _, code := range []int{0, 1, 2, 3, 42, 64, 99, 125, 126, 127, 128, 129, 137, 200, 254, 255} {
			if got := s.sh(fmt.Sprintf("exit %d", code)).code; got != code {
				s.Errorf("exit %d: got code %d", code, got)
			}
		}
	}},
	{"run/exit code of the last command", needsRun, func(s *communicatorCase) {
		if got := s.sh("true; false").code; got != 1 {
			s.Errorf("true; false: got code %d, want 1", got)
		}
		if got := s.sh("false; true").code; got != 0 {
			s.Errorf("false; true: got code %d, want 0", got)
		}
	}},
	{"run/unknown command", needsRun, func(s *communicatorCase) {
		if got := s.sh("no-such-command-here").code; got != 127 {
			s.Errorf("got code %d, want the shell's 127", got)
		}
	}},
	{"run/ended by a signal", needsRun, func(s *communicatorCase) {
		var exit component.Exit
		exit, err := s.c.Run(s.ctx, component.Command{Line: "kill -9 $$"})
		if err == nil && exit.Code != 137 {
			s.Errorf("got code %d, want 137 (or an error, when the transport does not tell)", exit.Code)
		}
	}},
	{"run/streams are separate", needsRun, func(s *communicatorCase) {
		r := s.sh("echo out; echo err >&2")
		if r.out != "out\n" || r.stderr != "err\n" {
			s.Errorf("stdout %q, stderr %q", r.out, r.stderr)
		}
	}},
	{"run/order is kept", needsRun, func(s *communicatorCase) {
		r := s.sh("i=0; while [ $i -lt 2000 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done")
		for stream, text := range map[string]string{"out": r.out, "err": r.stderr} {
			var want strings.Builder
			for i := range 2000 {
				fmt.Fprintln(&want, stream, i)
			}
			s.same("std"+stream, []byte(text), []byte(want.String()))
		}
	}},
	{"run/all output is written before it returns", needsRunAndPut, func(s *communicatorCase) {
		want := noise(300 << 10)
		s.put("file", want, plain(len(want)))
		w := &slowWriter{}
		s.command(component.Command{Line: "cat " + s.at("file"), Stdout: w})
		s.same("what had been written when Run returned", w.seen(), want)
	}},
	{"run/nothing is written after it returned", needsRun, func(s *communicatorCase) {
		w := &slowWriter{}
		ctx, cancel := context.WithCancelCause(s.ctx)
		started := &awaited{text: "started"}
		go func() {
			started.wait(s.ctx)
			cancel(errEnough)
		}()
		_, _ = s.c.Run(ctx, component.Command{Line: "echo noise; echo started >&2; while :; do echo noise; done", Stdout: w, Stderr: started})
		before := len(w.seen())
		for range 20 {
			pause(s.ctx, 10*time.Millisecond)
		}
		if after := len(w.seen()); after != before {
			s.Errorf("%d bytes were written after Run had returned", after-before)
		}
	}},
	{"run/output without a final newline", needsRun, func(s *communicatorCase) {
		if r := s.sh("printf 'no end'"); r.out != "no end" {
			s.Errorf("got %q", r.out)
		}
	}},
	{"run/large output", needsRunAndPut, func(s *communicatorCase) {
		block := noise(1 << 20)
		s.put("block", block, plain(len(block)))
		r := s.sh("i=0; while [ $i -lt 20 ]; do cat " + s.at("block") + "; i=$((i+1)); done")
		s.same("20 MB", []byte(r.out), bytes.Repeat(block, 20))
	}},
	{"run/binary output", needsRunAndPut, func(s *communicatorCase) {
		var all []byte
		for i := range 256 {
			all = append(all, byte(i), byte(255-i), '\r', '\n')
		}
		s.put("all", all, plain(len(all)))
		r := s.sh("cat " + s.at("all") + "; cat " + s.at("all") + " >&2")
		s.same("stdout", []byte(r.out), all)
		s.same("stderr", []byte(r.stderr), all)
	}},
	{"run/output comes as it is made", needsRun, func(s *communicatorCase) {
		// The command's input comes only when its first output has been seen.
		in, feed := io.Pipe()
		ready := &awaited{text: "ready\n"}
		go func() {
			ready.wait(s.ctx)
			_, _ = io.WriteString(feed, "go on\n")
			_ = feed.Close()
		}()
		s.command(component.Command{Line: "echo ready; cat", Stdin: in, Stdout: ready})
		if got := ready.String(); got != "ready\ngo on\n" {
			s.Errorf("got %q", got)
		}
	}},
	{"run/stdin arrives and ends", needsRun, func(s *communicatorCase) {
		want := noise(1 << 20)
		var out bytes.Buffer
		s.command(component.Command{Line: "cat", Stdin: bytes.NewReader(want), Stdout: &out})
		s.same("stdin", out.Bytes(), want)
	}},
	{"run/no stdin is an empty one", needsRun, func(s *communicatorCase) {
		if r := s.sh("cat; echo end"); r.out != "end\n" {
			s.Errorf("got %q", r.out)
		}
	}},
	{"run/stdin need not be read", needsRun, func(s *communicatorCase) {
		if r := s.command(component.Command{Line: "exit 3", Stdin: endless{}}); r.code != 3 {
			s.Errorf("got code %d, want 3", r.code)
		}
	}},
	{"run/output may be discarded", needsRun, func(s *communicatorCase) {
		exit, err := s.c.Run(s.ctx, component.Command{Line: "echo out; echo err >&2; exit 4"})
		if err != nil || exit.Code != 4 {
			s.Errorf("got %v, %v", exit, err)
		}
	}},
	{"run/the line is the shell's", needsRun, func(s *communicatorCase) {
		line := "x='a  b'; echo \"$x\" \"$(echo sub)\" 'q\"q' | cat && echo \\$HOME \\\\ # comment\necho two; (exit 5) || echo \"five $?\""
		if r := s.sh(line); r.out != "a  b sub q\"q\n$HOME \\\ntwo\nfive 5\n" {
			s.Errorf("got %q, %q", r.out, r.stderr)
		}
	}},
	{"run/commands do not share state", needsRun, func(s *communicatorCase) {
		s.sh("cd /; x=1; export x")
		if r := s.sh(`echo "[$x]"`); r.out != "[]\n" {
			s.Errorf("got %q", r.out)
		}
	}},
	{"run/eight at a time", needsRun, func(s *communicatorCase) {
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				for j := range 3 {
					want := fmt.Sprintf("command %d.%d", i, j)
					var out bytes.Buffer
					exit, err := s.c.Run(s.ctx, component.Command{
						Line: fmt.Sprintf("cat; exit %d", 10*i+j), Stdin: strings.NewReader(want), Stdout: &out,
					})
					if err != nil || exit.Code != 10*i+j || out.String() != want {
						s.Errorf("%s: got %v, %v, %q", want, exit, err, out.String())
					}
				}
			})
		}
		all.Wait()
	}},
	{"run/eight that wait for each other", needsRun, func(s *communicatorCase) {
		// Every command's input comes when all have started.
		var all sync.WaitGroup
		var started atomic.Int32
		everybody := make(chan struct{})
		for range 8 {
			all.Go(func() {
				in, feed := io.Pipe()
				ready := &awaited{text: "ready"}
				all.Go(func() {
					ready.wait(s.ctx)
					if started.Add(1) == 8 {
						close(everybody)
					}
					select {
					case <-everybody:
					case <-s.ctx.Done():
					}
					_ = feed.Close()
				})
				if _, err := s.c.Run(s.ctx, component.Command{Line: "echo ready; cat", Stdin: in, Stdout: ready}); err != nil {
					s.Errorf("Run: %v", err)
				}
			})
		}
		all.Wait()
	}},
	{"run/terminal", func(c component.Caps, cfg CommunicatorConfig) bool { return needsRun(c, cfg) && c.PTY }, func(s *communicatorCase) {
		var out, errs bytes.Buffer
		r := s.command(component.Command{Line: "test -t 1 && echo terminal; echo err >&2; exit 6", PTY: true, Stdout: &out, Stderr: &errs})
		text := strings.ReplaceAll(out.String(), "\r", "")
		if text != "terminal\nerr\n" || errs.Len() != 0 || r.code != 6 {
			s.Errorf("stdout %q, stderr %q, code %d", text, errs.String(), r.code)
		}
	}},
	{"run/no terminal unless asked for", func(c component.Caps, cfg CommunicatorConfig) bool {
		return needsRun(c, cfg) && !c.AlwaysPTY
	}, func(s *communicatorCase) {
		if r := s.sh("test -t 0 || test -t 1 || test -t 2 || echo none"); r.out != "none\n" {
			s.Errorf("got %q", r.out)
		}
	}},
}

func needsKill(c component.Caps, cfg CommunicatorConfig) bool {
	return needsRun(c, cfg) && !cfg.CannotKill
}

var errEnough = errors.New("that is enough")

var cancelChecks = []communicatorCheck{
	{"cancel/returns the cause", needsRun, func(s *communicatorCase) {
		err := s.cancelled("echo started; while :; do sleep 1; done")
		if !errors.Is(err, errEnough) {
			s.Errorf("got %v, want an error that wraps the context's cause", err)
		}
	}},
	{"cancel/does not look like an exit", needsRun, func(s *communicatorCase) {
		if err := s.cancelled("echo started; while :; do sleep 1; done"); err == nil {
			s.Errorf("no error")
		}
	}},
	{"cancel/before it starts", needsRun, func(s *communicatorCase) {
		ctx, cancel := context.WithCancelCause(s.ctx)
		cancel(errEnough)
		if _, err := s.c.Run(ctx, component.Command{Line: "echo x > " + s.at("marker")}); !errors.Is(err, errEnough) {
			s.Errorf("got %v, want the cause", err)
		}
		if r := s.sh("test -e " + s.at("marker")); r.code == 0 {
			s.Errorf("the command was run all the same")
		}
	}},
	{"cancel/ends the command", needsKill, func(s *communicatorCase) {
		_ = s.cancelled("echo started; while :; do echo beat >> " + s.at("beat") + "; sleep 0.05 || sleep 1; done")
		s.standsStill("beat")
	}},
	{"cancel/ends the command's children", needsKill, func(s *communicatorCase) {
		child := "while :; do echo beat >> " + s.at("beat") + "; sleep 0.05 || sleep 1; done"
		_ = s.cancelled("echo started; sh -c '" + child + "; true' & sh -c '" + child + "; true'; true")
		s.standsStill("beat")
	}},
	{"cancel/ends only that command", needsKill, func(s *communicatorCase) {
		in, feed := io.Pipe()
		ready := &awaited{text: "ready\n"}
		other := make(chan string, 1)
		go func() {
			exit, err := s.c.Run(s.ctx, component.Command{Line: "echo ready; cat; exit 8", Stdin: in, Stdout: ready})
			other <- fmt.Sprint(exit, err)
		}()
		ready.wait(s.ctx)
		_ = s.cancelled("echo started; while :; do sleep 1; done")
		_, _ = io.WriteString(feed, "still here")
		_ = feed.Close()
		if got := <-other; got != "exit code 8 <nil>" || ready.String() != "ready\nstill here" {
			s.Errorf("the other command: %s, %q", got, ready.String())
		}
	}},
	{"cancel/a deadline", needsRun, func(s *communicatorCase) {
		ctx, cancel := context.WithTimeoutCause(s.ctx, 200*time.Millisecond, errEnough)
		defer cancel()
		if _, err := s.c.Run(ctx, component.Command{Line: "while :; do sleep 1; done"}); !errors.Is(err, errEnough) {
			s.Errorf("got %v, want the cause", err)
		}
	}},
	{"cancel/the communicator stays usable", needsRun, func(s *communicatorCase) {
		_ = s.cancelled("echo started; while :; do sleep 1; done")
		if r := s.sh("echo alive"); r.out != "alive\n" {
			s.Errorf("got %q", r.out)
		}
	}},
	{"cancel/put", needsPut, func(s *communicatorCase) {
		ctx, cancel := context.WithCancelCause(s.ctx)
		src := &stalling{first: noise(64 << 10), stalled: func() { cancel(errEnough) }, until: s.ctx.Done()}
		if err := s.c.Put(ctx, s.at("file"), src, component.FileMeta{Size: -1}); !errors.Is(err, errEnough) {
			s.Errorf("got %v, want the cause", err)
		}
	}},
	{"cancel/get", needsPut, func(s *communicatorCase) {
		s.put("file", noise(8<<20), plain(8<<20))
		ctx, cancel := context.WithCancelCause(s.ctx)
		if err := s.c.Get(ctx, s.at("file"), writerFunc(func(p []byte) (int, error) {
			cancel(errEnough)
			<-ctx.Done()
			return len(p), nil
		})); !errors.Is(err, errEnough) {
			s.Errorf("got %v, want the cause", err)
		}
	}},
	{"cancel/put tree", needsTree, func(s *communicatorCase) {
		ctx, cancel := context.WithCancelCause(s.ctx)
		var all bytes.Buffer
		_, _ = io.Copy(&all, archive(file("big", noise(1<<20), 0o644)))
		src := &stalling{first: all.Bytes()[:600<<10], stalled: func() { cancel(errEnough) }, until: s.ctx.Done()}
		if err := s.c.PutTree(ctx, s.at("tree"), src); !errors.Is(err, errEnough) {
			s.Errorf("got %v, want the cause", err)
		}
	}},
	{"cancel/get tree", needsTree, func(s *communicatorCase) {
		s.putTree("tree", file("big", noise(8<<20), 0o644))
		ctx, cancel := context.WithCancelCause(s.ctx)
		if err := s.c.GetTree(ctx, s.at("tree"), writerFunc(func(p []byte) (int, error) {
			cancel(errEnough)
			<-ctx.Done()
			return len(p), nil
		})); !errors.Is(err, errEnough) {
			s.Errorf("got %v, want the cause", err)
		}
	}},
}

// cancelled runs a line that prints "started" and cancels it then.
func (s *communicatorCase) cancelled(line string) error {
	s.Helper()
	ctx, cancel := context.WithCancelCause(s.ctx)
	defer cancel(nil)
	started := &awaited{text: "started"}
	go func() {
		started.wait(s.ctx)
		cancel(errEnough)
	}()
	_, err := s.c.Run(ctx, component.Command{Line: line, Stdout: started})
	if s.ctx.Err() != nil {
		s.Fatalf("Run did not return after its context had been cancelled")
	}
	if !started.seen() {
		s.Fatalf("the command was never started: %v", err)
	}
	return err
}

// standsStill checks that a file that a command appends to all the time does
// not grow any more. The command may need a moment to end.
func (s *communicatorCase) standsStill(name string) {
	s.Helper()
	size := func() string { return s.sh("wc -c < " + s.at(name)).out }
	before := size()
	for range 20 {
		pause(s.ctx, 500*time.Millisecond)
		after := size()
		if after == before {
			return
		}
		before = after
	}
	s.Errorf("the command still runs: its file has grown to %s bytes", strings.TrimSpace(before))
}

// pause waits for things to happen that must not happen.
func pause(ctx context.Context, d time.Duration) {
	_ = component.SystemClock{}.Sleep(ctx, d) // the end of ctx is found by what follows
}

// awaited is a buffer that tells when a text has been written to it.
type awaited struct {
	text string

	mu   sync.Mutex // guards what follows
	buf  strings.Builder
	done chan struct{}
}

func (a *awaited) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.buf.Write(p)
	if c := a.channel(); strings.Contains(a.buf.String(), a.text) {
		select {
		case <-c:
		default:
			close(c)
		}
	}
	return len(p), nil
}

// channel is called with mu held.
func (a *awaited) channel() chan struct{} {
	if a.done == nil {
		a.done = make(chan struct{})
	}
	return a.done
}

func (a *awaited) wait(ctx context.Context) {
	a.mu.Lock()
	c := a.channel()
	a.mu.Unlock()
	select {
	case <-c:
	case <-ctx.Done():
	}
}

func (a *awaited) seen() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Contains(a.buf.String(), a.text)
}

func (a *awaited) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.buf.String()
}

// slowWriter takes its time.
type slowWriter struct {
	mu  sync.Mutex // guards buf
	buf []byte
}

func (w *slowWriter) Write(p []byte) (int, error) {
	t := time.NewTimer(time.Millisecond)
	<-t.C
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf = append(w.buf, p...)
	return len(p), nil
}

func (w *slowWriter) seen() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Clone(w.buf)
}

// endless is a source without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// stalling gives its first bytes and then nothing until a channel closes.
type stalling struct {
	first   []byte
	stalled func()
	until   <-chan struct{}
}

func (r *stalling) Read(p []byte) (int, error) {
	if len(r.first) > 0 {
		n := copy(p, r.first)
		r.first = r.first[n:]
		return n, nil
	}
	r.stalled()
	<-r.until
	return 0, errors.New("nobody stopped the transfer")
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
