package funcs

import (
	"context"
	"errors"
	"time"
)

// secretsManagerClient reads over the HTTP API of AWS Secrets Manager.
type secretsManagerClient struct{ awsClient }

var _ SecretsReader = secretsManagerClient{}

// SecretsManagerFromEnv is a reader of AWS Secrets Manager with the account that the environment describes:
// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION or AWS_DEFAULT_REGION, AWS_CA_BUNDLE, and
// AWS_ENDPOINT_URL_SECRETS_MANAGER or AWS_ENDPOINT_URL. Profiles and the credentials of instances are not looked at: a
// caller that wants them brings a SecretsReader of its own. The variables are read on each call; now dates the requests.
func SecretsManagerFromEnv(env Lookup, now func() time.Time) SecretsReader {
	return secretsManagerClient{awsClient{
		env: env, now: now, wait: pause{},
		signedAs: "secretsmanager", endpointVariable: "AWS_ENDPOINT_URL_SECRETS_MANAGER", protocol: "1.1",
	}}
}

func (s secretsManagerClient) Secret(ctx context.Context, name string) (string, error) {
	var output struct{ SecretString *string }
	input := map[string]string{"SecretId": name, "VersionStage": "AWSCURRENT"}
	if err := s.call(ctx, "secretsmanager.GetSecretValue", input, &output); err != nil {
		return "", err
	}
	if output.SecretString == nil {
		return "", errors.New("the secret is binary, and only text can be used")
	}
	return *output.SecretString, nil
}
