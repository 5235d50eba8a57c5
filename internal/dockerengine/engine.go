package dockerengine

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/docker/cli/cli/connhelper"
	"github.com/docker/go-connections/tlsconfig"
	"github.com/moby/moby/client"

	"ingot/internal/failpoint"
	"ingot/internal/ratelimit"
)

// Engine is a connection to a Docker engine. Its methods may be called from
// several goroutines.
type Engine struct {
	*client.Client
	Endpoint Endpoint
}

// Open prepares a connection to the engine that env names. Nothing is sent
// before the first call. Calls are paced by limits, which may be nil.
func Open(env Env, limits *ratelimit.Limits) (*Engine, error) {
	e, err := Find(env)
	if err != nil {
		return nil, err
	}
	return OpenEndpoint(e, env, limits)
}

// OpenEndpoint is Open for a known endpoint. Its calls are paced by limits, which may be
// nil.
func OpenEndpoint(e Endpoint, env Env, limits *ratelimit.Limits) (*Engine, error) {
	opts := append([]client.Opt{client.WithUserAgent("ingot")}, paced(limits.Endpoint(e.Host))...)
	if v := env("DOCKER_API_VERSION"); v != "" {
		opts = append(opts, client.WithAPIVersion(v))
	}
	reach, err := transport(e)
	if err != nil {
		return nil, fmt.Errorf("docker: engine %s (from %s): %w", e.Host, e.Origin, err)
	}
	cli, err := client.New(append(opts, reach...)...)
	if err != nil {
		return nil, fmt.Errorf("docker: engine %s (from %s): %w", e.Host, e.Origin, err)
	}
	return &Engine{Client: cli, Endpoint: e}, nil
}

// paced makes each call wait for its turn, and learns from the answers.
func paced(limiter *ratelimit.Limiter) []client.Opt {
	type began struct{}
	return []client.Opt{
		client.WithHTTPRequestHook(func(req *http.Request) error {
			if err := limiter.Wait(req.Context()); err != nil {
				return err
			}
			*req = *req.WithContext(context.WithValue(req.Context(), began{}, time.Now()))
			return failpoint.Reached(failpoint.ProviderCall)
		}),
		client.WithHTTPResponseHook(func(res *http.Response) {
			now := time.Now()
			class, after := ratelimit.Judge(res.StatusCode, res.Header, now)
			at, ok := res.Request.Context().Value(began{}).(time.Time)
			if !ok {
				at = now
			}
			limiter.Observe(at, class, after)
			// There is nobody to be given an error here.
			_ = failpoint.Reached(failpoint.ProviderCalled)
		}),
	}
}

// transport returns the options that decide how bytes reach the engine.
func transport(e Endpoint) ([]client.Opt, error) {
	if strings.HasPrefix(e.Host, "ssh://") {
		helper, err := connhelper.GetConnectionHelper(e.Host)
		if err != nil {
			return nil, err
		}
		return []client.Opt{client.WithHost(helper.Host), client.WithDialContext(helper.Dialer)}, nil
	}
	if e.CertDir == "" && !e.SkipVerify {
		return []client.Opt{client.WithHost(e.Host)}, nil
	}
	config, err := tlsConfig(e)
	if err != nil {
		return nil, err
	}
	hc := &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: config,
			DialContext:     (&net.Dialer{Timeout: 30 * time.Second}).DialContext,
		},
		CheckRedirect: client.CheckRedirect,
	}
	return []client.Opt{client.WithHTTPClient(hc), client.WithHost(e.Host)}, nil
}

func tlsConfig(e Endpoint) (*tls.Config, error) {
	o := tlsconfig.Options{InsecureSkipVerify: e.SkipVerify, ExclusiveRootPools: true}
	for name, field := range map[string]*string{"ca.pem": &o.CAFile, "cert.pem": &o.CertFile, "key.pem": &o.KeyFile} {
		file := filepath.Join(e.CertDir, name)
		if _, err := os.Stat(file); err == nil && e.CertDir != "" {
			*field = file
		}
	}
	if o.CAFile == "" && !e.SkipVerify {
		return nil, fmt.Errorf("TLS is asked for, but there is no ca.pem in %s: set DOCKER_CERT_PATH to the folder with ca.pem, cert.pem and key.pem", e.CertDir)
	}
	return tlsconfig.Client(o)
}

// Negotiate agrees on an API version and says what the engine is. It is
// the cheapest way to find out whether the engine can be reached.
func (e *Engine) Negotiate(ctx context.Context) (client.PingResult, error) {
	p, err := e.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true})
	return p, e.Explain(ctx, "reach the engine", err)
}
