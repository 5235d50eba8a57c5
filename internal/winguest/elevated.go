package winguest

import (
	"bytes"
	"context"
	_ "embed" // for the scripts
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"ingot/internal/component"
)

// The scripts, in files of their own so that tools for PowerShell read them.
var (
	//go:embed elevated.ps1
	elevatedScript string
	//go:embed bootstrap.ps1
	bootstrapScript string
	//go:embed endtask.ps1
	endTaskScript string
)

// Account is another user of the machine. Without a password it is a service
// account, such as SYSTEM.
type Account struct{ User, Password string }

// runAs executes a command line with the highest rights of job's other user, in
// a scheduled task.
//
// The script that makes the task, and the password, travel on the standard
// input of PowerShell. Neither is ever in a file or a command line. The script
// removes the task; when it could not do so, because it was ended, a second
// one does.
func (m Machine) runAs(ctx context.Context, job Job, line string) (component.Exit, error) {
	account := *job.As
	if m.Comm.Caps().AlwaysPTY {
		return component.Exit{}, final(errors.New("elevated_user needs a connection without a terminal, on which the password would be echoed: unset ssh_pty"))
	}
	token := Unguessable()
	name, marker := "ingot-"+token, "ingot-elevated-"+token
	seconds := strconv.Itoa(max(int(m.Patience.Seconds()), 1))
	out, flush := m.shown(job.Stdout)
	complaints := &complaints{marker: marker, next: component.NewLineWriter(m.Events, component.Stderr)}
	exit, err := m.Comm.Run(ctx, component.Command{
		Line:   Own(bootstrapScript),
		Stdin:  parcel(elevatedScript, marker, name, line, account.User, account.Password, seconds),
		Stdout: out,
		Stderr: complaints,
	})
	flush()
	complaints.flush()
	if err != nil {
		m.endTask(ctx, name, errors.Is(err, component.ErrDisconnected) && (job.ComesBack || slices.Contains(job.ValidExitCodes, Disconnected)))
		return exit, err
	}
	if complaints.left != "" {
		m.Emit(component.Warning{Summary: "A scheduled task is left on the machine", Detail: fmt.Sprintf("The task %s could not be removed: %s.", name, strings.TrimSuffix(complaints.left, "."))})
	}
	switch {
	case complaints.early != "":
		return exit, refused(fmt.Errorf("run as %s: %s", account.User, complaints.early))
	case complaints.late != "":
		return exit, fmt.Errorf("run as %s: %s", account.User, complaints.late)
	}
	return exit, nil
}

// endTask stops and removes a task whose script may not have done so. With
// comesBack a machine that is restarting is waited for. When it cannot be reached
// any more, that is a warning: what is left is a task that nothing starts, and
// its output.
func (m Machine) endTask(ctx context.Context, name string, comesBack bool) {
	end := func(ctx context.Context) error {
		_, err := m.Output(ctx, Own("$name = "+Literal(name)+"\n"+endTaskScript))
		return err
	}
	var err error
	if comesBack && ctx.Err() == nil {
		err = m.patiently(ctx, end)
	} else {
		detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
		defer cancel()
		err = end(detached)
	}
	if err != nil {
		m.Emit(component.Warning{Summary: "A scheduled task may be left on the machine", Detail: fmt.Sprintf("The task %s could not be removed: %s.", name, err)})
	}
}

// parcel is what bootstrap.ps1 unpacks: texts in base64 with dots between
// them, in short lines, so that no code page and no line length matters.
func parcel(texts ...string) io.Reader {
	encoded := make([]string, len(texts))
	for i, t := range texts {
		encoded[i] = base64.StdEncoding.EncodeToString([]byte(t))
	}
	all := strings.Join(encoded, ".")
	var b bytes.Buffer
	const width = 76
	for len(all) > width {
		b.WriteString(all[:width] + "\r\n")
		all = all[width:]
	}
	b.WriteString(all + "\r\n")
	return &b
}

// complaints takes the lines of elevated.ps1's own out of the standard error.
// The command's output never gets there: it is all on the standard output.
type complaints struct {
	marker string
	next   *component.LineWriter

	mu                sync.Mutex
	buf               []byte // guarded by mu
	early, late, left string // guarded by mu until the command has ended
}

func (c *complaints) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.buf = append(c.buf, p...)
	for {
		i := bytes.IndexByte(c.buf, '\n')
		if i < 0 {
			break
		}
		c.line(string(c.buf[:i+1]))
		c.buf = c.buf[i+1:]
	}
	if len(c.buf) > maxKept {
		_, _ = c.next.Write(c.buf) // a LineWriter, which never fails
		c.buf = nil
	}
	return len(p), nil
}

func (c *complaints) line(text string) {
	_, own, found := strings.Cut(text, c.marker+" ")
	if !found {
		_, _ = c.next.Write([]byte(text)) // as above
		return
	}
	stage, reason, _ := strings.Cut(strings.TrimSpace(own), " ")
	switch stage {
	case "early":
		c.early = reason
	case "left":
		c.left = reason
	default:
		c.late = reason
	}
}

func (c *complaints) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.buf) > 0 {
		c.line(string(c.buf))
		c.buf = nil
	}
	c.next.Flush()
}
