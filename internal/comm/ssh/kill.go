package ssh

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"time"
)

// OpenSSH leaves a command running when its session is closed, and delivers
// signals for some users only. So that a cancelled command can be found, every
// command line starts with the assignment of an environment variable that has
// a random value. It costs nothing in the normal case: there is no process and
// no round trip more. When a command is cancelled, killScript runs in a second
// session and looks for the value.

// markVariable is the environment variable.
const markVariable = "INGOT_COMMAND"

// killLimit is how long ending a command may take.
const killLimit = 6 * time.Second

//go:embed kill.sh
var killScript string

// newToken makes a random value for markVariable.
func newToken() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// mark adds the assignment to a command line.
func mark(line, token string) string {
	if token == "" {
		return line
	}
	return "export " + markVariable + "=" + token + "; " + line
}

// kill ends the processes of the command with the token. It reports whether
// any were found.
func (l *link) kill(token string) bool {
	if token == "" || !l.alive() {
		return false
	}
	l.killing.Lock()
	defer l.killing.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), killLimit)
	defer cancel()
	s, err := l.patientOpen(ctx)
	if err != nil {
		return false
	}
	var out bytes.Buffer
	// The script must not contain the value that it looks for.
	line := "exec sh -c " + quote(killScript) + " sh " + markVariable + " " + token
	exit, err := s.run(ctx, command{line: line, stdout: &out})
	return err == nil && exit.Code == 0 && bytes.HasPrefix(out.Bytes(), []byte("ended"))
}
