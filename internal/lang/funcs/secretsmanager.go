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
	"time"
)

// secretsManagerClient reads over the HTTP API of AWS Secrets Manager.
type secretsManagerClient struct {
	env Lookup
	now func() time.Time
}

var _ SecretsReader = secretsManagerClient{}

// SecretsManagerFromEnv is a reader of AWS Secrets Manager with the account that the environment describes:
// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION or AWS_DEFAULT_REGION, and
// AWS_ENDPOINT_URL_SECRETS_MANAGER or AWS_ENDPOINT_URL. Profiles and the credentials of instances are not looked at: a
// caller that wants them brings a SecretsReader of its own. The variables are read on each call; now dates the requests.
func SecretsManagerFromEnv(env Lookup, now func() time.Time) SecretsReader {
	return secretsManagerClient{env: env, now: now}
}

func (s secretsManagerClient) Secret(ctx context.Context, name string) (string, error) {
	req, err := s.request(ctx, name)
	if err != nil {
		return "", err
	}
	client, err := tlsFiles{ca: s.env.get("AWS_CA_BUNDLE", "")}.client()
	if err != nil {
		return "", err
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error {
		return errors.New("refusing a redirect of a signed request")
	}
	answer, err := fetch(client, req)
	if err != nil {
		return "", err
	}
	return readSecret(answer)
}

// request is GetSecretValue, signed.
func (s secretsManagerClient) request(ctx context.Context, name string) (*http.Request, error) {
	creds := awsCredentials{
		keyID:  s.env.get("AWS_ACCESS_KEY_ID", ""),
		secret: s.env.get("AWS_SECRET_ACCESS_KEY", ""),
		token:  s.env.get("AWS_SESSION_TOKEN", ""),
	}
	if creds.keyID == "" || creds.secret == "" {
		return nil, errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set")
	}
	region := s.env.get("AWS_REGION", s.env.get("AWS_DEFAULT_REGION", ""))
	if region == "" {
		return nil, errors.New("neither AWS_REGION nor AWS_DEFAULT_REGION is set")
	}
	endpoint, err := s.endpoint(region)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]string{"SecretId": name, "VersionStage": "AWSCURRENT"})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "secretsmanager.GetSecretValue")
	creds.sign(req, body, region, "secretsmanager", s.now())
	return req, nil
}

// endpoint is the URL of the service in a region.
func (s secretsManagerClient) endpoint(region string) (string, error) {
	domain := "amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		domain = "amazonaws.com.cn"
	}
	endpoint := s.env.get("AWS_ENDPOINT_URL_SECRETS_MANAGER", s.env.get("AWS_ENDPOINT_URL", "https://secretsmanager."+region+"."+domain))
	parsed, err := url.Parse(endpoint)
	if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
		return "", fmt.Errorf("endpoint %q is not the URL of a server", endpoint)
	}
	if parsed.Path == "" {
		parsed.Path = "/"
	}
	return parsed.String(), nil
}

func readSecret(answer reply) (string, error) {
	var parsed struct {
		SecretString *string
		Type         string `json:"__type"`
		Message      string // also matches "message", which some errors have
	}
	err := json.Unmarshal(answer.body, &parsed)
	if answer.status != http.StatusOK {
		kind := parsed.Type[strings.LastIndexByte(parsed.Type, '#')+1:]
		return "", httpError(answer.status, strings.Trim(kind+": "+parsed.Message, ": "))
	}
	if err != nil {
		return "", fmt.Errorf("the answer is not what the service sends: %w", err)
	}
	if parsed.SecretString == nil {
		return "", errors.New("the secret is binary, and only text can be used")
	}
	return *parsed.SecretString, nil
}
