package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"ingot/internal/history"
	"ingot/internal/junit"
	"ingot/internal/report"
)

func (a *app) runsReportCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "report RUN FILE",
		Short: "Write a run as a page for a browser",
		Long: `Writes one run as a single HTML file: a timeline of phases and steps, what each
step printed, waits, retries, resources, artifacts, and on top what failed. It
needs no network and no script. 'ingot build -report=FILE' writes the same at the
end of a build.`,
		Example: `  ingot runs report last out.html
  ingot runs report 019f2c31 report.html`,
		Args:              oneRun("FILE"),
		ValidArgsFunction: a.completeRuns,
		RunE: func(_ *cobra.Command, args []string) error {
			run, err := a.readRun(args[0], report.Options())
			if err != nil {
				return err
			}
			return writeReport(args[1], run)
		},
	}
}

// writeReport makes or replaces the file as a whole.
func writeReport(path string, run *history.Run) error {
	var page bytes.Buffer
	if err := report.Write(&page, run); err != nil {
		return err
	}
	if err := replaceFile(path, page.Bytes()); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// place is the history that a run is recorded in.
type place struct {
	history.Store
	run string
	// remove is called when it is not needed any more.
	remove func() error
}

// passing is a place for a run that is not remembered, but that a report is to be
// made of.
func passing(tempDir, run string) (place, error) {
	dir, err := os.MkdirTemp(tempDir, "ingot-report-")
	if err != nil {
		return place{}, err
	}
	return place{history.Store{Dir: dir}, run, func() error { return os.RemoveAll(dir) }}, nil
}

// report writes the report that was asked for. A build does not fail because of
// it.
func (s *screen) report(path string) {
	if path == "" || s.recordedIn.run == "" {
		return
	}
	run, err := s.readRecorded(report.Options())
	if err == nil {
		err = writeReport(path, run)
	}
	if err != nil {
		s.warn(fmt.Sprintf("No report was written (%v).", err))
	}
}

// testResults writes the results of the tests. When that was asked for and cannot be
// done, a CI system shows none: the warning says so.
func (s *screen) testResults(path string) {
	if path == "" || s.recordedIn.run == "" {
		return
	}
	run, err := s.readRecorded(junit.Options())
	var out bytes.Buffer
	if err == nil {
		err = junit.Write(&out, run)
	}
	if err == nil {
		err = replaceFile(path, out.Bytes())
	}
	if err != nil {
		s.warn(fmt.Sprintf("No results of tests were written (%v).", err))
	}
}

// readRecorded is the run that has just ended.
func (s *screen) readRecorded(o history.Options) (*history.Run, error) {
	f, err := os.Open(s.recordedIn.Path(s.recordedIn.run))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return history.Read(f, o, false)
}

// forget removes what was recorded for a report or a trace alone.
func (s *screen) forget() {
	if s.recordedIn.remove == nil {
		return
	}
	if err := s.recordedIn.remove(); err != nil {
		s.warn(err.Error())
	}
}

// reportRefused writes the report of a template that nothing could be built of.
func (s *screen) reportRefused(f buildFlags, template string, cause error) {
	if f.report == "" {
		return
	}
	id, err := uuid.NewV7()
	if err == nil {
		err = s.recordPassing(header(f, openRun{id: id.String(), started: s.app.start}, template, true, nil))
	}
	if err != nil {
		s.warn(fmt.Sprintf("No report was written (%v).", err))
		return
	}
	if errors.As(cause, new(exitError)) {
		cause = errors.New("nothing was built: the template has mistakes")
	}
	s.recorded(cause)
	s.report(f.report)
	s.forget()
}
