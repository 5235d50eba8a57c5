package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"ingot/internal/component"
)

// ErrMismatch is what an error is when a file does not have the checksum that it
// should have.
var ErrMismatch = errors.New("wrong checksum")

// Is makes errors.Is(err, ErrMismatch) true.
func (m *mismatchError) Is(target error) bool { return target == ErrMismatch }

// StatusError is an answer of an HTTP server that is no success.
type StatusError struct {
	Code int
	// Status is the code with the server's words.
	Status string
	Header http.Header
}

// Error says what the server answered.
func (s *StatusError) Error() string { return "the server answered " + s.Status }

// Small reads a file of at most limit bytes into memory: an index, a list, an answer
// of an API. It is not kept. What may pass is tried again; a server that refuses is
// a *StatusError. The header is sent to the server that the URL names.
func Small(ctx context.Context, r component.Run, place string, header http.Header, limit int64) ([]byte, error) {
	f := &fetcher{run: r, env: os.Getenv}
	var err error
	if f.idle, err = readTimeout(); err != nil {
		return nil, err
	}
	from, err := parseSource(place)
	if err != nil {
		return nil, err
	}
	if from.kind == localFile || from.kind == gitFile || from.kind == hgFile {
		return nil, fmt.Errorf("%s is not reached by HTTP", from)
	}
	f.http = newClient(f.env)
	defer f.http.CloseIdleConnections()
	var text []byte
	err = f.repeat(ctx, from, func() int64 { return 0 }, func(ctx context.Context) error {
		res, stop, err := f.get(ctx, from, header)
		if err != nil {
			return err
		}
		defer stop()
		text, err = io.ReadAll(io.LimitReader(res.Body, limit+1))
		return err
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", from, err)
	case int64(len(text)) > limit:
		return nil, fmt.Errorf("%s: it is larger than %d bytes, which no such file is", from, limit)
	}
	return text, nil
}
