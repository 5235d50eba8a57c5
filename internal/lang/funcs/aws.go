package funcs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"ingot/internal/retry"
)

// awsClient calls a service of AWS that speaks JSON over HTTP, with the account that the environment describes.
type awsClient struct {
	env  Lookup
	now  func() time.Time
	wait retry.Sleeper
	// signedAs is the service's name in signatures and host names, endpointVariable the environment variable that
	// replaces its address, and protocol the version of the JSON protocol that it speaks.
	signedAs, endpointVariable, protocol string
}

// call sends input to an operation and reads the answer into output. The operation must be one that changes nothing.
func (a awsClient) call(ctx context.Context, operation string, input, output any) error {
	client, err := tlsFiles{ca: a.env.get("AWS_CA_BUNDLE", "")}.client()
	if err != nil {
		return err
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error {
		return errors.New("refusing a redirect of a signed request")
	}
	build := func(ctx context.Context) (*http.Request, error) { return a.request(ctx, operation, input) }
	answer, err := fetch(ctx, a.wait, client, build, awsBusy)
	if err != nil {
		return err
	}
	if answer.status != http.StatusOK {
		return a.refusal(answer)
	}
	if err := json.Unmarshal(answer.body, output); err != nil {
		return fmt.Errorf("the answer is not what the service sends: %w", err)
	}
	return nil
}

// request is a signed request.
func (a awsClient) request(ctx context.Context, operation string, input any) (*http.Request, error) {
	creds := awsCredentials{
		keyID:  a.env.get("AWS_ACCESS_KEY_ID", ""),
		secret: a.env.get("AWS_SECRET_ACCESS_KEY", ""),
		token:  a.env.get("AWS_SESSION_TOKEN", ""),
	}
	if creds.keyID == "" || creds.secret == "" {
		return nil, errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set")
	}
	region := a.region()
	if region == "" {
		return nil, errors.New("neither AWS_REGION nor AWS_DEFAULT_REGION is set")
	}
	endpoint, err := a.endpoint(region)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(input)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-"+a.protocol)
	req.Header.Set("X-Amz-Target", operation)
	creds.sign(req, body, region, a.signedAs, a.now())
	return req, nil
}

func (a awsClient) region() string {
	return a.env.get("AWS_REGION", a.env.get("AWS_DEFAULT_REGION", ""))
}

// endpoint is the URL of the service in a region.
func (a awsClient) endpoint(region string) (string, error) {
	domain := "amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		domain = "amazonaws.com.cn"
	}
	endpoint := a.env.get(a.endpointVariable, a.env.get("AWS_ENDPOINT_URL", "https://"+a.signedAs+"."+region+"."+domain))
	parsed, err := url.Parse(endpoint)
	if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
		return "", fmt.Errorf("endpoint %q is not the URL of a server", endpoint)
	}
	if parsed.Path == "" {
		parsed.Path = "/"
	}
	return parsed.String(), nil
}

// awsError is how the services say what is wrong.
type awsError struct {
	Type    string `json:"__type"`
	Message string // also matches "message", which some errors have
}

// kind is the type of the error without its namespace.
func (e awsError) kind() string { return e.Type[strings.LastIndexByte(e.Type, '#')+1:] }

func readAWSError(answer reply) awsError {
	var e awsError
	_ = json.Unmarshal(answer.body, &e) // an answer in another form has only its status
	return e
}

// awsBusy also knows the errors by which services ask for fewer calls, with a status that says otherwise.
func awsBusy(answer reply) bool {
	return busy(answer) || answer.status == http.StatusBadRequest && slices.Contains([]string{
		"ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded", "ThrottledException",
	}, readAWSError(answer).kind())
}

// refusal is the error that an answer stands for, with what to do about it where that can be told.
func (a awsClient) refusal(answer reply) error {
	e := readAWSError(answer)
	err := httpError(answer.status, strings.Trim(e.kind()+": "+e.Message, ": "))
	help := ""
	switch e.kind() {
	case "ResourceNotFoundException", "ParameterNotFound", "ParameterVersionNotFound":
		help = "check the name, and that it is in the region " + a.region()
	case "AccessDeniedException":
		help = "the key AWS_ACCESS_KEY_ID has to be allowed to read it, and to use the KMS key that it is encrypted with"
	case "UnrecognizedClientException", "InvalidSignatureException", "InvalidClientTokenId", "SignatureDoesNotMatch":
		help = "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"
	case "ExpiredTokenException", "ExpiredToken":
		help = "get new temporary credentials"
	}
	if help == "" {
		return err
	}
	return fmt.Errorf("%w (%s)", err, help)
}
