package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-version"

	"ingot/internal/component"
	"ingot/internal/hostproc"
	"ingot/internal/retry"
)

// Description is what a plugin says of itself.
type Description struct {
	Version         string   `json:"version"`
	SDKVersion      string   `json:"sdk_version"`
	APIVersion      string   `json:"api_version"`
	Builders        []string `json:"builders"`
	PostProcessors  []string `json:"post_processors"`
	Provisioners    []string `json:"provisioners"`
	DataSources     []string `json:"datasources"`
	ProtocolVersion string   `json:"protocol_version,omitempty"`
}

const (
	// describeLimit is how long a plugin may take to describe itself.
	describeLimit = time.Minute
	// describeSize is the most that it may say.
	describeSize = 1 << 20
)

// Describe asks a plugin for its description. What it said the last time is enough,
// as long as the content is the same: a binary whose digest is known is run once.
func (s *Store) Describe(ctx context.Context, b Binary) (Description, error) {
	if d, ok := s.known(b.SHA256); ok {
		return d, nil
	}
	d, err := s.Ask(ctx, b.Path)
	if err == nil {
		s.remember(b.SHA256, d)
	}
	return d, err
}

// Ask runs a plugin for its description, whatever is known. Only what has been
// checked may be run.
func (s *Store) Ask(ctx context.Context, path string) (Description, error) {
	text, err := s.output(ctx, path)
	if err != nil {
		return Description{}, fmt.Errorf("it does not describe itself: %w", err)
	}
	d, err := parseDescription(text)
	if err != nil {
		return Description{}, fmt.Errorf("its description cannot be read: %w", err)
	}
	return d, nil
}

func parseDescription(text []byte) (Description, error) {
	var d Description
	if err := json.Unmarshal(text, &d); err != nil {
		return Description{}, err
	}
	if d.Version == "" || d.APIVersion == "" {
		return Description{}, errors.New("the version is missing")
	}
	return d, nil
}

// output runs "PATH describe". The plugin may not leave anything running.
func (s *Store) output(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, describeLimit, fmt.Errorf("no answer within %s", describeLimit))
	defer cancel()
	var out []byte
	// A program that was just written may be open in another thread that was between fork
	// and exec then.
	policy := retry.Policy{Attempts: 20, First: 5 * time.Millisecond, Max: 50 * time.Millisecond, Retryable: busy}
	err := retry.Do(ctx, component.SystemClock{}, policy, func(ctx context.Context) (err error) {
		out, err = s.ask(ctx, path)
		return err
	})
	return out, err
}

// ask is one attempt of output.
func (s *Store) ask(ctx context.Context, path string) ([]byte, error) {
	ctx, tooLong := context.WithCancelCause(ctx)
	defer tooLong(nil)
	cmd := exec.CommandContext(ctx, path, "describe")
	hostproc.OwnGroup(cmd)
	cmd.Env = s.Environ
	stdout := &limited{room: describeSize, full: func() { tooLong(fmt.Errorf("the answer is longer than %d bytes", describeSize)) }}
	stderr := &limited{room: 4 << 10, full: func() {}}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.Cancel = func() error { hostproc.EndGroup(cmd, true); return nil }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if cmd.Process != nil {
		hostproc.EndGroup(cmd, true)
	}
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, errors.Join(err, lastLine(stderr.kept))
	}
	return stdout.kept, nil
}

func lastLine(text []byte) error {
	lines := strings.Split(strings.TrimSpace(string(bytes.ToValidUTF8(text, []byte("?")))), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		return errors.New(last)
	}
	return nil
}

// limited keeps what fits, drops the rest, and tells that there is one.
type limited struct {
	kept []byte
	room int
	full func()
}

func (l *limited) Write(p []byte) (int, error) {
	fits := min(l.room-len(l.kept), len(p))
	l.kept = append(l.kept, p[:fits]...)
	if fits < len(p) {
		l.full()
	}
	return len(p), nil
}

// Agree compares what a plugin says with the name of its file.
func Agree(b Binary, d Description) error {
	said, err := version.NewSemver(strings.TrimPrefix(d.Version, "v"))
	if err != nil {
		return fmt.Errorf("it says that its version is %q, which is none", d.Version)
	}
	if !said.Core().Equal(b.Version.Core()) || said.Prerelease() != b.Version.Prerelease() {
		return fmt.Errorf("it says that its version is %s, its name says %s", d.Version, b.Version)
	}
	if d.APIVersion != b.API.String() {
		return fmt.Errorf("it says that it speaks the plugin protocol %s, its name says %s", d.APIVersion, b.API)
	}
	return nil
}

func (s *Store) descriptionFile(digest string) string {
	return filepath.Join(s.Cache, "plugins", "descriptions", digest+".json")
}

// known is what the plugin with a digest said before.
func (s *Store) known(digest string) (Description, bool) {
	if s.Cache == "" || digest == "" {
		return Description{}, false
	}
	text, err := os.ReadFile(s.descriptionFile(digest))
	if err != nil {
		return Description{}, false
	}
	d, err := parseDescription(text)
	return d, err == nil
}

// remember keeps what a plugin said. When that fails, it is asked again.
func (s *Store) remember(digest string, d Description) {
	text, err := json.Marshal(d)
	if s.Cache == "" || digest == "" || err != nil {
		return
	}
	path := s.descriptionFile(digest)
	if os.MkdirAll(filepath.Dir(path), 0o755) != nil {
		return
	}
	draft, err := os.CreateTemp(filepath.Dir(path), "draft-")
	if err != nil {
		return
	}
	_, err = draft.Write(text)
	if err = errors.Join(err, draft.Close()); err == nil {
		err = os.Rename(draft.Name(), path)
	}
	if err != nil {
		_ = os.Remove(draft.Name()) // it is in a cache
	}
}
