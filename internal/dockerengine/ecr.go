package dockerengine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/moby/moby/api/types/registry"

	"ingot/internal/retry"
)

// ecrRegistry is what the name of an ECR registry says.
type ecrRegistry struct {
	host   string
	region string
	public bool
}

// publicECR is the host of ECR Public, whose API exists in one region only.
const (
	publicECR       = "public.ecr.aws"
	publicECRRegion = "us-east-1"
)

func parseECR(server string, public bool) (ecrRegistry, error) {
	host := serverHost(server)
	if public || host == publicECR {
		return ecrRegistry{host: publicECR, region: publicECRRegion, public: true}, nil
	}
	m := regexp.MustCompile(`^\d{12}\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com|amazonaws\.com\.cn|on\.aws)$`).FindStringSubmatch(host)
	if m == nil {
		return ecrRegistry{}, fmt.Errorf("%q does not have the form ACCOUNT.dkr.ecr.REGION.amazonaws.com, and is not public.ecr.aws", server)
	}
	return ecrRegistry{host: host, region: m[1]}, nil
}

// api is the address of the service that gives out tokens.
func (e ecrRegistry) api(env Env) string {
	for _, override := range []string{"AWS_ENDPOINT_URL_" + strings.ToUpper(strings.ReplaceAll(e.service(), "-", "_")), "AWS_ENDPOINT_URL"} {
		if url := env(override); url != "" {
			return url
		}
	}
	suffix := "amazonaws.com"
	if strings.HasPrefix(e.region, "cn-") {
		suffix = "amazonaws.com.cn"
	}
	return "https://api." + e.service() + "." + e.region + "." + suffix + "/"
}

// service is the name that requests are signed for.
func (e ecrRegistry) service() string {
	if e.public {
		return "ecr-public"
	}
	return "ecr"
}

func (e ecrRegistry) target() string {
	if e.public {
		return "SpencerFrontendService.GetAuthorizationToken"
	}
	return "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"
}

// ecrCredentials asks ECR for a token. The AWS credentials are those of the
// template or else what the AWS environment and files say. The one call that
// is needed is made by hand, because the service's package would cost every
// start of the program several milliseconds.
func (l Login) ecrCredentials(ctx context.Context, env Env) (registry.AuthConfig, error) {
	r, err := parseECR(l.Server, l.AWSPublic)
	if err != nil {
		return registry.AuthConfig{}, retry.As(retry.User, fmt.Errorf("docker: ecr_login: login_server: %w", err))
	}
	req, err := l.ecrRequest(ctx, env, r)
	if err != nil {
		return registry.AuthConfig{}, fmt.Errorf("docker: log in at ECR registry %s: %w", r.host, err)
	}
	client := &http.Client{Timeout: time.Minute}
	resp, err := client.Do(req)
	if err != nil {
		return registry.AuthConfig{}, retry.As(retry.Transient, fmt.Errorf("docker: log in at ECR registry %s: %w", r.host, err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return registry.AuthConfig{}, retry.As(retry.Transient, fmt.Errorf("docker: log in at ECR registry %s: %w", r.host, err))
	}
	if resp.StatusCode != http.StatusOK {
		return registry.AuthConfig{}, ecrRefusal(r, resp.StatusCode, body)
	}
	a, err := parseECRToken(body)
	if err != nil {
		return registry.AuthConfig{}, fmt.Errorf("docker: log in at ECR registry %s: %w", r.host, err)
	}
	a.ServerAddress = r.host
	return a, nil
}

func (l Login) ecrRequest(ctx context.Context, env Env, r ecrRegistry) (*http.Request, error) {
	opts := []func(*config.LoadOptions) error{config.WithRegion(r.region)}
	if l.AWSProfile != "" {
		opts = append(opts, config.WithSharedConfigProfile(l.AWSProfile))
	}
	if l.AWSAccessKey != "" {
		token := l.AWSToken
		if token == "" {
			token = env("AWS_SESSION_TOKEN")
		}
		opts = append(opts, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(l.AWSAccessKey, l.AWSSecretKey, token)))
	}
	cfg, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("read the AWS configuration: %w", err)
	}
	keys, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, retry.As(retry.Permission, fmt.Errorf("find AWS credentials (set aws_access_key and aws_secret_key, aws_profile, or the AWS environment variables): %w", err))
	}
	body := []byte("{}")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.api(env), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", r.target())
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, keys, req, hex.EncodeToString(sum[:]), r.service(), r.region, time.Now()); err != nil {
		return nil, fmt.Errorf("sign the request: %w", err)
	}
	return req, nil
}

// ecrRefusal turns an error answer into an error with a class.
func ecrRefusal(r ecrRegistry, status int, body []byte) error {
	var a struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &a) != nil || a.Type == "" {
		a.Type, a.Message = http.StatusText(status), strings.TrimSpace(string(body[:min(len(body), 200)]))
	}
	_, name, ok := strings.Cut(a.Type, "#")
	if !ok {
		name = a.Type
	}
	class := retry.Permission
	switch {
	case status == http.StatusTooManyRequests, strings.Contains(name, "Throttl"):
		class = retry.Throttled
	case status >= 500:
		class = retry.Transient
	}
	return retry.As(class, fmt.Errorf("docker: log in at ECR registry %s: %s: %s", r.host, name, a.Message))
}

// parseECRToken reads the answer to GetAuthorizationToken: base64 of
// "user:password". ECR has a list of them, ECR Public one.
func parseECRToken(body []byte) (registry.AuthConfig, error) {
	type data struct {
		AuthorizationToken string `json:"authorizationToken"`
	}
	var answer struct {
		AuthorizationData json.RawMessage `json:"authorizationData"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return registry.AuthConfig{}, fmt.Errorf("read the answer: %w", err)
	}
	var list []data
	if json.Unmarshal(answer.AuthorizationData, &list) != nil {
		var one data
		if err := json.Unmarshal(answer.AuthorizationData, &one); err != nil {
			return registry.AuthConfig{}, fmt.Errorf("read the answer: %w", err)
		}
		list = []data{one}
	}
	if len(list) == 0 {
		return registry.AuthConfig{}, errors.New("the answer has no token")
	}
	plain, err := base64.StdEncoding.DecodeString(list[0].AuthorizationToken)
	if err != nil {
		return registry.AuthConfig{}, fmt.Errorf("read the token: %w", err)
	}
	user, password, ok := strings.Cut(string(plain), ":")
	if !ok || user == "" {
		return registry.AuthConfig{}, errors.New("the token is not USER:PASSWORD")
	}
	return registry.AuthConfig{Username: user, Password: password}, nil
}
