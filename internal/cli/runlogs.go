package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/history"
	"ingot/internal/ui"
)

type runLogsFlags struct {
	build  string
	follow bool
	times  bool
}

func (a *app) runsLogsCommand() *cobra.Command {
	var f runLogsFlags
	c := &cobra.Command{
		Use:   "logs [flags] RUN",
		Short: "Print what a run printed",
		Long: `Prints what a run printed, as lines, whatever form it was shown in. Of output
beyond 16 MB there is only the beginning. What went wrong is on standard output
as well.`,
		Example: `  ingot runs logs last
  ingot runs logs -f last
  ingot runs logs -build=docker.web 019f2c31`,
		Args:              oneRun(),
		ValidArgsFunction: a.completeRuns,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.runLogs(cmd, f, args[0]) },
	}
	fl := c.Flags()
	fl.SortFlags = false
	fl.StringVar(&f.build, "build", "", "only what this build printed; the `name` is that which each line has")
	fl.BoolVarP(&f.follow, "follow", "f", false, "go on until a run that is under way has ended")
	fl.BoolVar(&f.times, "timestamp-ui", false, "start each line with the time")
	return c
}

// followEvery is how often a run that goes on is looked at.
const followEvery = 200 * time.Millisecond

func (a *app) runLogs(cmd *cobra.Command, f runLogsFlags, name string) (err error) {
	id, file, d, err := a.openHistory(name)
	if err != nil {
		return err
	}
	defer file.Close()
	in, err := history.NewReader(file)
	if err != nil {
		return fmt.Errorf("history: %s: %w", file.Name(), err)
	}
	plain := ui.NewPlain(a.streams.Out, a.streams.Out, ui.PlainOptions{
		Header: f.build == "", Timestamps: f.times, Color: ui.UseColor(ui.ColorAuto, isTerminal(a.streams.Out), a.getenv),
	})
	defer func() { err = errors.Join(err, plain.Close()) }()
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	p := replay{in: in, to: plain, build: f.build}
	for alive := isAlive(d); ; {
		goesOn := f.follow && alive(id) // before the look that has to find the last line
		if err := errors.Join(p.all(), p.missing()); err != nil || p.ended || !goesOn {
			return err
		}
		if err := (component.SystemClock{}).Sleep(ctx, followEvery); err != nil {
			return nil // Ctrl-C is how one stops following
		}
	}
}

// replay hands the events of a file to a sink.
type replay struct {
	in    *history.Reader
	to    ui.Sink
	build string
	// builds are those of the run, once it has begun.
	builds []string
	ended  bool
}

// all hands on what there is by now.
func (p *replay) all() error {
	for {
		e, err := p.in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("history: %w", err)
		}
		p.one(e)
	}
}

func (p *replay) one(e history.Entry) {
	switch ev := e.Event.(type) {
	case nil:
		e.Event = component.Message{Text: findingText(e.Finding)}
	case component.RunStarted:
		for _, b := range ev.Builds {
			p.builds = append(p.builds, b.String())
		}
	case component.RunEnded:
		p.ended = true
	}
	if p.build == "" || e.Build.String() == p.build && !e.Build.IsZero() {
		p.to.Handle(e.Stamped)
	}
}

// missing is the mistake that no build of a run that has begun has the name that
// was asked for.
func (p *replay) missing() error {
	if p.build == "" || len(p.builds) == 0 {
		return nil
	}
	for _, b := range p.builds {
		if b == p.build {
			return nil
		}
	}
	text := fmt.Sprintf("the run has no build %q", p.build)
	if near, ok := diag.Nearest(p.build, p.builds); ok {
		return fmt.Errorf("%s. Did you mean %q?", text, near)
	}
	return fmt.Errorf("%s; it has %s", text, strings.Join(p.builds, ", "))
}

// findingText is a finding about the template in plain lines.
func findingText(f *history.Finding) string {
	text := f.Summary
	if f.Severity != "" {
		text = strings.ToUpper(f.Severity[:1]) + f.Severity[1:] + ": " + text
	}
	if f.File != "" {
		text += fmt.Sprintf(" (%s line %d)", f.File, f.Line)
	}
	if f.Detail != "" {
		text += "\n" + f.Detail
	}
	return text
}
