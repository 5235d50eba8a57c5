package ssh

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"ingot/internal/component"
	"ingot/internal/retry"
)

// stage is how far an attempt to connect has come: what it waits for now.
type stage int

const (
	stageAddress stage = iota
	stageBastion
	stageTCP
	stageBanner
	stageHostKey
	stageAuth
	stageSession
)

// name is the stage as users see it.
func (s stage) name(target string) string {
	switch s {
	case stageAddress:
		return "address of the machine"
	case stageBastion:
		return "ssh bastion"
	case stageTCP:
		return "tcp " + target
	case stageBanner:
		return "ssh banner of " + target
	case stageHostKey:
		return "ssh host key of " + target
	case stageAuth:
		return "ssh authentication at " + target
	}
	return "ssh session on " + target
}

// hint says what to check when the stage never came true.
func (s stage) hint() string {
	switch s {
	case stageAddress:
		return "the machine never got an address: check its network and, for a virtual machine, that it boots and asks for a lease"
	case stageBastion:
		return "check ssh_bastion_host and ssh_bastion_port, and that the bastion can be reached from here"
	case stageTCP:
		return "check that the machine boots, that its SSH server is started, and that no firewall or security group is in the way; ssh_host and ssh_port must be reachable from here"
	case stageBanner:
		return "something accepts the connection but no SSH server answers: the machine may still be booting behind a forwarded port, or ssh_port belongs to something else"
	case stageHostKey:
		return "an SSH server answers but no keys could be agreed on: check ssh_ciphers and ssh_key_exchange_algorithms if they are set"
	case stageAuth:
		return "check ssh_username and the credentials, and that the machine sets them up at boot"
	}
	return "the login works but no command can be run: check the user's shell and the SSH server's limits"
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
	fmt.Fprintf(&b, "ssh: timed out after %s waiting for the %s (%d attempts)", e.Elapsed.Round(time.Millisecond), e.Stage, e.Attempts)
	if e.Last != nil {
		fmt.Fprintf(&b, "; the last error was: %v", e.Last)
	}
	fmt.Fprintf(&b, "; %s; ssh_timeout sets how long to wait", e.Hint)
	return b.String()
}

// Unwrap returns the last attempt's error.
func (e *WaitError) Unwrap() error { return e.Last }

// RetryClass is Transient: the machine may come up after all.
func (e *WaitError) RetryClass() retry.Class { return retry.Transient }

// watch follows the stages of all attempts to reach one machine and tells the
// user when something changes.
type watch struct {
	r     component.Run
	begin time.Time

	mu       sync.Mutex // guards what follows
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

// aim says which address the attempts go to from now on.
func (w *watch) aim(target string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.target = target
}

// enter notes that the attempt waits for s. The first time that any attempt
// has come so far, the user is told.
func (w *watch) enter(s stage) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = s
	if s > w.furthest {
		w.furthest = s
		w.say("")
	}
}

// failed notes why the attempt went no further.
func (w *watch) failed(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.say(err.Error())
}

// say is called with mu held.
func (w *watch) say(detail string) {
	name := w.now.name(w.target)
	now := w.r.Clock.Now()
	if text := name + "\x00" + detail; text != w.said || now.Sub(w.saidAt) >= repeatAfter {
		w.said, w.saidAt = text, now
		w.r.Emit(component.Waiting{For: name, Detail: detail, Elapsed: now.Sub(w.begin)})
	}
}

// warn tells the user of something that does not stop us.
func (w *watch) warn(err error) {
	w.r.Emit(component.Warning{Summary: "Host keys", Detail: strings.TrimPrefix(err.Error(), "ssh: ")})
}

// current is the stage that the attempt has come to.
func (w *watch) current() stage {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// timedOut makes the error for giving up.
func (w *watch) timedOut(attempts int, last error) error {
	return w.ended(w.current(), attempts, last)
}

// ended is timedOut for an attempt that had come to stage s.
func (w *watch) ended(s stage, attempts int, last error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return &WaitError{
		Stage: s.name(w.target), Hint: s.hint(),
		Elapsed: w.r.Clock.Now().Sub(w.begin), Attempts: attempts, Last: last,
	}
}
