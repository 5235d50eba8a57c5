// Package junit writes the tests of a run as JUnit XML, which CI systems show. It
// takes them from the history of the run, which holds no secrets.
package junit

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/history"
)

// Options are how much of what checks print is in the file.
func Options() history.Options { return history.Options{Head: 200, Tail: 300} }

type (
	suites struct {
		XMLName  xml.Name `xml:"testsuites"`
		Name     string   `xml:"name,attr"`
		Tests    int      `xml:"tests,attr"`
		Failures int      `xml:"failures,attr"`
		Errors   int      `xml:"errors,attr"`
		Skipped  int      `xml:"skipped,attr"`
		Time     string   `xml:"time,attr"`
		Suites   []suite  `xml:"testsuite"`
	}
	suite struct {
		Name      string     `xml:"name,attr"`
		Tests     int        `xml:"tests,attr"`
		Failures  int        `xml:"failures,attr"`
		Errors    int        `xml:"errors,attr"`
		Skipped   int        `xml:"skipped,attr"`
		Time      string     `xml:"time,attr"`
		Timestamp string     `xml:"timestamp,attr"`
		Cases     []testcase `xml:"testcase"`
	}
	testcase struct {
		Name    string  `xml:"name,attr"`
		Class   string  `xml:"classname,attr"`
		Time    string  `xml:"time,attr"`
		Failure *reason `xml:"failure"`
		Error   *reason `xml:"error"`
		Skipped *reason `xml:"skipped"`
		Output  string  `xml:"system-out,omitempty"`
	}
	reason struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// Write writes the tests of a run: a suite for each test of each build, with a case
// for each check. A test whose machine could not be used has a case for that.
func Write(to io.Writer, run *history.Run) error {
	out := suites{Name: "ingot " + clean(run.Template)}
	var took time.Duration
	for _, b := range run.Builds {
		for _, p := range b.Phases {
			if p.Name != string(component.PhaseTest) {
				continue
			}
			s := newSuite(run, b, p)
			out.Suites = append(out.Suites, s)
			out.Tests, out.Failures = out.Tests+s.Tests, out.Failures+s.Failures
			out.Errors, out.Skipped = out.Errors+s.Errors, out.Skipped+s.Skipped
			took += p.Took()
		}
	}
	out.Time = seconds(took)
	if _, err := io.WriteString(to, xml.Header); err != nil {
		return fmt.Errorf("junit: %w", err)
	}
	enc := xml.NewEncoder(to)
	enc.Indent("", "  ")
	if err := enc.Encode(out); err != nil {
		return fmt.Errorf("junit: %w", err)
	}
	_, err := io.WriteString(to, "\n")
	return err
}

func newSuite(run *history.Run, b *history.Build, p *history.Phase) suite {
	s := suite{Name: clean(b.ID + ": " + p.Test), Time: seconds(p.Took()), Timestamp: run.Started.Add(p.Begin).UTC().Format("2006-01-02T15:04:05")}
	failed := false
	for _, st := range p.Steps {
		if st.Kind != addr.Check {
			continue // the error-cleanup-provisioner
		}
		c := newCase(run, b, p, st)
		failed = failed || c.Failure != nil || c.Error != nil
		s.add(c)
	}
	if !failed && p.Result(run) != history.Succeeded {
		why := "the run ended before the test did"
		if p.Err != nil {
			why = p.Err.Error()
		}
		s.add(testcase{
			Name: "machine", Class: clean(b.ID + "." + p.Test), Time: seconds(p.Took()),
			Error: &reason{Message: firstLine(why), Text: clean(why)}, Output: output(&p.Log),
		})
	}
	return s
}

func (s *suite) add(c testcase) {
	s.Cases = append(s.Cases, c)
	s.Tests++
	switch {
	case c.Failure != nil:
		s.Failures++
	case c.Error != nil:
		s.Errors++
	case c.Skipped != nil:
		s.Skipped++
	}
}

func newCase(run *history.Run, b *history.Build, p *history.Phase, st *history.Step) testcase {
	c := testcase{
		Name: fmt.Sprintf("%d. %s", st.Index+1, clean(cmp.Or(st.Name, st.Type))), Class: clean(b.ID + "." + p.Test), Time: seconds(st.Took()),
		Output: output(&st.Log),
	}
	switch {
	case st.Skipped:
		c.Skipped = &reason{Message: firstLine(st.Reason)}
	case st.Err != nil:
		c.Failure = &reason{Message: firstLine(st.Err.Error()), Text: clean(st.Err.Error())}
	case st.Result(run) != history.Succeeded:
		c.Error = &reason{Message: "the run ended before the check did"}
	}
	return c
}

// output is what was printed.
func output(l *history.Log) string {
	var out strings.Builder
	for _, line := range l.Head() {
		out.WriteString(clean(line.Text) + "\n")
	}
	if n := l.Missing(); n > 0 {
		fmt.Fprintf(&out, "... %d lines are left out ...\n", n)
	}
	for _, line := range l.Tail() {
		out.WriteString(clean(line.Text) + "\n")
	}
	return out.String()
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(clean(text), "\n")
	return line
}

// clean leaves out what XML cannot hold.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError, r < ' ' && r != '\n' && r != '\t', r == 0xFFFE, r == 0xFFFF:
			return -1
		}
		return r
	}, text)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
