package cloudinit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"ingot/internal/component"
)

// machine is asked about its cloud-init.
type machine struct {
	component.Target
	since time.Time
	// plain says that its cloud-init is too old for a status in JSON.
	plain bool
}

func (m *machine) elapsed() time.Duration { return m.Clock.Now().Sub(m.since) }

// answerError is an answer of cloud-init that is no status.
type answerError struct {
	exit component.Exit
	text string
}

func (e *answerError) Error() string {
	if e.text == "" {
		return fmt.Sprintf("cloud-init status ended with %s and said nothing", e.exit)
	}
	return fmt.Sprintf("cloud-init status ended with %s: %s", e.exit, e.text)
}

// absentCode is what a shell ends with for a command that does not exist.
const absentCode = 127

// status waits on the machine until cloud-init has ended, and returns what it
// says then.
func (m *machine) status(ctx context.Context) (status, error) {
	format := "--format json"
	if m.plain {
		format = "--long"
	}
	var out, errOut bytes.Buffer
	exit, err := m.Comm.Run(ctx, component.Command{
		Line:   "cloud-init status --wait " + format,
		Stdout: &out,
		Stderr: &errOut,
	})
	if err != nil {
		return status{}, err
	}
	parse := parseJSON
	if m.plain {
		parse = parseLong
	}
	if st, ok := parse(out.Bytes()); ok {
		return st, nil
	}
	text := lastLine(errOut.String() + "\n" + out.String())
	switch {
	case exit.Code == absentCode:
		return status{}, errAbsent
	case !m.plain && strings.Contains(errOut.String()+out.String(), "unrecognized arguments"):
		m.plain = true
		return m.status(ctx)
	}
	return status{}, &answerError{exit, text}
}

// lastLine is the last line that holds anything: where a Python program says
// what went wrong.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// statusFile is where cloud-init notes its progress. Reading it costs far less
// than starting cloud-init.
const statusFile = "/run/cloud-init/status.json"

// stage is what cloud-init is doing, "" when that is not known.
func (m *machine) stage(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lookTimeout, errTimeout)
	defer cancel()
	var out bytes.Buffer
	if _, err := m.Comm.Run(ctx, component.Command{Line: "cat " + statusFile, Stdout: &out}); err != nil {
		return "", err
	}
	var file struct {
		V1 struct {
			Stage string `json:"stage"`
		} `json:"v1"`
	}
	if json.Unmarshal(out.Bytes(), &file) != nil {
		return "", nil // it is being written, or is not there yet
	}
	return file.V1.Stage, nil
}

func (m *machine) stageOrNothing(ctx context.Context) string {
	stage, err := m.stage(ctx)
	if err != nil {
		return ""
	}
	return stage
}

// reportProgress says from time to time what is being waited for, until the
// function that it returns is called, which may be done more than once.
func (m *machine) reportProgress(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for m.Clock.Sleep(ctx, progressInterval) == nil {
			stage, err := m.stage(ctx)
			detail := ""
			switch {
			case err != nil:
				detail = err.Error()
			case stage != "":
				detail = "stage " + stage
			}
			if ctx.Err() == nil {
				m.Emit(component.Waiting{For: "cloud-init", Detail: detail, Elapsed: m.elapsed()})
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// The logs of cloud-init, with the commands that pick what tells of a problem.
// An ordinary user may not read the first one.
var logs = []struct{ file, pick string }{
	{"/var/log/cloud-init.log", `grep -E '\[(WARNING|ERROR|CRITICAL)\]|^Traceback|^[A-Za-z_.]+(Error|Exception)' | tail -n 20`},
	{"/var/log/cloud-init-output.log", "tail -n 20"},
}

// showLogs prints the lines of the logs that tell of problems, as far as they
// can be read.
func (m *machine) showLogs(ctx context.Context) {
	ctx, cancel := context.WithTimeoutCause(ctx, lookTimeout, errTimeout)
	defer cancel()
	for _, log := range logs {
		var out bytes.Buffer
		line := fmt.Sprintf("{ cat %[1]s 2>/dev/null || sudo -n cat %[1]s 2>/dev/null; } | %[2]s", log.file, log.pick)
		if _, err := m.Comm.Run(ctx, component.Command{Line: line, Stdout: &out}); err != nil {
			m.Say(fmt.Sprintf("%s cannot be read: %s", log.file, err))
			return
		}
		if strings.TrimSpace(out.String()) == "" {
			continue
		}
		m.Say("From " + log.file + ":")
		w := component.NewLineWriter(m.Events, component.Stderr)
		_, _ = w.Write(out.Bytes()) // it never fails
		w.Flush()
	}
}
