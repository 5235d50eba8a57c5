package funcs

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"unicode/utf8"

	"ingot/internal/retry"
)

// consulClient reads over Consul's HTTP API.
type consulClient struct {
	env  Lookup
	wait retry.Sleeper
}

var _ ConsulReader = consulClient{}

// ConsulFromEnv is a reader of the Consul agent that the environment describes: CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN,
// CONSUL_HTTP_TOKEN_FILE, CONSUL_HTTP_AUTH, CONSUL_HTTP_SSL, CONSUL_HTTP_SSL_VERIFY, CONSUL_CACERT, CONSUL_CAPATH,
// CONSUL_CLIENT_CERT, CONSUL_CLIENT_KEY, CONSUL_TLS_SERVER_NAME, CONSUL_NAMESPACE. The variables are read on each call.
func ConsulFromEnv(env Lookup) ConsulReader { return consulClient{env, pause{}} }

func (c consulClient) Value(ctx context.Context, key string) (string, error) {
	client, err := c.client()
	if err != nil {
		return "", err
	}
	build := func(ctx context.Context) (*http.Request, error) { return c.request(ctx, key) }
	answer, err := fetch(ctx, c.wait, client, build, busy)
	if err != nil {
		return "", err
	}
	if answer.status != http.StatusOK {
		return "", httpError(answer.status, strings.TrimSpace(string(answer.body)))
	}
	if !utf8.Valid(answer.body) {
		return "", errNotUTF8
	}
	return string(answer.body), nil
}

func (c consulClient) request(ctx context.Context, key string) (*http.Request, error) {
	target, err := c.address()
	if err != nil {
		return nil, err
	}
	target.Path = strings.TrimRight(target.Path, "/") + "/v1/kv/" + strings.TrimLeft(key, "/")
	query := url.Values{"raw": {""}}
	if namespace := c.env.get("CONSUL_NAMESPACE", ""); namespace != "" {
		query.Set("ns", namespace)
	}
	target.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, err
	}
	return req, c.authorize(req)
}

// address is the agent's URL. CONSUL_HTTP_ADDR may come with a scheme, which then says more than CONSUL_HTTP_SSL.
func (c consulClient) address() (*url.URL, error) {
	ssl, err := c.env.flag("CONSUL_HTTP_SSL", false)
	if err != nil {
		return nil, err
	}
	address := c.env.get("CONSUL_HTTP_ADDR", "127.0.0.1:8500")
	full := address
	if !strings.Contains(full, "://") {
		full = "http://" + full
		if ssl {
			full = "https://" + address
		}
	}
	target, err := url.Parse(full)
	if err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https" {
		return nil, fmt.Errorf("CONSUL_HTTP_ADDR %q is neither host:port nor a URL with http or https", address)
	}
	return target, nil
}

func (c consulClient) authorize(req *http.Request) error {
	token := c.env.get("CONSUL_HTTP_TOKEN", "")
	if file := c.env.get("CONSUL_HTTP_TOKEN_FILE", ""); token == "" && file != "" {
		content, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("CONSUL_HTTP_TOKEN_FILE: %w", err)
		}
		token = strings.TrimSpace(string(content))
	}
	if token != "" {
		req.Header.Set("X-Consul-Token", token)
	}
	if auth := c.env.get("CONSUL_HTTP_AUTH", ""); auth != "" {
		user, password, _ := strings.Cut(auth, ":")
		req.SetBasicAuth(user, password)
	}
	return nil
}

func (c consulClient) client() (*http.Client, error) {
	verify, err := c.env.flag("CONSUL_HTTP_SSL_VERIFY", true)
	if err != nil {
		return nil, err
	}
	return tlsFiles{
		ca: c.env.get("CONSUL_CACERT", ""), caDir: c.env.get("CONSUL_CAPATH", ""),
		cert: c.env.get("CONSUL_CLIENT_CERT", ""), key: c.env.get("CONSUL_CLIENT_KEY", ""),
		serverName: c.env.get("CONSUL_TLS_SERVER_NAME", ""),
		insecure:   !verify,
	}.client()
}
