package componenttest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"ingot/internal/component"
)

// CommunicatorConfig says how to get communicators for the suite.
type CommunicatorConfig struct {
	// New returns a communicator to a running POSIX machine. The suite
	// closes what it returns. Communicators may share a machine.
	New func(t testing.TB) component.Communicator
	// Dir is a folder on the machine that exists and that the user may
	// write to. Every check works in a new folder below it.
	Dir string
	// Unwritable is a path on the machine that the user may not create a
	// file at, although its folder exists; empty when the user may do
	// everything.
	Unwritable string
	// CannotKill is for transports that cannot end a command.
	CannotKill bool
	// NoShell is for machines that have no shell for people although they give
	// terminals to commands.
	NoShell bool
	// WindowsFiles is for communicators that write files as Windows has them:
	// without modes and links, and with fewer names. The machine still gives
	// command lines to a POSIX shell.
	WindowsFiles bool
}

// patience is how long anything in the suite may take. Nothing is asserted
// about speed: it only keeps a broken communicator from blocking the tests.
const patience = time.Minute

// communicatorCheck is one promise.
type communicatorCheck struct {
	name string
	// needs says whether the check makes sense.
	needs func(component.Caps, CommunicatorConfig) bool
	check func(*communicatorCase)
}

// Communicator checks that a communicator keeps the contract of
// component.Communicator.
func Communicator(t *testing.T, cfg CommunicatorConfig) {
	var shared component.Communicator
	for _, k := range communicatorChecks() {
		if shared == nil {
			shared = cfg.New(t)
			t.Cleanup(closer(t, shared))
		}
		ok := t.Run(k.name, func(t *testing.T) {
			c := shared
			if k.closes() {
				c = cfg.New(t)
				t.Cleanup(closer(t, c))
			}
			if !k.run(t, cfg, c) {
				t.Skip("the communicator does not declare what this needs")
			}
		})
		if !ok {
			shared = nil // what one check has broken shall not fail others
		}
	}
}

// closer closes a communicator after the checks; the ones about Close have
// done so already.
func closer(t testing.TB, c component.Communicator) func() {
	return func() {
		if err := c.Close(); err != nil {
			t.Logf("closing after the checks: %v", err)
		}
	}
}

func communicatorChecks() []communicatorCheck {
	var out []communicatorCheck
	for _, list := range [][]communicatorCheck{runChecks, cancelChecks, putChecks, getChecks, treeChecks, shellChecks, lifeChecks} {
		out = append(out, list...)
	}
	return out
}

// closes says whether the check closes its communicator.
func (k communicatorCheck) closes() bool { return strings.HasPrefix(k.name, "close/") }

// run executes the check. It returns false when it makes no sense for the
// communicator.
func (k communicatorCheck) run(t testing.TB, cfg CommunicatorConfig, c component.Communicator) bool {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	s := &communicatorCase{TB: t, cfg: cfg, c: c, ctx: ctx, caps: c.Caps()}
	if k.needs != nil && !k.needs(s.caps, cfg) {
		return false
	}
	s.makeDir()
	k.check(s)
	return true
}

// communicatorCase is what a check works with.
type communicatorCase struct {
	testing.TB
	cfg  CommunicatorConfig
	c    component.Communicator
	caps component.Caps
	// ctx ends when patience is over.
	ctx context.Context
	// dir is a new remote folder.
	dir string
}

func (s *communicatorCase) makeDir() {
	s.Helper()
	s.dir = path.Join(s.cfg.Dir, "check-"+randomName())
	switch {
	case s.caps.Tree:
		if err := s.c.PutTree(s.ctx, s.dir, archive()); err != nil {
			s.Fatalf("PutTree to make the folder for the check: %v", err)
		}
	case s.caps.Run:
		if exit, err := s.c.Run(s.ctx, component.Command{Line: "mkdir -p " + s.dir}); err != nil || exit.Code != 0 {
			s.Fatalf("mkdir to make the folder for the check: %v, %v", exit, err)
		}
	default:
		s.dir = s.cfg.Dir
		return
	}
	s.Cleanup(func() {
		// Contexts of the test have ended by now.
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if s.caps.Run {
			// Checks that close the communicator leave an empty folder.
			_, _ = s.c.Run(ctx, component.Command{Line: "chmod -R u+rwx " + s.dir + "; rm -rf " + s.dir})
		}
	})
}

// at is a path below the check's folder.
func (s *communicatorCase) at(name string) string { return path.Join(s.dir, name) }

// result is what a command did.
type result struct {
	code        int
	out, stderr string
}

// sh runs a line that must not fail as an operation.
func (s *communicatorCase) sh(line string) result {
	s.Helper()
	return s.command(component.Command{Line: line})
}

func (s *communicatorCase) command(c component.Command) result {
	s.Helper()
	var out, errs bytes.Buffer
	if c.Stdout == nil {
		c.Stdout = &out
	}
	if c.Stderr == nil {
		c.Stderr = &errs
	}
	exit, err := s.c.Run(s.ctx, c)
	if err != nil {
		s.Fatalf("Run(%q): %v", c.Line, err)
	}
	return result{exit.Code, out.String(), errs.String()}
}

// put uploads text to a file in the check's folder.
func (s *communicatorCase) put(name string, body []byte, meta component.FileMeta) {
	s.Helper()
	if err := s.c.Put(s.ctx, s.at(name), bytes.NewReader(body), meta); err != nil {
		s.Fatalf("Put(%q): %v", s.at(name), err)
	}
}

// get downloads a file from the check's folder.
func (s *communicatorCase) get(name string) []byte {
	s.Helper()
	var out bytes.Buffer
	if err := s.c.Get(s.ctx, s.at(name), &out); err != nil {
		s.Fatalf("Get(%q): %v", s.at(name), err)
	}
	return out.Bytes()
}

// same compares contents without printing megabytes.
func (s *communicatorCase) same(what string, got, want []byte) {
	s.Helper()
	if bytes.Equal(got, want) {
		return
	}
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	s.Errorf("%s: got %d bytes, want %d, first difference at %d: %q, want %q", what, len(got), len(want), at, excerpt(got, at), excerpt(want, at))
}

func excerpt(b []byte, at int) []byte { return b[min(at, len(b)):min(at+32, len(b))] }

// plain is the meta of a file of which nothing special is wanted.
func plain(size int) component.FileMeta {
	return component.FileMeta{Mode: 0o644, Size: int64(size)}
}

// noise is bytes that no compression or text conversion leaves alone.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

func randomName() string { return hex.EncodeToString(noise(6)) }

// oddNames are file names that break careless command lines and protocols.
var oddNames = []string{
	"with space", " leading and trailing ", "-rf", "--help", `quote'single`, `quote"double`, "$HOME", "`id`", "$(id)",
	"semi;colon", "amp&ersand", "star*", "que?ry", "back\\slash", "new\nline", "tab\tstop", "ünï-çødé-漢字", "#hash", "~tilde", "a=b", "{x,y}", "!bang", "%41", "C0644 5 name",
}

// names is the odd names that the machine can have.
func (s *communicatorCase) names() []string {
	if !s.cfg.WindowsFiles {
		return oddNames
	}
	return slices.DeleteFunc(slices.Clone(oddNames), func(name string) bool {
		return strings.ContainsAny(name, "<>:\"|?*\\\n\t") || strings.HasSuffix(name, " ")
	})
}

func needsRun(c component.Caps, cfg CommunicatorConfig) bool {
	return c.Run && (c.Shell == component.POSIX || cfg.WindowsFiles)
}
func needsLinks(c component.Caps, cfg CommunicatorConfig) bool {
	return needsTree(c, cfg) && !cfg.WindowsFiles
}
func needsPut(c component.Caps, _ CommunicatorConfig) bool { return c.Put && c.Get }
func needsTree(c component.Caps, _ CommunicatorConfig) bool {
	return c.Tree
}

func needsRunAndPut(c component.Caps, cfg CommunicatorConfig) bool {
	return needsRun(c, cfg) && needsPut(c, cfg)
}
