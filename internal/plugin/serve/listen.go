package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"time"

	"ingot/internal/plugin/packerwire"
)

// connectPatience is how long the host may take to connect after it was told where.
const connectPatience = time.Minute

// accept listens, tells the host where, and returns its one connection. Nothing
// listens any more then.
func accept(ctx context.Context, o Options) (net.Conn, error) {
	l, err := listen(o)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = l.Close() }) // Accept then fails
	defer stop()
	h := packerwire.Handshake{
		Major: packerwire.APIMajor, Minor: packerwire.APIMinor,
		Network: l.Addr().Network(), Address: l.Addr().String(),
	}
	if _, err := fmt.Fprintf(o.Out, "%s\n", h); err != nil {
		return nil, errors.Join(fmt.Errorf("tell the host where to connect: %w", err), l.Close())
	}
	if d, ok := l.(interface{ SetDeadline(time.Time) error }); ok {
		if err := d.SetDeadline(time.Now().Add(connectPatience)); err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	conn, err := l.Accept()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("wait for the host to connect: %w", err), l.Close())
	}
	if err := l.Close(); err != nil {
		return nil, errors.Join(fmt.Errorf("stop listening: %w", err), conn.Close())
	}
	return conn, nil
}

func listen(o Options) (net.Listener, error) {
	if runtime.GOOS == "windows" {
		return listenTCP(o.Getenv)
	}
	return listenUnix(o.TempDir)
}

// listenUnix makes a socket in the folder for temporary files, "" being the system's.
// It goes away when nothing listens any more.
func listenUnix(dir string) (net.Listener, error) {
	f, err := os.CreateTemp(dir, "packer-plugin")
	if err != nil {
		return nil, fmt.Errorf("find a name for the socket: %w", err)
	}
	path := f.Name()
	if err := errors.Join(f.Close(), os.Remove(path)); err != nil {
		return nil, fmt.Errorf("find a name for the socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for the host: %w", err)
	}
	return l, nil
}

// The environment variables with the range of ports, and what it is without them.
const (
	minPortVariable = "PACKER_PLUGIN_MIN_PORT"
	maxPortVariable = "PACKER_PLUGIN_MAX_PORT"
	defaultMinPort  = 10000
	defaultMaxPort  = 25000
)

// listenTCP takes the first free port of the range that the host has given.
func listenTCP(getenv func(string) string) (net.Listener, error) {
	low, err := portOf(getenv, minPortVariable, defaultMinPort)
	if err != nil {
		return nil, err
	}
	high, err := portOf(getenv, maxPortVariable, defaultMaxPort)
	if err != nil {
		return nil, err
	}
	var last error
	for port := low; port <= high; port++ {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return l, nil
		}
		last = err
	}
	if last == nil {
		return nil, fmt.Errorf("listen for the host: the range of ports from %d to %d is empty", low, high)
	}
	return nil, fmt.Errorf("listen for the host: no port from %d to %d is free: %w", low, high, last)
}

// Variables are the environment variables by which a host talks to a plugin alone.
func Variables() []string {
	return []string{packerwire.CookieVariable, minPortVariable, maxPortVariable}
}

func portOf(getenv func(string) string, name string, otherwise int) (int, error) {
	text := getenv(name)
	if text == "" {
		return otherwise, nil
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return 0, fmt.Errorf("%s=%s is not a port", name, text)
	}
	return int(port), nil
}
