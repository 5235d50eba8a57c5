package winrm

import (
	"fmt"
	"strings"
	"time"

	"ingot/internal/component"
	"ingot/internal/retry"
)

// stage is how far an attempt to connect has come: what it waits for now.
type stage int

const (
	stageAddress stage = iota
	stageTCP
	stageHTTP
	stageAuth
	stageShell
	stagePowerShell
)

// name is the stage as users see it.
func (s stage) name(target string) string {
	switch s {
	case stageAddress:
		return "address of the machine"
	case stageTCP:
		return "tcp " + target
	case stageHTTP:
		return "http answer of " + target
	case stageAuth:
		return "winrm authentication at " + target
	case stageShell:
		return "winrm shell on " + target
	}
	return "powershell on " + target
}

// hint says what to check when the stage never came true.
func (s stage) hint() string {
	switch s {
	case stageAddress:
		return "the machine never got an address: check its network and, for a virtual machine, that it boots and asks for a lease"
	case stageTCP:
		return "check that the machine boots, that its WinRM service is started (winrm quickconfig), and that no firewall or security group is in the way; winrm_host and winrm_port must be reachable from here"
	case stageHTTP:
		return "something accepts the connection but does not answer as WinRM does: check winrm_use_ssl and winrm_port (5985 without, 5986 with it), and winrm_insecure for a certificate that nobody knows"
	case stageAuth:
		return "check that the machine has the way to log in that is asked for (winrm_use_ntlm), and winrm_username"
	case stageShell:
		return "the login works but no remote shell can be made: check that the user is an administrator, and the limits of the service (winrm get winrm/config/winrs)"
	}
	return "a remote shell works but PowerShell does not answer: check that powershell.exe is in the PATH of the machine"
}

// WaitError says that a machine could not be reached in time.
type WaitError struct {
	// Stage is what never came true and Hint what to check.
	Stage, Hint string
	// Elapsed is how long it was waited for, and Attempts how often it was
	// tried.
	Elapsed  time.Duration
	Attempts int
	// Last is the last attempt's error; nil when there was none.
	Last error
}

// Error says all of it in one line.
func (e *WaitError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "winrm: timed out after %s waiting for the %s (%d attempts)", e.Elapsed.Round(time.Millisecond), e.Stage, e.Attempts)
	if e.Last != nil {
		fmt.Fprintf(&b, "; the last error was: %v", e.Last)
	}
	fmt.Fprintf(&b, "; %s; winrm_timeout sets how long to wait", e.Hint)
	return b.String()
}

// Unwrap returns the last attempt's error.
func (e *WaitError) Unwrap() error { return e.Last }

// RetryClass is Transient: the machine may come up after all.
func (e *WaitError) RetryClass() retry.Class { return retry.Transient }

// watch follows the stages of all attempts to reach one machine and tells the
// user when something changes. Attempts come one after the other.
type watch struct {
	r        component.Run
	begin    time.Time
	target   string
	now      stage
	furthest stage
	said     string
	saidAt   time.Time
}

// repeatAfter is how often the same reason is told again.
const repeatAfter = 5 * time.Second

func newWatch(r component.Run) *watch {
	return &watch{r: r, begin: r.Clock.Now(), furthest: -1}
}

// enter notes that the attempt waits for s. The first time that any attempt
// has come so far, the user is told.
func (w *watch) enter(s stage) {
	w.now = s
	if s > w.furthest {
		w.furthest = s
		w.say("")
	}
}

// failed notes why the attempt went no further.
func (w *watch) failed(err error) { w.say(err.Error()) }

func (w *watch) say(detail string) {
	name, now := w.now.name(w.target), w.r.Clock.Now()
	if text := name + "\x00" + detail; text != w.said || now.Sub(w.saidAt) >= repeatAfter {
		w.said, w.saidAt = text, now
		w.r.Emit(component.Waiting{For: name, Detail: detail, Elapsed: now.Sub(w.begin)})
	}
}

func (w *watch) timedOut(s stage, attempts int, last error) error {
	return &WaitError{
		Stage: s.name(w.target), Hint: s.hint(),
		Elapsed: w.r.Clock.Now().Sub(w.begin), Attempts: attempts, Last: last,
	}
}
