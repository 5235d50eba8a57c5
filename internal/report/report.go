// Package report writes a run of the history as one HTML file for people: a
// timeline, what failed and why, and what each step printed. The file needs no
// network and no script, in light and dark, on a screen and on paper.
package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"

	"ingot/internal/history"
)

// Options returns what a run has to be read with: enough of what each step
// printed to see what it began with, and what led to its end.
func Options() history.Options { return history.Options{Head: 200, Tail: 1000} }

var (
	//go:embed report.html
	page string
	//go:embed report.css
	style string
)

// Write writes the report of a run. All texts of the run are escaped.
func Write(w io.Writer, run *history.Run) error {
	t, err := newTemplate()
	if err == nil {
		err = t.Execute(w, newView(run))
	}
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

func newTemplate() (*template.Template, error) { return template.New("report").Parse(page) }
