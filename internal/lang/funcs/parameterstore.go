package funcs

import (
	"context"
	"errors"
	"time"
)

// parameterStoreClient reads over the HTTP API of the parameter store in AWS Systems Manager.
type parameterStoreClient struct{ awsClient }

var _ ParametersReader = parameterStoreClient{}

// ParameterStoreFromEnv is a reader of the AWS parameter store. It looks at the same variables as SecretsManagerFromEnv,
// with AWS_ENDPOINT_URL_SSM as the one for its own address.
func ParameterStoreFromEnv(env Lookup, now func() time.Time) ParametersReader {
	return parameterStoreClient{awsClient{
		env: env, now: now, wait: pause{},
		signedAs: "ssm", endpointVariable: "AWS_ENDPOINT_URL_SSM", protocol: "1.1",
	}}
}

func (p parameterStoreClient) Parameter(ctx context.Context, name string, decrypt bool) (string, error) {
	var output struct {
		Parameter struct{ Value *string }
	}
	input := struct {
		Name           string
		WithDecryption bool
	}{name, decrypt}
	if err := p.call(ctx, "AmazonSSM.GetParameter", input, &output); err != nil {
		return "", err
	}
	if output.Parameter.Value == nil {
		return "", errors.New("the answer is not what the service sends: it has no value")
	}
	return *output.Parameter.Value, nil
}
