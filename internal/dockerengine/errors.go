package dockerengine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"ingot/internal/retry"
)

// Explain wraps an error of an API call with what was being done, gives it a
// retry class and, where the cause is known, adds what to check. When ctx has
// ended, its cause is the error. Nil stays nil.
func (e *Engine) Explain(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("docker: %s: %w", doing, context.Cause(ctx))
	case unreachable(err):
		return e.unreachable(doing, err)
	}
	return retry.As(classOf(err), fmt.Errorf("docker: %s: %w", doing, shortened{err}))
}

func (e *Engine) unreachable(doing string, err error) error {
	at := fmt.Sprintf("%s (from %s)", e.Endpoint.Host, e.Endpoint.Origin)
	if errors.Is(err, syscall.EACCES) || strings.Contains(err.Error(), "permission denied") {
		return retry.As(retry.Permission, fmt.Errorf("docker: %s: no permission to use the engine at %s: run as root, or become a member of the group that owns the socket (usually \"docker\") and log in again: %w", doing, at, shortened{err}))
	}
	return retry.As(retry.Transient, fmt.Errorf("docker: %s: cannot reach the engine at %s: check that it is running (`docker info` or `systemctl status docker`) and that DOCKER_HOST or the docker context names the right one: %w", doing, at, shortened{err}))
}

// Lost reports whether the connection to the engine failed or broke, so that
// nobody knows what became of the call.
func Lost(err error) bool {
	return unreachable(err) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed)
}

func unreachable(err error) bool {
	var op *net.OpError
	return client.IsErrConnectionFailed(err) || errors.As(err, &op) ||
		errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// classOf sorts what the engine answered.
func classOf(err error) retry.Class {
	if c := retry.ClassOf(err); c != retry.Unclassified {
		return c
	}
	switch {
	case cerrdefs.IsUnauthorized(err), cerrdefs.IsPermissionDenied(err):
		return retry.Permission
	case cerrdefs.IsNotFound(err), cerrdefs.IsInvalidArgument(err), cerrdefs.IsConflict(err), cerrdefs.IsNotImplemented(err):
		return retry.User
	case cerrdefs.IsUnavailable(err), errors.Is(err, io.EOF):
		return retry.Transient
	}
	return classOfText(err.Error())
}

// classOfText sorts errors of which the engine tells only the words, as it
// does while it talks to a registry.
func classOfText(text string) retry.Class {
	text = strings.ToLower(text)
	for _, sign := range []struct {
		word  string
		class retry.Class
	}{
		{"toomanyrequests", retry.Throttled},
		{"too many requests", retry.Throttled},
		{"pull access denied", retry.Permission},
		{"unauthorized", retry.Permission},
		{"no basic auth credentials", retry.Permission},
		{"authentication required", retry.Permission},
		{"requested access to the resource is denied", retry.Permission},
		{"access forbidden", retry.Permission},
		{"not found", retry.User},
		{"manifest unknown", retry.User},
		{"no matching manifest", retry.User},
		{"no space left on device", retry.Capacity},
		{"timeout", retry.Transient},
		{"connection reset", retry.Transient},
		{"connection refused", retry.Transient},
		{"unexpected eof", retry.Transient},
		{"temporary failure", retry.Transient},
		{"502 bad gateway", retry.Transient},
		{"503 service unavailable", retry.Transient},
		{"received unexpected http status: 5", retry.Transient},
	} {
		if strings.Contains(text, sign.word) {
			return sign.class
		}
	}
	return retry.Fatal
}

// shortened drops the prefix that every answer of the engine has.
type shortened struct{ error }

func (s shortened) Error() string {
	return strings.TrimPrefix(s.error.Error(), "Error response from daemon: ")
}
func (s shortened) Unwrap() error { return s.error }
