// Package dockerengine is what the docker builder and the docker
// post-processors share: finding the engine, logging in to registries, and
// telling users what an engine's answer means. It talks to the engine's API;
// the docker program is not used.
package dockerengine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/moby/client"
	"github.com/opencontainers/go-digest"
)

// Env reads an environment variable; an unset one is "".
type Env func(name string) string

// Endpoint is where an engine listens and how to get in.
type Endpoint struct {
	// Host is a URL such as "unix:///var/run/docker.sock",
	// "tcp://10.0.0.1:2376" or "ssh://user@host".
	Host string
	// CertDir holds ca.pem, cert.pem and key.pem; empty for no TLS.
	CertDir string
	// SkipVerify accepts any certificate of the engine.
	SkipVerify bool
	// Origin says what decided, for messages: "DOCKER_HOST", "context NAME"
	// or "default".
	Origin string
}

// Local reports whether the engine runs on this machine, so that host paths
// mean the same there as here.
func (e Endpoint) Local() bool {
	return strings.HasPrefix(e.Host, "unix://") || strings.HasPrefix(e.Host, "npipe://")
}

// Names of resource attributes, which let another process find the engine.
const (
	attrHost       = "docker_host"
	attrCertDir    = "docker_cert_path"
	attrSkipVerify = "docker_tls_skip_verify"
)

// Attrs describes the endpoint in a Resource. It holds no secret.
func (e Endpoint) Attrs(more map[string]string) map[string]string {
	out := map[string]string{attrHost: e.Host}
	if e.CertDir != "" {
		out[attrCertDir] = e.CertDir
	}
	if e.SkipVerify {
		out[attrSkipVerify] = "1"
	}
	maps.Copy(out, more)
	return out
}

// FromAttrs is the reverse of Attrs. Without a host in attrs it is the
// endpoint that the environment names.
func FromAttrs(attrs map[string]string, env Env) (Endpoint, error) {
	if attrs[attrHost] == "" {
		return Find(env)
	}
	return Endpoint{
		Host:       attrs[attrHost],
		CertDir:    attrs[attrCertDir],
		SkipVerify: attrs[attrSkipVerify] != "",
		Origin:     "the journal",
	}, nil
}

// Find decides which engine to use, as the docker program does: DOCKER_HOST,
// then DOCKER_CONTEXT, then the current context of the configuration file,
// then the default socket.
func Find(env Env) (Endpoint, error) {
	if host := env("DOCKER_HOST"); host != "" {
		e := Endpoint{Host: host, Origin: "DOCKER_HOST"}
		if env("DOCKER_TLS_VERIFY") != "" || env("DOCKER_TLS") != "" {
			e.SkipVerify = env("DOCKER_TLS_VERIFY") == ""
			e.CertDir = certDir(env)
		}
		return e, nil
	}
	name := env("DOCKER_CONTEXT")
	if name == "" {
		current, err := currentContext(ConfigDir(env))
		if err != nil {
			return Endpoint{}, err
		}
		name = current
	}
	if name == "" || name == "default" {
		return Endpoint{Host: client.DefaultDockerHost, Origin: "default"}, nil
	}
	return contextEndpoint(ConfigDir(env), name)
}

func certDir(env Env) string {
	if dir := env("DOCKER_CERT_PATH"); dir != "" {
		return dir
	}
	return ConfigDir(env)
}

// ConfigDir is the folder of the docker program's configuration.
func ConfigDir(env Env) string {
	if dir := env("DOCKER_CONFIG"); dir != "" {
		return dir
	}
	home := env("HOME")
	if home == "" {
		home, _ = os.UserHomeDir()
	}
	return filepath.Join(home, ".docker")
}

func currentContext(configDir string) (string, error) {
	file := filepath.Join(configDir, "config.json")
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("docker: read configuration: %w", err)
	}
	var c struct {
		CurrentContext string `json:"currentContext"`
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return "", fmt.Errorf("docker: read configuration %s: %w", file, err)
	}
	return c.CurrentContext, nil
}

// contextEndpoint reads a context from where the docker program stores it: in
// folders named by the SHA-256 of the context's name.
func contextEndpoint(configDir, name string) (Endpoint, error) {
	sum := digest.FromString(name).Encoded()
	meta := filepath.Join(configDir, "contexts", "meta", sum, "meta.json")
	data, err := os.ReadFile(meta)
	if errors.Is(err, fs.ErrNotExist) {
		return Endpoint{}, fmt.Errorf("docker: there is no context %q in %s; `docker context ls` lists those that exist, and unsetting DOCKER_CONTEXT selects the current one", name, configDir)
	}
	if err != nil {
		return Endpoint{}, fmt.Errorf("docker: read context %q: %w", name, err)
	}
	e, err := parseContext(data)
	if err != nil {
		return Endpoint{}, fmt.Errorf("docker: read context %q: %s: %w", name, meta, err)
	}
	e.Origin = fmt.Sprintf("context %q", name)
	tls := filepath.Join(configDir, "contexts", "tls", sum, "docker")
	if entries, err := os.ReadDir(tls); err == nil && len(entries) > 0 {
		e.CertDir = tls
	}
	return e, nil
}

func parseContext(data []byte) (Endpoint, error) {
	var c struct {
		Endpoints map[string]struct {
			Host          string
			SkipTLSVerify bool
		}
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return Endpoint{}, err
	}
	d, ok := c.Endpoints["docker"]
	if !ok {
		return Endpoint{}, fmt.Errorf("it has no docker endpoint, only %s", strings.Join(slices.Sorted(maps.Keys(c.Endpoints)), ", "))
	}
	if d.Host == "" {
		d.Host = client.DefaultDockerHost
	}
	return Endpoint{Host: d.Host, SkipVerify: d.SkipTLSVerify}, nil
}
