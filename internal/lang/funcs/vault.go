package funcs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"ingot/internal/retry"
)

// vaultClient reads over Vault's HTTP API.
type vaultClient struct {
	env  Lookup
	wait retry.Sleeper
}

var _ VaultReader = vaultClient{}

// VaultFromEnv is a reader of the Vault server that the environment describes: VAULT_ADDR, VAULT_TOKEN (required),
// VAULT_NAMESPACE, VAULT_CACERT, VAULT_CAPATH, VAULT_CLIENT_CERT, VAULT_CLIENT_KEY, VAULT_TLS_SERVER_NAME,
// VAULT_SKIP_VERIFY. The variables are read on each call, so that a template that never asks Vault needs none of them.
func VaultFromEnv(env Lookup) VaultReader { return vaultClient{env, pause{}} }

// vaultReply is what Vault wraps every answer into.
type vaultReply struct {
	Data     map[string]any `json:"data"`
	Errors   []string       `json:"errors"`
	Warnings []string       `json:"warnings"`
}

func (v vaultClient) Read(ctx context.Context, path string) (map[string]any, error) {
	client, err := v.client()
	if err != nil {
		return nil, err
	}
	build := func(ctx context.Context) (*http.Request, error) { return v.request(ctx, path) }
	answer, err := fetch(ctx, v.wait, client, build, busy)
	if err != nil {
		return nil, err
	}
	return readVaultReply(answer)
}

func (v vaultClient) request(ctx context.Context, path string) (*http.Request, error) {
	token := v.env.get("VAULT_TOKEN", "")
	if token == "" {
		return nil, errors.New("VAULT_TOKEN is not set; set it to a token that may read the path, such as the one that `vault login` prints")
	}
	address := v.env.get("VAULT_ADDR", "https://127.0.0.1:8200")
	base, err := url.Parse(address)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("VAULT_ADDR %q is not the URL of a server", address)
	}
	target := &url.URL{Scheme: base.Scheme, Host: base.Host, Path: strings.TrimRight(base.Path, "/") + "/v1/" + strings.Trim(path, "/")}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Vault-Token", token)
	req.Header.Set("X-Vault-Request", "true") // agents may insist on it, against forged requests
	if namespace := v.env.get("VAULT_NAMESPACE", ""); namespace != "" {
		req.Header.Set("X-Vault-Namespace", namespace)
	}
	return req, nil
}

func (v vaultClient) client() (*http.Client, error) {
	insecure, err := v.env.flag("VAULT_SKIP_VERIFY", false)
	if err != nil {
		return nil, err
	}
	return tlsFiles{
		ca: v.env.get("VAULT_CACERT", ""), caDir: v.env.get("VAULT_CAPATH", ""),
		cert: v.env.get("VAULT_CLIENT_CERT", ""), key: v.env.get("VAULT_CLIENT_KEY", ""),
		serverName: v.env.get("VAULT_TLS_SERVER_NAME", ""),
		insecure:   insecure,
	}.client()
}

func readVaultReply(answer reply) (map[string]any, error) {
	var parsed vaultReply
	decoder := json.NewDecoder(bytes.NewReader(answer.body))
	decoder.UseNumber()
	err := decoder.Decode(&parsed)
	if answer.status != http.StatusOK {
		// The warnings of a "not found" name a missing data/ in the path of a version 2 store.
		detail := strings.Join(append(parsed.Errors, parsed.Warnings...), "; ")
		return nil, httpError(answer.status, detail)
	}
	if err != nil {
		return nil, fmt.Errorf("the answer is not what vault sends: %w", err)
	}
	return parsed.Data, nil
}

// httpError is an unwelcome status, with what the server had to say about it.
func httpError(status int, detail string) error {
	meaning := fmt.Sprintf("http status %d", status)
	switch status {
	case http.StatusNotFound:
		meaning = "not found"
	case http.StatusForbidden, http.StatusUnauthorized:
		meaning = "permission denied"
	}
	if detail == "" || detail == meaning {
		return errors.New(meaning)
	}
	return fmt.Errorf("%s: %s", meaning, detail)
}
